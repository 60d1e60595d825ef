# The backbone to probe: ResNet-18 with a 3 x 3 stem of stride 1 and a max-pool.
backbone = dict(
    type='mssl_plugins.SmallImageResNet',
    depth=18,
    init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.'),
)
channels = 512
