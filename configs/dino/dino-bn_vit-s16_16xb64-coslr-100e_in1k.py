# DINO with MST's BatchNorm, DeiT-S on ImageNet-1K, 100 epochs
# Command: python tools/train.py configs/dino/dino-bn_vit-s16_16xb64-coslr-100e_in1k.py
_base_ = 'dino_vit-s16_16xb64-coslr-100e_in1k.py'
catalogue = dict(
    method='dino',
    base='dino',
    data='imagenet',
    epochs=100,
    paper='MST (arXiv 2106.05656), supplement section 3: the baseline of its reconstruction',
    expected='not reported',
    cost='8 GPUs as dino_vit-s16_16xb64-coslr-100e_in1k; not run here',
)

# BatchNorm in the head, each view by its own images, running statistics of global views
model = dict(head=dict(use_bn=True), bn_per_view=True)
sync_bn = 'torch'
