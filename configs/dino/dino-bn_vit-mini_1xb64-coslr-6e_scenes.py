# DINO with MST's BatchNorm on generated scenes: nothing to download
# Command: python tools/train.py configs/dino/dino-bn_vit-mini_1xb64-coslr-6e_scenes.py
_base_ = 'dino_vit-mini_1xb64-coslr-6e_scenes.py'
catalogue = dict(
    method='dino',
    base='dino',
    data='scenes',
    epochs=6,
    paper='MST (arXiv 2106.05656), supplement section 3: the baseline of its reconstruction',
    expected='docs/evidence.md',
    cost='see docs/evidence.md',
)

# BatchNorm in the head, each view by its own images, running statistics of global views
model = dict(head=dict(use_bn=True), bn_per_view=True)
sync_bn = 'torch'
