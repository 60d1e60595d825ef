# DINO with MST's BatchNorm on CIFAR-10 at a size for one CPU core
# Command: python tools/train.py configs/dino/dino-bn_vit-mini_1xb64-coslr-6e_cifar10.py
_base_ = 'dino_vit-mini_1xb64-coslr-6e_cifar10.py'
catalogue = dict(
    method='dino',
    base='dino',
    data='cifar10',
    epochs=6,
    paper='MST (arXiv 2106.05656), supplement section 3: the baseline of its reconstruction',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

# BatchNorm in the head, each view by its own images, running statistics of global views
model = dict(head=dict(use_bn=True), bn_per_view=True)
sync_bn = 'torch'
