# What is compared for the mask-guided attention bias, and which way the paper says it goes.
#
# The segments come first, once (scikit-image's, not SAM's); DATA is the folder of packed images:
#   python tools/make_segments.py DATA/cifar10_train.npz data/segments/cifar10 --generator felzenszwalb
#   python tools/make_segments.py DATA/cifar10_test.npz data/segments/cifar10_test --generator felzenszwalb
# and for --size tiny the same of tiny_imagenet_20c_{train,val}.npz into
# data/segments/tiny_imagenet_20c{,_val}, with MSSL_DATA=DATA in the environment.
title = 'Mask-guided attention bias'
question = """Do segments in the attention help DINO and MAE, does the positive relation help more
than the negative one, and does a plain student keep the gain without segments?"""
metric = 'knn/top1_k20'
metric_name = ('k-NN top-1 (k = 20, T = 0.1; phase 1 sees the segments of bank and queries, all others '
               'the images alone)')
sizes = dict(
    cpu="""CIFAR-10, every 10th image: 5,000 as training set and bank, 1,000 as queries; ViT of 3
blocks, width 64, patches of 4 px; 6 epochs (DINO) or 12 (MAE) of batches of 64; segments by
Felzenszwalb's method""",
    tiny="""Tiny-ImageNet, 20 classes, every 2nd image: 5,000 as training set and bank, 1,000 as
queries, views of 32 px; network and epochs of the cpu size; segments by Felzenszwalb's method on
64 px""")
configs = dict(cpu='{arm}_vit-mini_cifar10-cpu', tiny='{arm}_vit-mini_tiny20-cpu')
arms = ['dino', 'mask-guided_dino', 'mask-guided-negative_dino', 'mae', 'mask-guided_mae',
        'mask-guided-negative_mae', 'mask-guided-distill_dino', 'mask-guided-distill_mae']
headline = ['dino', 'mask-guided_dino', 'mae', 'mask-guided_mae']
# phase 2 starts from the phase-1 run of its own seed; {runs} is the study's folder of runs
options = {
    'mask-guided-distill_dino': {
        'model.teacher.checkpoint': '{runs}/mask-guided_dino-s{seed}/epoch_6.pth'},
    'mask-guided-distill_mae': {
        'model.teacher.checkpoint': '{runs}/mask-guided_mae-s{seed}/epoch_12.pth'},
}
# (arm, should beat, source)
claims = [
    ('mask-guided_dino', 'dino', 'reported for fine-tuning, second-hand'),
    ('mask-guided_mae', 'mae', 'reported for linear probes, second-hand'),
    ('mask-guided_dino', 'mask-guided-negative_dino', 'second-hand'),
    ('mask-guided_mae', 'mask-guided-negative_mae', 'second-hand'),
    ('mask-guided-distill_dino', 'dino', 'supplement Fig. 1; keeps most of the gain, second-hand'),
    ('mask-guided-distill_mae', 'mae', 'our phase 2'),
]
