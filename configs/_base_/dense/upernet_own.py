# UperNet on a plain ViT, for a folder of your own. The warm-up of 1500 iterations is made for
# ADE20K's 20,210 images, where it is a little more than one epoch: here it is one epoch.
_base_ = './upernet_vit.py'
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6,
        by_epoch=True,
        begin=0,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(
        type='PolyLR',
        power=1.0,
        eta_min=0.0,
        by_epoch=True,
        begin=0,
        end=100,
        convert_to_iter_based=True,
    ),
]
