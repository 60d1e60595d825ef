# What every detection run shares. default_hooks.backbone.checkpoint names the pre-trained weights.
default_scope = 'mmdet'
custom_imports = dict(imports=['mssl_plugins'], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mssl_plugins.AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    seed=dict(type='mssl_plugins.SeedHook'),
    guard=dict(type='mssl_plugins.LossGuard'),
    # stops where a key of the backbone is missing in the checkpoint
    backbone=dict(type='mssl_plugins.LoadBackboneHook', checkpoint='', branch='student'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0, diff_rank_seed=True)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
