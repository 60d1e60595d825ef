# MAE with ViT-B/16 on ImageNet-100 and COCO concatenated, 4000 epochs, the baseline at equal iterations
# Command: python tools/train.py configs/mae/mae_vit-b16_8xb512-coslr-4000e_in100-coco.py
_base_ = [
    '../_base_/datasets/imagenet100_coco.py',
    '../_base_/mae/vitb16.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mae',
    base='mae',
    data='imagenet100+coco',
    epochs=4000,
    paper='ASL (CVPR 2024), supplement section 2.1 and Table 3',
    expected='not in the supplement',
    cost='8 GPUs, batch 512 each; not run here',
)

epochs = 4000
train_cfg = dict(max_epochs=epochs)
warm, cosine = _base_.param_scheduler
param_scheduler = [warm, dict(cosine, T_max=epochs - _base_.warmup, end=epochs)]

# 8 processes
train_dataloader = dict(
    batch_size=512,
    dataset=dict(datasets=[dict(pipeline=_base_.train_pipeline, **part) for part in _base_.parts]),
)
