# DINO with MST's BatchNorm, ViT-Tiny/4 on CIFAR-10, 200 epochs
# Paper: MST (arXiv 2106.05656), supplement section 3: the baseline of its reconstruction
# Expected: docs/evidence.md
# Cost: one GPU; not run here
# Command: python tools/train.py configs/dino/dino-bn_vit-t4_1xb256-coslr-200e_cifar10.py
_base_ = 'dino_vit-t4_1xb256-coslr-200e_cifar10.py'
catalogue = dict(
    method='dino', base='dino', data='cifar10', epochs=200, expected='docs/evidence.md'
)

# BatchNorm in the head, each view by its own images, running statistics of global views
model = dict(head=dict(use_bn=True), bn_per_view=True)
sync_bn = 'torch'
