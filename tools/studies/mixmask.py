# What is compared for MixMask, and which way the paper says it goes.
title = 'MixMask'
question = """Does a mixed third picture help each of the four bases at equal epochs, and are
blocks better than single cells?"""
metric = 'knn/top1_k20'
metric_name = 'k-NN top-1 (k = 20, T = 0.1)'
sizes = dict(
    cpu="""CIFAR-10, every 10th image: 5,000 as training set and bank, 1,000 as queries; ResNet-18
of a quarter of the width with a stem of stride 2; 8 epochs of batches of 64""",
    gpu='CIFAR-10, all 50,000 + 10,000 images; ResNet-18 with the 3 x 3 stem; 200 epochs of batches of 512')
configs = dict(cpu='{arm}_resnet18_cifar10-cpu', gpu='{arm}_resnet18_cifar10_200e')
arms = ['simclr', 'mixmask_simclr', 'moco', 'mixmask_moco', 'byol', 'mixmask_byol', 'simsiam',
        'mixmask_simsiam', 'mixmask-discrete_moco']
# (arm, should beat, source)
claims = [
    ('mixmask_moco', 'moco', 'supplement Fig. 1'),
    ('mixmask_simclr', 'simclr', 'supplement Fig. 1'),
    ('mixmask_byol', 'byol', 'supplement Fig. 1'),
    ('mixmask_simsiam', 'simsiam', 'supplement Fig. 1'),
    ('mixmask_moco', 'mixmask-discrete_moco', 'supplement Fig. 2'),
]
