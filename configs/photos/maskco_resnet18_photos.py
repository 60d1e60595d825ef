# MaskCo on somebody's own images
# Command: python -m mssl_plugins train maskco_resnet18_photos --data FOLDER
_base_ = [
    '../_base_/photos/folder.py',
    '../_base_/maskco/maskco_resnet50.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='maskco',
    base='maskco',
    data='photos',
    epochs=200,
    paper='MaskCo (arXiv 2108.07954)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

model = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=512, hidden_channels=256),
    head=dict(in_channels=512, hid_channels=512),
)
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=_base_.train_pipeline))
