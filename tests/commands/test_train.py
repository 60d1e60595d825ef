"""``train``: what it trains, resumes and refuses."""

import shutil

import pytest

from helpers.paths import ROOT


def test_trains_and_resumes(tmp_path, tiny_config, train):
    config, run = tiny_config(), tmp_path / 'run'
    assert train(config, '--work-dir', run, '--cfg-options', 'train_cfg.max_epochs=2').status == 0
    assert (run / 'epoch_2.pth').is_file()
    # the copy has another name: `mim` finds configs by theirs
    assert [p.name for p in run.glob('*.py')] == ['config.py']
    moved = run.rename(tmp_path / 'moved')
    done = train(
        config,
        '--work-dir',
        moved,
        '--resume',
        '--seed',
        3,
        '--cfg-options',
        'train_cfg.max_epochs=3',
    )
    assert done.status == 0 and 'resumed epoch: 2' in done.text
    changes = 'other settings than it was started with'
    assert changes in done.text and 'train_cfg.max_epochs 2 -> ' in done.text
    assert [p.name for p in moved.glob('*.pth')] == ['epoch_3.pth']


def test_amp_is_bfloat16_without_an_accelerator(tmp_path, tiny_config, train):
    done = train(
        tiny_config(),
        '--work-dir',
        tmp_path / 'run',
        '--amp',
        '--cfg-options',
        'train_cfg.max_epochs=1',
    )
    assert done.status == 0
    assert 'BF16OptimWrapper' in (tmp_path / 'run/config.py').read_text()


@pytest.mark.parametrize(
    'options, said',
    [
        ('model.type=mssl_plugins.MoCoo', "did you mean 'mssl_plugins.MoCo'"),
        ('model.backbone.type=mmpretrain.ResNett', "did you mean 'mmpretrain.ResNet'"),
        ('default_hooks.seed.type=mssl_plugins.SedHook', "did you mean 'mssl_plugins.SeedHook'"),
        ('modle.queue_len=3', "did you mean 'model'"),
        ('model.queue_length=3', 'queue_length'),
        ('train_dataloader.dataset.data_prefix=/no/such/folder', '/no/such/folder'),
        ('load_from=/no/such/file.pth', 'no such checkpoint'),
        ('model.mixing.grid=2', 'grid 2'),
        ('train_dataloader.batch_size=1', 'at least 2 per process, got 1'),
    ],
)
def test_wrong_setting_is_one_line_and_leaves_nothing(tmp_path, tiny_config, train, options, said):
    done = train(tiny_config(), '--work-dir', tmp_path / 'new/run', '--cfg-options', options)
    assert done.status == 2 and said in done.error, done.text[-2000:]
    assert 'Traceback' not in done.text and done.error.count('\n') == 0
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('workers', [0, 1])
def test_images_that_cannot_be_read_stop_the_run(tmp_path, tiny_config, train, workers):
    empty, broken = tmp_path / 'empty', tmp_path / 'broken'
    empty.mkdir(), broken.mkdir()
    for i in range(20):
        (broken / f'{i}.png').write_bytes(b'no image')
    for folder, said, left in (
        (empty, 'empty', []),
        (
            broken,
            ': 20 of 20 files cannot be used, more than --max-bad 0.01',
            ['new', 'new/run_not_used.txt'],  # with their names and reasons
        ),
    ):
        done = train(
            tiny_config(),
            '--work-dir',
            tmp_path / 'new/run',
            '--data',
            folder,
            '--cfg-options',
            f'train_dataloader.num_workers={workers}',
        )
        assert done.status == 1 and said in done.error, done.text[-2000:]
        assert 'Traceback' not in done.text and done.error.count('\n') == 0
        found = [p for p in tmp_path.rglob('*') if 'new' in p.relative_to(tmp_path).parts]
        assert sorted(str(p.relative_to(tmp_path)) for p in found) == left


