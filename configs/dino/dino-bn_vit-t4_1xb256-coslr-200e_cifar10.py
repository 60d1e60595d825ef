# DINO with MST's BatchNorm, ViT-Tiny/4 on CIFAR-10, 200 epochs
# Command: python tools/train.py configs/dino/dino-bn_vit-t4_1xb256-coslr-200e_cifar10.py
_base_ = 'dino_vit-t4_1xb256-coslr-200e_cifar10.py'
catalogue = dict(
    method='dino',
    base='dino',
    data='cifar10',
    epochs=200,
    paper='MST (arXiv 2106.05656), supplement section 3: the baseline of its reconstruction',
    expected='docs/evidence.md',
    cost='one GPU; not run here',
)

# BatchNorm in the head, each view by its own images, running statistics of global views
model = dict(head=dict(use_bn=True), bn_per_view=True)
sync_bn = 'torch'
