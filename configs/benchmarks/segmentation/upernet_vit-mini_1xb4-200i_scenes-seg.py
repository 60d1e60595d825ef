# Generated scenes with label maps: UperNet with a small ViT
# Command: python tools/dense_data.py seg data/scenes-seg
#          python tools/train.py configs/benchmarks/segmentation/upernet_vit-mini_1xb4-200i_scenes-seg.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/upernet_small.py',
    '../../_base_/dense/scenes_seg.py',
    '../../_base_/dense/runtime_mmseg_iters.py',
]
catalogue = dict(
    method='segmentation',
    base='upernet',
    data='scenes',
    epochs=2,
    iterations=200,
    paper='none; the segmentor of upernet_vit-b16_8xb2-100e_ade20k, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on 1 CPU core',
)

model = dict(
    decode_head=dict(num_classes=len(_base_.classes), loss_decode=_base_.weights),
    auxiliary_head=dict(num_classes=len(_base_.classes), loss_decode=_base_.weights),
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))