def test_allow_missing_trains_without_some_segments(tmp_path, tiny_config, train, image_folder):
    from mssl_plugins.segments.build import make
    from mssl_plugins.segments.image_set import find_images

    segments = tmp_path / 'segments'
    make(find_images(str(image_folder / 'a')), str(segments), 'slic', workers=0, shown=False)
    config = tiny_config(f"""
        train_dataloader['dataset']['pipeline'][0] = dict(
            type='mssl_plugins.LoadSegments', segments={str(segments)!r})
        """)
    options = ['--cfg-options', 'train_cfg.max_epochs=1']
    done = train(config, '--work-dir', tmp_path / 'all', '--data', image_folder / 'a', *options)
    assert done.status == 0, done.text[-2000:]
    more = tmp_path / 'more'
    shutil.copytree(image_folder / 'a', more)
    shutil.copy(image_folder / 'b/00.png', more / 'new.png')
    done = train(config, '--work-dir', tmp_path / 'new', '--data', more, *options)
    assert done.status == 2 and 'no segments for 1 of' in done.error and 'new.png' in done.error
    assert '--allow-missing' in done.error and not (tmp_path / 'new').exists()
    done = train(
        config, '--work-dir', tmp_path / 'new', '--data', more, '--allow-missing', *options
    )
    assert done.status == 0, done.text[-2000:]
    done = train(tiny_config(), '--work-dir', tmp_path / 'none', '--allow-missing')
    assert done.status == 1 and 'loads no segments' in done.error


def test_failed_start_keeps_an_earlier_run(tmp_path, tiny_config, train):
    run = tmp_path / 'run'
    run.mkdir()
    (run / 'epoch_9.pth').write_text('mine')
    done = train(tiny_config(), '--work-dir', run, '--cfg-options', 'model.type=Nonsense')
    assert done.status == 1
    assert [p.name for p in run.iterdir()] == ['epoch_9.pth']


def test_two_processes_without_a_gpu(tmp_path, tiny_config, run_python):
    """torchrun, gloo, and mmpretrain's SyncBN, which needs a GPU."""
    config = tiny_config("""
        model['backbone']['norm_cfg'] = dict(type='SyncBN')
        model['queue_len'] = 32
        """)
    done = run_python(
        '-m',
        'torch.distributed.run',
        '--standalone',
        '--nproc_per_node',
        2,
        ROOT / 'tools/train.py',
        config,
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        'train_cfg.max_epochs=2',
        'train_dataloader.batch_size=4',
        env={'CUDA_VISIBLE_DEVICES': '-1'},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'run/epoch_2.pth').is_file()
    assert 'CPUDistributedDataParallel' in (tmp_path / 'run/config.py').read_text()


def test_launcher_without_its_environment(tmp_path, tiny_config, train):
    import torch

    if torch.cuda.is_available():
        pytest.skip('MMEngine opens the group where there is a GPU')
    done = train(tiny_config(), '--launcher', 'slurm', '--work-dir', tmp_path / 'run')
    assert done.status == 1 and 'SLURM_PROCID' in done.error


def test_training_on_a_folder(train, image_folder, tmp_path):
    """``--data`` takes a plain folder, and measures k-NN where there are classes."""
    config = ROOT / 'configs/mixmask/simclr_resnet18_1xb64-coslr-8e_scenes.py'
    small = [
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=8',
        'model.backbone.stem_channels=8',
        'model.backbone.base_channels=8',
        'model.neck.in_channels=64',
    ]
    status, text = train(
        str(config), '--work-dir', str(tmp_path / 'plain'), '--data', str(image_folder), *small
    )
    assert status == 0 and 'k-NN after' not in text, text
    split = tmp_path / 'split'
    for part in ('train', 'val'):
        shutil.copytree(image_folder, split / part)
    status, text = train(
        str(config), '--work-dir', str(tmp_path / 'split_run'), '--data', str(split), *small
    )
    assert status == 0 and 'k-NN after 2 iterations' in text, text
    status, text = train(str(config), '--data', str(tmp_path / 'nowhere'), *small)
    assert status != 0 and 'no such folder' in text
