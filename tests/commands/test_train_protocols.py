"""``train`` on configs of protocols and a plain folder."""

import pytest

SMALL = (
    'model.backbone.init_cfg=None',
    'train_dataloader.batch_size=20',
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
)
NARROW = (
    'model.backbone.depth=18',
    'model.backbone.stem_channels=8',
    'model.backbone.base_channels=8',
)


@pytest.mark.parametrize(
    'config, options, said',
    [
        (
            'resnet18_1xb256-linear-moco-steplr-100e_cifar10',
            (*NARROW, 'model.head.in_channels=64', 'train_cfg.max_epochs=1'),
            ['accuracy/top1', '[1][3/3]'],
        ),
        (
            'resnet50_8xb32-multilayer-maskco-steplr-90e_in1k',
            (*NARROW, 'model.head.in_channels=[1152,288,256,288,256]', 'train_cfg.max_epochs=1'),
            ['accuracy/conv1', 'accuracy/conv5', 'loss_conv3'],
        ),
        (
            'vit-s16_knn-mst_in1k',
            (
                'model.backbone.patch_size=112',
                'default_hooks.knn.k=[3,7]',
                'default_hooks.knn.bank.num_workers=0',
                'default_hooks.knn.test.num_workers=0',
            ),
            ['k-NN after 0 iterations', 'knn/top1_k7'],
        ),
    ],
)
def test_protocols_run_through_train_on_a_folder(images, tmp_path, train, config, options, said):
    """``tools/train.py CONFIG --data DIR``, for real."""
    done = train(
        config, '--data', images, '--work-dir', tmp_path / 'run', '--cfg-options', *SMALL, *options
    )
    assert done.status == 0, done.text[-2000:]
    for words in said:
        assert words in done.text, words
