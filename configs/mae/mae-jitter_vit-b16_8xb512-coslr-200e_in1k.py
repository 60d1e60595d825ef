# MAE with ViT-B/16 on ImageNet-1K, 200 epochs, color jitter added to its views
# Command: python tools/train.py configs/mae/mae-jitter_vit-b16_8xb512-coslr-200e_in1k.py
_base_ = 'mae_vit-b16_8xb512-coslr-200e_in1k.py'
catalogue = dict(
    method='mae',
    base='mae',
    data='imagenet',
    epochs=200,
    paper='ASL (CVPR 2024), supplement Table 5; its strength is not printed (our choice: '
    'that of MoCo v2), nor whether the rows add up (our choice: they do not)',
    expected='ImageNet-1K linear 57.6 (reported by ASL)',
    cost='8 GPUs, batch 512 each; not run here',
)

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(
                type='mssl_plugins.Views',
                views=[
                    dict(
                        _base_.view,
                        jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
                    )
                ],
            ),
            _base_.pack,
        ]
    )
)
