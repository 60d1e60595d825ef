# iBOT with ViT-B/16 on ImageNet-1K, 400 epochs
# Command: python tools/train.py configs/ibot/ibot_vit-b16_16xb64-coslr-400e_in1k.py
_base_ = 'ibot_vit-s16_16xb64-coslr-800e_in1k.py'
catalogue = dict(
    method='ibot',
    base='ibot',
    data='imagenet',
    epochs=400,
    paper="iBOT (arXiv 2111.07832), its README; ViT-S/16's numbers, see the page",
    expected='k-NN 77.1, linear 79.5, fine-tuned 83.8 (its README)',
    cost='not run here',
)

epochs = 400
model = dict(backbone=dict(arch='base'), head=dict(in_channels=768, norm_last_layer=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - 10,
        begin=10,
        end=epochs,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs)
