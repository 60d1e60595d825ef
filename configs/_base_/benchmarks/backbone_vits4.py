# The backbone to probe or fine-tune: ViT-S/4.
backbone = dict(
    type='mssl_plugins.ViT',
    arch='deit-small',
    img_size=32,
    patch_size=4,
    init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.'),
)
channels = 384
