# MoCo v2 on somebody's own images
# Command: python -m mssl_plugins train mocov2_resnet50_photos --data FOLDER
_base_ = [
    '../_base_/photos/folder.py',
    '../_base_/siamese/mocov2_resnet50.py',
    '../_base_/schedules/imagenet_sgd_coslr_200e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mocov2',
    base='mocov2',
    data='photos',
    epochs=200,
    paper='MoCo v2 (arXiv 2003.04297)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(
                type='mssl_plugins.Views', views=[dict(_base_.view, num=2, size=_base_.image_size)]
            ),
            dict(type='mssl_plugins.PackViews'),
        ]
    )
)
