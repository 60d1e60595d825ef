"""Runs on a folder of photos: options, processes, mistakes."""

import re

import pytest

from helpers.forked import Training
from helpers.messy import make_messy_folder
from helpers.photos import SIZE, train_photos
from mssl_plugins import catalogue
from mssl_plugins.config import read_config
from mssl_plugins.photos import Wishes, use_folder
from mssl_plugins.registry import DATASETS
from mssl_plugins.work_dir import beside


@pytest.fixture(scope='module')
def messy(tmp_path_factory):
    return make_messy_folder(tmp_path_factory.mktemp('photos') / 'mine', good=24)


def run(folder, *argv, quiet=True):
    return Training(folder, *argv, quiet=quiet).wait()


@pytest.mark.parametrize(
    'alias, stem',
    [
        ('photos/mocov2', 'mocov2_resnet18'),
        ('photos/mixmask', 'mixmask_mocov2_resnet18'),
        ('photos/dino', 'dino_vit-t16'),
        ('photos/mae', 'mae_vit-t16'),
        ('photos/mask-guided', 'mask-guided_dino_vit-t16'),
        ('photos/maskco', 'maskco_resnet18'),
    ],
)
def test_short_names(alias, stem):
    assert catalogue.find(alias).stem == f'{stem}_photos'


def test_check_keeps_nothing(tmp_path, messy):
    done = train_photos(tmp_path, messy, 'photos/simsiam', '--check')
    assert done.status == 0, done.text
    assert re.search(r'checked: .* an epoch, about .* no run is kept', done.text)
    assert not (tmp_path / 'run').exists()
    listed = (tmp_path / 'run_not_used.txt').read_text()
    assert 'cut.jpg\ttruncated\n' in listed and str(tmp_path / 'run_not_used.txt') in done.text


def test_check_leaves_a_finished_run_as_it_is(tmp_path, messy):
    """With segments of its own, which are few."""
    run = tmp_path / 'run'
    assert train_photos(tmp_path, messy, 'photos/mask-guided').status == 0
    before = {p: p.read_bytes() for p in run.rglob('*') if p.is_file()}
    done = train_photos(tmp_path, messy, 'photos/mask-guided', '--check')
    assert done.status == 0 and 'images, for the check' in done.text, done.text
    assert '.check' not in done.text
    after = {p: p.read_bytes() for p in run.rglob('*') if p.is_file()}
    assert after.pop(run / 'not_used.txt') == before[run / 'images/not_used.txt']
    assert after == before and not beside(run).exists()


def test_a_config_that_names_its_own_work_dir(tmp_path, messy):
    """Also a finished run's config.py: started over, and its lists are whole if that is refused."""
    train = ('--data', messy, '--size', SIZE, '--batch-size', '8', '--max-bad', '0.1')
    config = tmp_path / 'mine.py'
    config.write_text(
        "_base_ = 'mssl_plugins::photos/simsiam_resnet18_photos.py'\n"
        f"work_dir = '{tmp_path / 'own'}'\n"
    )
    done = run(tmp_path, config, *train, '--epochs', '1')
    assert done.status == 0 and (tmp_path / 'own/epoch_1.pth').is_file(), done.text
    lists = {p: p.read_bytes() for p in (tmp_path / 'own/images').iterdir()}
    done = run(tmp_path, tmp_path / 'own/config.py', '--data', messy, '--min-size', '200')
    assert done.status and 'holds a run' in done.error, done.text
    assert {p: p.read_bytes() for p in (tmp_path / 'own/images').iterdir()} == lists
    done = run(tmp_path, tmp_path / 'own/config.py', *train, '--overwrite', '--epochs', '1')
    assert done.status == 0 and (tmp_path / 'own/epoch_1.pth').is_file(), done.text
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.parametrize('other, root', [('val', 'train'), ('bus', '')])
def test_a_folder_called_train_is_the_set_only_beside_test_images(tmp_path, other, root):
    cfg = read_config('photos/simsiam')
    cfg.work_dir = str(tmp_path / 'run')
    for place in ('train', other):
        make_messy_folder(tmp_path / 'mine' / place, good=24)
    use_folder(cfg, str(tmp_path / 'mine'), Wishes(max_bad=0.5), say=lambda line: None)
    train = cfg.train_dataloader.dataset
    assert train.data_root == str(tmp_path / 'mine' / root) and len(DATASETS.build(train)) > 0


