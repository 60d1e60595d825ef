# The backbone to probe or fine-tune: ViT-B/16.
backbone = dict(
    type='mssl_plugins.ViT',
    arch='base',
    img_size=224,
    patch_size=16,
    init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.'),
)
channels = 768
