# MST without a mask (DINO and reconstruction) on CIFAR-10 at a size for one CPU core
# Command: python tools/train.py configs/mst/mst-none_vit-mini_1xb64-coslr-6e_cifar10.py
_base_ = 'mst_vit-mini_1xb64-coslr-6e_cifar10.py'
catalogue = dict(
    method='mst',
    base='dino',
    data='cifar10',
    epochs=6,
    paper='MST (arXiv 2106.05656), shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

model = dict(strategy='none')
