"""Nothing is lost, and nothing foreign is run.

A run killed at any moment goes on as if it had not been; a loss that is not
finite stops it; a stranger's checkpoint is data.
"""

import os
import random
import time
from pathlib import Path

import pytest
import torch

from helpers.forked import Training
from helpers.runs import losses
from helpers.tools import tool

held = tool('reliability/forked').held

# The queue is large so that writing a checkpoint takes a while.
LARGE = """
    model['queue_len'] = 100000
    train_cfg['max_epochs'] = 6
    log_processor = dict(window_size=1)
    visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""


def wait_for(condition, run: Training, seconds: float = 60) -> None:
    end = time.time() + seconds
    while not condition() and run.process.is_alive() and time.time() < end:
        time.sleep(0.0002)


def check_whole(work_dir: Path) -> None:
    """What a killed run left can be read."""
    for path in work_dir.glob('*.pth'):
        torch.load(path, weights_only=True)
    note = work_dir / 'last_checkpoint'
    if note.exists():
        assert Path(note.read_text()).is_file()


def test_killed_run_goes_on_exactly(tmp_path, tiny_config):
    config = tiny_config(LARGE)
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    assert Training(tmp_path, config, '--work-dir', straight).wait().status == 0
    wanted = losses(straight)
    assert sorted(wanted) == list(range(1, 19))
    assert all(len(values) == 1 for values in wanted.values())

    rng = random.Random(0)
    parts = lambda: list(broken.glob('.*.incomplete'))  # noqa: E731
    killed = while_saving = 0
    for attempt in range(6):
        run = Training(tmp_path, config, '--work-dir', broken, '--resume')
        if attempt % 2:  # after some steps
            before = max(losses(broken), default=0)
            until = before + rng.randint(1, max(1, (18 - before) // 2))
            wait_for(lambda: max(losses(broken), default=0) >= until, run)
        else:  # while it saves

            def saving() -> bool:
                if not parts():
                    return False
                time.sleep(rng.uniform(0, 0.002))
                return held(run.process.pid, parts)

            wait_for(saving, run)
        if run.kill():
            killed += 1
            while_saving += bool(parts())
        check_whole(broken)
    assert Training(tmp_path, config, '--work-dir', broken, '--resume').wait().status == 0
    assert killed >= 3 and while_saving >= 1, (killed, while_saving)
    assert losses(broken) == wanted
    # and nothing is left over
    assert [p.name for p in broken.glob('*.pth')] == ['epoch_6.pth']
    assert not list(broken.glob('.*'))
    ends = [
        torch.load(d / 'epoch_6.pth', weights_only=True)['state_dict'] for d in (straight, broken)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*(e.values() for e in ends)))


def test_old_checkpoint_goes_after_the_new_one_is_there(tmp_path):
    from mssl_plugins.files import write_atomically

    path = tmp_path / 'sub' / 'a.pth'
    write_atomically(b'old', path)

    with pytest.raises(TypeError):
        write_atomically('not bytes', path)
    assert path.read_bytes() == b'old'
    write_atomically(b'new', path)
    assert path.read_bytes() == b'new'
    assert os.listdir(path.parent) == ['a.pth']


def test_nan_stops_before_the_weights_are_touched(tmp_path, tiny_config, train):
    # a temperature of 0 from the third epoch on
    config = tiny_config("""
        default_hooks['schedule']['schedules'] += [dict(
            target='head.temperature', start=0.2, end=0., curve='step',
            length=2)]
        """)
    work_dir = tmp_path / 'run'
    ended = train(config, '--work-dir', work_dir)
    assert ended.status == 1
    assert 'loss' in ended.error and 'iteration 7 (epoch 3)' in ended.error
    assert str(work_dir / 'epoch_2.pth') in ended.error
    assert [p.name for p in work_dir.glob('*.pth')] == ['epoch_2.pth']
    good = torch.load(work_dir / 'epoch_2.pth', weights_only=True)
    assert all(v.isfinite().all() for v in good['state_dict'].values())


class Evil:
    """Pickles into a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f'touch {self.mark}',)


@pytest.mark.parametrize('how', ['--resume', '--cfg-options'])
def test_stranger_checkpoint_runs_no_code(tmp_path, tiny_config, train, how):
    mark, stranger = tmp_path / 'mark', tmp_path / 'stranger.pth'
    torch.save(dict(state_dict={}, extra=Evil(mark)), stranger)
    torch.load(stranger, weights_only=False)
    assert mark.exists()  # it does run where it may
    mark.unlink()
    given = stranger if how == '--resume' else f'load_from={stranger}'
    ended = train(tiny_config(), '--work-dir', tmp_path / 'run', how, given)
    assert 'refused' in ended.error and str(stranger) in ended.error
    # a field of the config is wrong, or a file is
    named = 'error: load_from: ' in ended.error
    assert (ended.status, named) == ((1, False) if how == '--resume' else (2, True))
    assert not mark.exists() and not (tmp_path / 'run').exists()


def test_config_inside_a_checkpoint_is_not_executed(tmp_path, tiny_config, train):
    first = train(
        tiny_config(), '--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_epochs=1'
    )
    assert first.status == 0
    mark, path = tmp_path / 'mark', tmp_path / 'run' / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['config'] = f'import os; os.system("touch {mark}")'
    torch.save(checkpoint, path)
    ended = train(
        tiny_config(),
        '--work-dir',
        tmp_path / 'run',
        '--resume',
        '--cfg-options',
        'train_cfg.max_epochs=2',
    )
    assert ended.status == 0, ended.text[-2000:]
    assert not mark.exists()


def test_checkpoint_of_another_architecture_is_refused(tmp_path, tiny_config, train):
    saved = tmp_path / 'run' / 'epoch_1.pth'
    assert (
        train(
            tiny_config(), '--work-dir', saved.parent, '--cfg-options', 'train_cfg.max_epochs=1'
        ).status
        == 0
    )
    other = tiny_config(
        """
        model['backbone']['depth'] = 50
        model['neck']['in_channels'] = 128
        """,
        'other',
    )
    for arguments in (['--cfg-options', f'load_from={saved}'], ['--resume', saved]):
        ended = train(other, '--work-dir', tmp_path / 'new', *arguments)
        assert ended.status == 1 + ('--resume' not in arguments), ended.text[-2000:]
        assert 'does not fit this MoCo' in ended.error and str(saved) in ended.error
        assert not (tmp_path / 'new').exists()
    # the head alone may differ when weights are loaded, not when resuming
    other = tiny_config("model['neck']['hid_channels'] = 16", 'other')
    ended = train(
        other,
        '--work-dir',
        tmp_path / 'new',
        '--cfg-options',
        f'load_from={saved}',
        'train_cfg.max_epochs=1',
    )
    assert ended.status == 0
    ended = train(other, '--work-dir', tmp_path / 'new', '--resume', saved)
    assert ended.status == 1 and 'neck' in ended.error
