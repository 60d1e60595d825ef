# What segmentation runs share that count iterations instead of epochs.
_base_ = './runtime_mmdet.py'
default_scope = 'mmseg'
visualizer = dict(type='SegLocalVisualizer')
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=10000)
)
