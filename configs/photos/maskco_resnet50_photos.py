# MaskCo on somebody's own images
# Command: python -m mssl_plugins train maskco_resnet50_photos --data FOLDER
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

train_dataloader = dict(batch_size=32, dataset=dict(pipeline=_base_.train_pipeline))
