"""``evaluate``: mistakes are one line."""

import torch

from helpers.evaluation import RESNET, VIT, one_line, write_images


def test_wrong_names(evaluate, images, checkpoints):
    vit = checkpoints / 'vit.pth'
    for argv, words in (
        (['--protocols', 'knn,lienar'], ["unknown protocol 'lienar'", "did you mean 'linear'"]),
        (['--protocols', 'multilayer'], ["'multilayer' is for a ResNet", 'holds a ViT']),
        (['--protocols', ','], ['no protocol named']),
        (['--k', 61], ['k = 61 is larger than the bank of 60 training images']),
        (['--protocols', 'finetune-1', '--labels-1', 'absent.txt'], ['no list absent.txt']),
        (['--train-images', 2], ['2 images are less than one a class']),
        (['--epochs', 0], ['epochs must be 1 or more']),
        (['--classes', 'absent.txt'], ['no list of classes']),
    ):
        status, text, rows = evaluate(vit, '--data', images, *argv)
        assert status == 1 and rows is None
        one_line(text, *words)
    status, text, _ = evaluate('absent.pth', '--data', images)
    one_line(text, 'no such checkpoint: absent.pth')
    status, text, _ = evaluate(vit, '--data', 'absent')
    one_line(text, 'absent')
    status, text, _ = evaluate(vit)
    one_line(text, 'give a checkpoint and --data DIR')
    status, text, _ = evaluate('--list', out=False)
    assert status in (0, None) and 'dino-linear' in text


def test_wrong_data(evaluate, checkpoints, tmp_path):
    vit = checkpoints / 'vit.pth'
    flat, fewer, other, half = (tmp_path / n for n in ('flat', 'fewer', 'other', 'half'))
    write_images(flat / 'train' / 'deep', 'ab', 2)
    for image in (flat / 'train').rglob('*.png'):
        image.rename(flat / 'train' / f'{image.parent.name}{image.name}')
    write_images(flat / 'val', 'ab', 2)
    status, text, _ = evaluate(vit, '--data', flat)
    assert status == 1
    one_line(text, 'no label')
    write_images(fewer / 'train', 'abc', 4), write_images(fewer / 'val', 'ab', 2)
    status, text, _ = evaluate(vit, '--data', fewer)
    assert status == 1
    one_line(text, 'the training set has 3 classes, the test set 2', 'in one of them only: c')
    write_images(other / 'train', 'ab', 4), write_images(other / 'val', 'ax', 2)
    status, text, _ = evaluate(vit, '--data', other)
    one_line(text, 'in one of them only: b, x')
    write_images(half / 'train', 'ab', 4)
    status, text, _ = evaluate(vit, '--data', half)
    one_line(text, 'no labeled images (val)', 'sub-folder a class')


def test_wrong_checkpoints(evaluate, images, checkpoints, tmp_path):
    torch.save(dict(state_dict={'head.fc.weight': torch.zeros(2, 3)}), tmp_path / 'none.pth')
    status, text, _ = evaluate(tmp_path / 'none.pth', '--data', images)
    assert status == 1
    one_line(text, 'head.fc.weight', 'no ViT and no ResNet')
    deeper = tmp_path / 'other.py'
    deeper.write_text(f'model = dict(backbone={dict(VIT, arch=dict(VIT["arch"], num_layers=7))})')
    status, text, _ = evaluate(checkpoints / 'vit.pth', '--data', images, '--config', deeper)
    assert status == 1
    one_line(text, 'num_layers 7 instead of 5')
    resnet = tmp_path / 'resnet.py'
    resnet.write_text(f'model = dict(backbone={dict(RESNET)})')
    status, text, _ = evaluate(checkpoints / 'vit.pth', '--data', images, '--config', resnet)
    one_line(text, "backbone is a mmpretrain.ResNet_CIFAR, the weights are a ViT's")
    state = torch.load(checkpoints / 'resnet.pth', weights_only=True)
    state['state_dict'].pop('backbone.layer3.1.conv2.weight')
    torch.save(state, tmp_path / 'hole.pth')
    status, text, _ = evaluate(tmp_path / 'hole.pth', '--data', images)
    assert status == 1
    one_line(text, 'missing: layer3.1.conv2.weight')
