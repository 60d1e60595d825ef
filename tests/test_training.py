"""A run from its config to its end, what no command shows."""

import multiprocessing
from contextlib import nullcontext

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.visualization import Visualizer

from mssl_plugins.api import train
from mssl_plugins.training import _close_logs


@pytest.mark.parametrize(
    'loop, fails',
    [
        (dict(type='EpochBasedTrainLoop', max_epochs=1), False),
        (dict(type='IterBasedTrainLoop', max_iters=2), False),
        (dict(type='EpochBasedTrainLoop', max_epochs=2), True),
    ],
)
def test_loaders_workers_end_with_the_run(loop, fails, tiny_config, tmp_path, monkeypatch):
    """Those that are kept from epoch to epoch: whoever collects them later waits for each."""
    begun, start = [], multiprocessing.Process.start
    monkeypatch.setattr(multiprocessing.Process, 'start', lambda p: begun.append(p) or start(p))
    config = tiny_config(f"""
        train_dataloader.update(num_workers=2, persistent_workers=True)
        train_cfg = {loop}
        """)
    if fails:
        monkeypatch.setattr(CheckpointHook, 'before_train_iter', fail_later)
    with pytest.raises(OSError) if fails else nullcontext() as _:  # its frames hold the iterator
        train(config, work_dir=tmp_path / 'run')
    assert len(begun) == 2 and not any(process.is_alive() for process in begun)


def fail_later(hook, runner, *_, **__):
    if runner.iter:
        raise OSError('in the middle of an epoch')


def test_a_back_end_that_could_not_start_does_not_hide_why(tmp_path):
    """MLflow's cannot close if it never began; the error that ended the run is the one to tell."""
    pytest.importorskip('mlflow')
    logs = Visualizer.get_instance(
        'test_training',
        save_dir=str(tmp_path),
        vis_backends=[dict(type='MLflowVisBackend', tracking_uri='nowhere://at.all')],
    )
    with pytest.raises(Exception, match='nowhere'):
        logs.add_config(Config(dict(work_dir=str(tmp_path))))
    with pytest.raises(AttributeError):
        logs.close()
    _close_logs()
