# What is compared for ASL, and which way the paper says it goes.
title = 'ASL'
question = """Does L_SEM help MAE at equal iterations, in which form, with which negatives and at
which weight?"""
metric = 'knn/top1_k20'
metric_name = 'k-NN top-1 (k = 20, T = 0.1)'
sizes = dict(
    cpu="""CIFAR-10, every 10th image: 5,000 as training set and bank, 1,000 as queries; ViT of 3
blocks, width 64, patches of 4 px; 12 epochs of batches of 64""",
    gpu='CIFAR-10, all 50,000 + 10,000 images; ViT-S, patches of 4 px; 200 epochs of batches of 512')
configs = dict(cpu='{arm}_vit-mini_cifar10-cpu', gpu='{arm}_vits4_cifar10_200e')
arms = ['mae', 'asl', 'asl-branches', 'asl-reconstruct', 'asl-image', 'asl-index', 'asl-w01',
        'asl-w05', 'asl-w2']
headline = ['mae', 'asl', 'asl-branches', 'asl-reconstruct']  # the forms decide the default of sem
short = [metric, 'probe/linear cls']  # the figures of the short table
# (arm, should beat, source)
claims = [
    ('asl', 'mae', 'Table 1'),
    ('asl', 'asl-branches', 'section 7'),
    ('asl', 'asl-reconstruct', 'section 7'),
    ('asl', 'asl-w01', 'section 9'),
    ('asl', 'asl-w05', 'section 9'),
    ('asl', 'asl-w2', 'section 9'),
]
probes = dict(
    protocols='linear', data='cifar10', show=['probe/linear cls'],
    options=dict(cpu=['--train-images', '5000', '--test-images', '1000', '--epochs', '30']))
