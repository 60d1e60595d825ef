# MST with the most attended patches masked, DeiT-S, 100 epochs
# Command: python tools/train.py configs/mst/mst-high_vit-s16_16xb64-coslr-100e_in1k.py
_base_ = 'mst_vit-s16_16xb64-coslr-100e_in1k.py'
catalogue = dict(
    method='mst',
    base='dino',
    data='imagenet',
    epochs=100,
    paper='MST (arXiv 2106.05656), supplement none: the opposite of its strategy, for comparison',
    expected='not reported',
    cost='16 GPUs, 64 images each; the paper used 128 AMD DCUs; not run here',
)

model = dict(strategy='attention_high')
