# MAE on somebody's own images: mae/vitb16.py's recipe with ViT-T/16 or ViT-S/16 and a decoder of
# half its width and depth (ours).  The rate is that of ASL's small-scale recipe (supplement,
# section 2.2): 1e-3 x batch / 256.
_base_ = '../mae/vitb16.py'

decoder = dict(decoder_embed_dim=256, decoder_depth=4, decoder_num_heads=8)
vit_small = dict(backbone=dict(arch='deit-small'), neck=dict(embed_dim=384, **decoder))
vit_tiny = dict(backbone=dict(arch='deit-tiny'), neck=dict(embed_dim=192, **decoder))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=256)
