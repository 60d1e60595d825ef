"""Runs that are asked to stop, a full disk, runs that share a folder; resuming inside an epoch."""

import fcntl
import logging
import os
import re
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from helpers.forked import Training
from helpers.runs import losses
from helpers.slow import SLOW
from mssl_plugins.engine.hooks.checkpoint_hook import AtomicCheckpointHook

LOG = """
    log_processor = dict(window_size=1)
    visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""
LONG = (
    LOG
    + """
    train_cfg['max_epochs'] = 400
    default_hooks['checkpoint']['interval'] = 1000
"""
)
# What OpenMMLab's transforms draw comes from the global generators.
STOCK = """
    train_dataloader['dataset']['pipeline'].insert(
        1, dict(type='mmpretrain.ColorJitter', brightness=0.9, contrast=0.9))
    train_dataloader['dataset']['pipeline'].insert(
        1, dict(type='mmcv.RandomFlip', prob=0.5))
"""


def last(folder: Path) -> dict:
    return torch.load((folder / 'last_checkpoint').read_text(), weights_only=True)


def wait_for_step(run: Training, folder: Path, step: int) -> None:
    end = time.time() + 120
    while max(losses(folder), default=0) < step and time.time() < end:
        assert run.process.is_alive(), run.log.read_text()[-2000:]
        time.sleep(0.01)


def same_weights(a: dict, b: dict) -> bool:
    return all(torch.equal(v, b['state_dict'][k]) for k, v in a['state_dict'].items())


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('extra', ['', STOCK])
def test_checkpoint_inside_an_epoch_resumes_exactly(tmp_path, tiny_config, train, workers, extra):
    config = tiny_config(
        LOG
        + extra
        + f"""
    train_cfg['max_epochs'] = 2
    train_dataloader.update(num_workers={workers}, batch_size=4)
    default_hooks['checkpoint'].update(by_epoch=False, interval=4, max_keep_ckpts=-1)
    """
    )  # 6 batches an epoch
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    assert train(config, '--work-dir', whole).status == 0
    wanted = losses(whole)
    assert sorted(wanted) == list(range(1, 13))
    for step in (4, 8):
        ended = train(config, '--work-dir', parts, '--resume', whole / f'iter_{step}.pth')
        assert ended.status == 0, ended.text[-2000:]
        assert f'{step} of 12 iterations are done' in ended.text
        assert sorted(losses(parts)) == list(range(min(sorted(losses(parts))), 13))
    assert losses(parts) == {k: v for k, v in wanted.items() if k > 4}
    assert same_weights(last(whole), last(parts)) and last(parts)['meta']['iter'] == 12


def test_signals_save_and_the_run_goes_on_exactly(tmp_path, tiny_config, train):
    config = tiny_config(
        LOG
        + """
    train_cfg['max_epochs'] = 10
    train_dataloader.update(num_workers=2, batch_size=2)
    default_hooks['checkpoint']['interval'] = 1000
    """
    )  # 12 batches an epoch
    slow = tmp_path / 'slow.py'
    slow.write_text(config.read_text() + SLOW)  # four signals find it running
    broken, straight = tmp_path / 'broken', tmp_path / 'straight'
    done = 0
    for name, status in (('SIGTERM', 143), ('SIGHUP', 143), ('SIGUSR1', 143), ('SIGINT', 130)):
        run = Training(tmp_path, slow, '--work-dir', broken, '--resume')
        wait_for_step(run, broken, done + 4)
        os.kill(run.process.pid, getattr(signal, name))
        ended = run.wait(60)
        assert ended.status == status, ended.text[-2000:]
        done = max(losses(broken))
        assert f'stopped by {name} after iteration {done} of 120' in ended.text
        assert '--resume' in ended.text and 'Traceback' not in ended.text
        assert last(broken)['meta']['iter'] == done
        assert sorted(p.name for p in broken.glob('*.pth')) == ['interim.pth']
    assert train(config, '--work-dir', broken, '--resume').status == 0
    assert train(config, '--work-dir', straight).status == 0
    assert losses(broken) == losses(straight) and len(losses(broken)) == 120
    assert same_weights(last(broken), last(straight))


def test_a_check_that_is_stopped_keeps_nothing(tmp_path, tiny_config):
    config = tiny_config(LOG)
    slow = tmp_path / 'slow.py'
    slow.write_text(config.read_text() + SLOW.replace('0.05', '0.5'))  # of 12 steps at most
    before = sorted(tmp_path.iterdir())
    run = Training(tmp_path, slow, '--work-dir', tmp_path / 'run', '--check')
    wait_for_step(run, tmp_path / '.run.check', 2)
    os.kill(run.process.pid, signal.SIGTERM)
    ended = run.wait(60)
    assert ended.status == 143, ended.text[-2000:]
    assert re.search(r'stopped by SIGTERM after iteration \d+ of 12; no run is kept', ended.text)
    assert 'resume' not in ended.text
    assert {p for p in tmp_path.iterdir() if p.is_dir()} == {p for p in before if p.is_dir()}


def test_group_wide_signal_leaves_the_workers_alive(tmp_path, tiny_config):
    config = tiny_config(LONG + "    train_dataloader['num_workers'] = 2\n")
    folder = tmp_path / 'run'
    run = Training(tmp_path, config, '--work-dir', folder)
    wait_for_step(run, folder, 4)
    children = Path(f'/proc/{run.process.pid}/task/{run.process.pid}/children').read_text().split()
    assert len(children) >= 2
    for child in map(int, children):
        os.kill(child, signal.SIGTERM)
    wait_for_step(run, folder, max(losses(folder)) + 8)  # which are not its own any more
    os.kill(run.process.pid, signal.SIGTERM)
    ended = run.wait(60)
    assert ended.status == 143 and 'Traceback' not in ended.text, ended.text[-2000:]


def test_full_disk_names_path_and_last_checkpoint(tmp_path, tiny_config):
    folder = tmp_path / 'run'
    config = tiny_config(LOG + "    train_cfg['max_epochs'] = 300\n")
    run = Training(tmp_path, config, '--work-dir', folder)
    end = time.time() + 120
    while not (folder / 'epoch_2.pth').exists() and time.time() < end:
        assert run.process.is_alive(), run.log.read_text()[-2000:]
        time.sleep(0.001)
    for epoch in range(30, 300):  # whatever is written to /dev/full finds no space
        (folder / f'.epoch_{epoch}.pth.incomplete').symlink_to('/dev/full')
    ended = run.wait(120)
    assert ended.status == 1, ended.text[-2000:]
    assert f'cannot write {folder}/epoch_30.pth: No space left on device' in ended.error
    assert f'last good checkpoint: {folder}/epoch_29.pth' in ended.error
    assert not (folder / '.epoch_30.pth.incomplete').is_symlink()
    assert [p.name for p in folder.glob('*.pth')] == ['epoch_29.pth']
    assert last(folder)['meta']['epoch'] == 29


def test_checkpoint_by_the_clock(tmp_path, tiny_config, train):
    folder = tmp_path / 'run'
    config = tiny_config(
        LOG
        + """
    train_cfg['max_epochs'] = 2
    default_hooks['checkpoint'].update(minutes=1e-9, interval=5, save_last=False)
    """
    )
    assert train(config, '--work-dir', folder).status == 0
    assert [p.name for p in folder.glob('*.pth')] == ['interim.pth']
    assert last(folder)['meta']['iter'] == 6
    config.write_text(
        config.read_text() + "default_hooks['checkpoint']['save_last'] = True\n"
        "train_cfg['max_epochs'] = 3\n"
    )
    ended = train(config, '--work-dir', folder, '--resume')
    assert ended.status == 0 and '6 of 9 iterations are done' in ended.text
    assert [p.name for p in folder.glob('*.pth')] == ['epoch_3.pth']  # which replaces it
    ended = train(config, '--work-dir', folder, '--resume')
    assert ended.status == 0 and 'is finished: all 9 iterations are done' in ended.text


def test_one_run_a_folder(tmp_path, tiny_config, train):
    folder = tmp_path / 'run'
    config = tiny_config(LONG)
    run = Training(tmp_path, config, '--work-dir', folder)
    wait_for_step(run, folder, 1)
    (tmp_path / 'other').mkdir()
    other = Training(tmp_path / 'other', config, '--work-dir', folder, '--resume').wait()
    assert other.status == 1
    assert f'another run is training in {folder} (process {run.process.pid} on' in other.error
    assert run.process.is_alive()
    assert run.kill()
    with open(folder / '.lock', 'r+') as f:  # the killed one's does not last
        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_old_run_is_not_lost(tmp_path, tiny_config, train):
    folder, config = tmp_path / 'run', tiny_config("train_cfg['max_epochs'] = 2\n")
    assert train(config, '--work-dir', folder).status == 0
    (folder / 'notes.txt').write_text('mine')
    before = {p: p.stat().st_mtime_ns for p in folder.rglob('*') if p.is_file()}
    ended = train(config, '--work-dir', folder)
    assert ended.status == 1 and ended.error.count('\n') == 0
    assert 'epoch_2.pth' in ended.error and '--resume' in ended.error
    assert '--overwrite' in ended.error
    # a run that does not begin deletes nothing
    bad = train(config, '--work-dir', folder, '--overwrite', '--cfg-options', 'model.feat_dim=no')
    assert bad.status == 2
    assert {p: p.stat().st_mtime_ns for p in folder.rglob('*') if p.is_file()} == before
    logs = {p for p in folder.iterdir() if p.is_dir()}
    time.sleep(1.1)  # MMEngine names the log by the second
    ended = train(config, '--work-dir', folder, '--overwrite', '--epochs', 1)
    assert ended.status == 0, ended.text[-2000:]
    assert [p.name for p in folder.glob('*.pth')] == ['epoch_1.pth']
    assert not logs & set(folder.iterdir()) and (folder / 'notes.txt').exists()
    ended = train(config, '--work-dir', folder, '--overwrite', '--resume')
    assert ended.status == 1 and 'give one' in ended.error
    ended = train(config, '--work-dir', folder, '--check', '--resume')
    assert ended.status == 1 and 'without --resume' in ended.error


def test_resuming_deletes_only_its_own_files(tmp_path, tiny_config, train):
    folder, config = (
        tmp_path / 'run',
        tiny_config("""
    train_cfg['max_epochs'] = 2
    default_hooks['checkpoint']['max_keep_ckpts'] = 2
    """),
    )
    assert train(config, '--work-dir', folder, '--epochs', 1).status == 0
    mine, tree = tmp_path / 'mine.pth', tmp_path / 'tree'
    mine.write_text('mine')
    tree.mkdir()
    (tree / 'a').write_text('mine')
    path = folder / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=True)
    info = checkpoint['message_hub']['runtime_info']
    info['keep_ckpt_ids'] = [f'/../../{mine.stem}', '../../mine', 7, 1.5, 1]
    info['best_ckpt'], info['best_ckpt_b'] = str(tree), str(mine)
    (folder / 'epoch_').mkdir()  # so that a path through it would be found
    (folder / 'epoch_7.pth').write_text('mine')
    torch.save(checkpoint, path)
    ended = train(
        config, '--work-dir', folder, '--resume', '--cfg-options', 'train_cfg.max_epochs=3'
    )
    assert ended.status == 0, ended.text[-2000:]
    assert mine.exists() and (tree / 'a').exists() and (folder / 'epoch_7.pth').exists()
    assert not path.exists() and (folder / 'epoch_3.pth').exists()
    # nor what lies under the same names in another folder
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'epoch_2.pth').write_text('mine')
    ended = train(
        config,
        '--work-dir',
        other,
        '--resume',
        folder / 'epoch_3.pth',
        '--cfg-options',
        'train_cfg.max_epochs=5',
    )
    assert ended.status == 0, ended.text[-2000:]
    assert (other / 'epoch_2.pth').read_text() == 'mine'


def test_best_checkpoint_outside_is_not_deleted(tmp_path):
    folder = tmp_path / 'run'
    folder.mkdir()
    for given, wanted in (
        (str(tmp_path / 'mine'), None),
        (str(folder / 'notes.pth'), None),
        ('/moved/best_a_epoch_3.pth', str(folder / 'best_a_epoch_3.pth')),
    ):
        hub = MessageHub.get_instance(f'best-{given}')
        hub.update_info('best_ckpt', given)
        hook = AtomicCheckpointHook(save_best='a', rule='greater')
        hook.before_train(
            SimpleNamespace(
                work_dir=str(folder),
                message_hub=hub,
                _resume=True,
                epoch=3,
                iter=9,
                _load_from=str(folder / 'epoch_3.pth'),
                logger=logging.getLogger('test'),
            )
        )
        assert hook.best_ckpt_path == wanted


@pytest.mark.parametrize(
    'options, said',
    [
        (['train_cfg.max_epochs=0'], 'train_cfg.max_epochs = 0: nothing to train'),
        (
            ['train_dataloader.batch_size=25'],
            'train_dataloader.batch_size = 25: 24 images a process are fewer than a batch, and '
            'drop_last=True',
        ),
    ],
)
def test_nothing_to_train_is_no_success(tmp_path, tiny_config, train, options, said):
    ended = train(tiny_config(), '--work-dir', tmp_path / 'run', '--cfg-options', *options)
    assert ended.status == 2 and said in ended.error, ended.text[-2000:]
    assert not (tmp_path / 'run').exists()
