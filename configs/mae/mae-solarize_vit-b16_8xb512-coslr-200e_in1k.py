# MAE with ViT-B/16 on ImageNet-1K, 200 epochs, solarization added to its views
# Command: python tools/train.py configs/mae/mae-solarize_vit-b16_8xb512-coslr-200e_in1k.py
_base_ = 'mae_vit-b16_8xb512-coslr-200e_in1k.py'
catalogue = dict(
    method='mae',
    base='mae',
    data='imagenet',
    epochs=200,
    paper='ASL (CVPR 2024), supplement Table 5; its strength is not printed (our choice: '
    'that of BYOL), nor whether the rows add up (our choice: they do not)',
    expected='ImageNet-1K linear 55.8 (reported by ASL)',
    cost='8 GPUs, batch 512 each; not run here',
)

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(
                type='mssl_plugins.Views',
                views=[dict(_base_.view, solarize=dict(p=0.2, threshold=128))],
            ),
            _base_.pack,
        ]
    )
)
