# The backbone to probe or fine-tune: ResNet-50.
backbone = dict(
    type='mmpretrain.ResNet',
    depth=50,
    init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.'),
)
channels = 2048
