# What is compared for MST, and which way the paper says it goes.
title = 'MST'
question = """What do restoration, a random mask and the mask on the least attended patches each add
to DINO?"""
metric = 'knn/top1_k20'
metric_name = 'k-NN top-1 of the teacher (k = 20, T = 0.1)'
sizes = dict(
    cpu="""CIFAR-10, every 10th image: 5,000 as training set and bank, 1,000 as queries; ViT of 3
blocks, width 64, patches of 4 px; 2 x 32 and 2 x 16 px crops; 6 epochs of batches of 64""",
    gpu='CIFAR-10, all 50,000 + 10,000 images; ViT-Ti, patches of 4 px; 200 epochs')
configs = dict(cpu='{arm}_vit-mini_cifar10-cpu', gpu='{arm}_vit-t_cifar10_200e')
arms = ['dino', 'mst-none', 'mst-random', 'mst', 'mst-high']
headline = ['dino', 'mst']
# (arm, should beat, source)
claims = [
    ('mst', 'dino', 'Table 4'),
    ('mst-none', 'dino', 'Table 4'),
    ('mst', 'mst-random', 'Table 4'),
    ('mst', 'mst-none', 'Table 4'),
    ('mst', 'mst-high', 'section 3: crucial patches are to be kept'),
]
