# MST without a mask (DINO and reconstruction) with ViT-Tiny/4 on CIFAR-10, 200 epochs
# Command: python tools/train.py configs/mst/mst-none_vit-t4_1xb256-coslr-200e_cifar10.py
_base_ = 'mst_vit-t4_1xb256-coslr-200e_cifar10.py'
catalogue = dict(
    method='mst',
    base='dino',
    data='cifar10',
    epochs=200,
    paper='MST (arXiv 2106.05656), shrunk: our choice',
    expected='docs/evidence.md',
    cost='one GPU; not run here',
)

model = dict(strategy='none')
