# What is compared for MaskCo, and which way the paper says it goes.
title = 'MaskCo'
question = """Does masking help the last stage, and is the mask prediction head (MPH) what makes it
help?"""
metric = 'knn/top1_k20'
metric_name = 'k-NN top-1 of the last stage (k = 20, T = 0.1)'
sizes = dict(
    cpu="""20 classes of Tiny-ImageNet, every 2nd image: 5,000 as training set and bank, 1,000 as
queries, 64 px; ResNet-18 of half the width; 4 epochs of batches of 32""",
    gpu='20 classes of Tiny-ImageNet, all 10,000 + 1,000 images, 64 px; ResNet-18; 200 epochs')
configs = dict(cpu='{arm}_resnet18_tiny20-cpu', gpu='{arm}_resnet18_tiny20_200e')
arms = ['maskco-nomask', 'maskco', 'maskco-nomph-nomask', 'maskco-nomph']
headline = ['maskco-nomask', 'maskco']
short = [metric, 'probe/multilayer conv5']  # the figures of the short table
# (arm, should beat, source)
claims = [
    ('maskco', 'maskco-nomask', 'Table 2, supplement'),
    ('maskco-nomph-nomask', 'maskco-nomph', 'Table 2, supplement: without MPH the mask hurts'),
]
probes = dict(
    protocols='multilayer', data='tiny_imagenet_20c', show=[f'probe/multilayer conv{i}' for i in range(1, 6)],
    options=dict(cpu=['--train-images', '5000', '--epochs', '30']))