def test_segments_are_made_on_the_way(tmp_path, messy):
    done = train_photos(tmp_path, messy, 'photos/mask-guided')
    assert done.status == 0, done.text
    assert (tmp_path / 'run/segments/segments.json').is_file()
    assert 'made by felzenszwalb' in done.text


def test_resuming_keeps_the_lists(tmp_path, messy):
    argv = (
        'photos/simsiam',
        '--data',
        messy,
        '--size',
        SIZE,
        '--batch-size',
        '8',
        '--max-bad',
        '0.1',
        '--work-dir',
        tmp_path / 'run',
        '--epochs',
        '1',
    )
    assert run(tmp_path, *argv).status == 0
    held_out = (tmp_path / 'run/images/held_out.txt').read_text()
    done = run(tmp_path, *argv, '--resume', tmp_path / 'run/epoch_1.pth')
    assert done.status == 0 and 'images as listed in' in done.text, done.text
    assert (tmp_path / 'run/images/held_out.txt').read_text() == held_out
    assert 'other settings' not in done.text


def test_two_processes(tmp_path, messy, run_python):
    """The first one looks, writes lists and makes segments; the other waits for them."""
    argv = ('--data', messy, '--size', SIZE, '--epochs', '1', '--batch-size', '4')
    run = (*argv, '--processes', '2', '--work-dir', tmp_path / 'run')
    train = ('-m', 'mssl_plugins', 'train', 'photos/mask-guided_mae', *run)
    done = run_python(*train, '--max-bad', '0.1')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'batch 8 (4 a process)' in done.stdout and (tmp_path / 'run/epoch_1.pth').is_file()
    for once in ('epoch 1/1', 'to learn from', 'made by felzenszwalb', 'disk: checkpoints'):
        assert done.stdout.count(once) == 1, (once, done.stdout)
    assert 'WARNING' not in done.stderr and not done.stderr.strip(), done.stderr


def test_an_error_of_the_first_process_ends_all_with_one_line(tmp_path, messy, run_python):
    argv = ('--processes', '2', '--work-dir', tmp_path / 'run', '--max-bad', '0')
    done = run_python('-m', 'mssl_plugins', 'train', 'photos/mae', '--data', messy, *argv)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert 'files cannot be used, more than --max-bad 0' in line
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'argv, said',
    [
        (['--epochs', '0'], '--epochs 0: must be 1 or more'),
        (['--size', '70'], '--size 70: the network has patches of 16 px, so 64 or 80'),
        (['--batch-size', '4000'], 'fewer than a batch of 4000'),
        (['--segments', 'x'], 'this method takes no segments'),
        (['--max-bad', '0'], 'files cannot be used, more than --max-bad 0'),
        (['--from', '/no/such.pth'], 'no such checkpoint: /no/such.pth'),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, messy, argv, said):
    done = run(
        tmp_path,
        'photos/mae',
        '--data',
        messy,
        '--work-dir',
        tmp_path / 'run',
        '--batch-size',
        '8',
        '--max-bad',
        '0.1',
        *argv,
    )
    assert done.status == 1 and said in done.error and '\n' not in done.error, done.text
    assert not (tmp_path / 'run').exists()


def test_a_thumbnail_recipe_refuses_photos(tmp_path, messy):
    done = run(
        tmp_path, 'mae_vit-mini_1xb256-coslr-12e_scenes', '--data', messy, '--max-bad', '0.1'
    )
    assert done.status == 1, done.text
    assert 'a recipe for 32 px' in done.error and 'train photos/mae --data' in done.error


def test_a_photo_recipe_asks_for_the_folder(tmp_path):
    done = run(tmp_path, 'photos/mae')
    assert (
        done.status == 1 and 'is for your own images: name their folder with --data' in done.error
    )
