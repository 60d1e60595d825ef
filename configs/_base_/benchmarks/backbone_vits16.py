# The backbone to probe or fine-tune: ViT-S/16.
backbone = dict(
    type='mssl_plugins.ViT',
    arch='deit-small',
    img_size=224,
    patch_size=16,
    init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.'),
)
channels = 384
