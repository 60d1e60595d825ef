# What every pre-training run shares.
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mssl_plugins'], allow_failed_imports=False)

# Hooks are named, so that a config adds or replaces one of them by its key.
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mssl_plugins.AtomicCheckpointHook', interval=10, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    seed=dict(type='mssl_plugins.SeedHook'),  # a resumed run equals the undisturbed one
    guard=dict(type='mssl_plugins.LossGuard'),  # NaN stops the run
    teacher=dict(type='mssl_plugins.TeacherHook'),  # EMA after the optimizer's step
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends, name='visualizer')
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0, diff_rank_seed=True)
