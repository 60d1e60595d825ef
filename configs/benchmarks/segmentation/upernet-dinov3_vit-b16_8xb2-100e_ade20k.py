# ADE20K semantic segmentation: UperNet from DINOv3's ViT-B/16, 512 x 512
# Command: python tools/train.py configs/benchmarks/segmentation/upernet-dinov3_vit-b16_8xb2-100e_ade20k.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/upernet_vit.py',
    '../../_base_/dense/ade20k.py',
    '../../_base_/dense/runtime_mmseg.py',
]
catalogue = dict(
    method='segmentation',
    base='upernet',
    data='ade20k',
    epochs=100,
    paper="the segmentor of upernet_vit-b16_8xb2-100e_ade20k on DINOv3's network: our choice",
    expected='not run here',
    cost='8 GPUs, 2 images each; not run here',
)

model = dict(
    backbone=dict(
        _delete_=True,
        type='mssl_plugins.ViT',
        arch='base',
        registers=4,
        rope=dict(base=100.0),
        layer_scale_init_value=1e-5,
        norm_cfg=dict(type='LN', eps=1e-5),
        out_type='featmap',
        out_indices=[3, 5, 7, 11],
        drop_path_rate=0.1,
    )
)
