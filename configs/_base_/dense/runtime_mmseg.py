# What every segmentation run shares.
_base_ = './runtime_mmdet.py'
default_scope = 'mmseg'
visualizer = dict(type='SegLocalVisualizer')
