# UperNet on a plain ViT for a CPU: the network of mae_vit-mini_1xb256-coslr-12e_scenes, asl_vit-mini_1xb256-coslr-12e_scenes and
# simclr_vit-mini_1xb32-coslr-8e_scenes, patches of 4 px. Sizes and schedule are our choice.
_base_ = './upernet_vit.py'
channels = 48
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512
        ),
        img_size=32,
        patch_size=4,
        map_size=16,
        out_indices=[0, 1, 2, 3],
        drop_path_rate=0.0,
    ),
    neck=dict(embed_dim=128, rescales=[2, 1, 0.5, 0.25]),
    decode_head=dict(in_channels=[128] * 4, channels=channels),
    auxiliary_head=dict(in_channels=128, channels=channels),
    test_cfg=dict(_delete_=True, mode='whole'),
)

lr, batch_size, iterations = 2e-3, 4, 200
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.8))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=30, end=iterations),
]
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations
)
auto_scale_lr = dict(base_batch_size=batch_size)
