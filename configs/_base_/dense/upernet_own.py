# UperNet on a plain ViT, for a folder of your own. The warm-up of 1500 iterations is made for
# ADE20K's 20,210 images, where it is a little more than one epoch: here it is one epoch.
_base_ = './upernet_vit.py'
warm, poly = _base_.param_scheduler
param_scheduler = [dict(warm, by_epoch=True, end=1, convert_to_iter_based=True), poly]
