# The backbone to probe or fine-tune: ResNet-18 with a 3 x 3 stem of stride 1, no max-pool.
backbone = dict(
    type='mmpretrain.ResNet_CIFAR',
    depth=18,
    init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.'),
)
channels = 512
