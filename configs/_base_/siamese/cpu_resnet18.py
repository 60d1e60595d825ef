# ResNet-18 at CPU size: a quarter of the width and a stem of stride 2, about 60 times less arithmetic.
cpu_model = dict(
    channels_last=True,
    backbone=dict(
        type='mssl_plugins.SmallImageResNet',
        pool=False,
        stem_stride=2,
        stem_channels=16,
        base_channels=16,
    ),
    neck=dict(in_channels=128),
)
