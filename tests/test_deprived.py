"""What a run says of what was taken from it."""

import errno
import logging
import os
import signal
import time

import pytest
import torch
from torch.utils.data import DataLoader

from mssl_plugins.deprived import deprived, end_with_the_log


@pytest.mark.parametrize('place', [0, 1])
@pytest.mark.parametrize('asked', [True, False])
def test_a_worker_that_is_killed_before_its_batch_is_read(tmp_path, monkeypatch, asked, place):
    """The connection that hands the batch on breaks; the loader may not see yet that it ended."""
    images = torch.zeros(4 * (place + 1), 3)
    loader = iter(DataLoader(images, batch_size=4, num_workers=2))
    worker = loader._workers[place]
    for _ in range(place):
        next(loader)
    while loader._worker_result_queue.empty():
        time.sleep(0.01)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the loader's comes too late
    try:
        worker.kill()
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        with monkeypatch.context() as patch:
            if not asked:
                patch.setattr(worker, 'is_alive', lambda: True)
            with pytest.raises(RuntimeError if asked else ConnectionError) as caught:
                next(loader)
        loader._shutdown_workers()  # as a run ends the others
        line = str(deprived(caught.value, tmp_path))
    finally:
        signal.signal(signal.SIGCHLD, before)
    said = f"a data loader's worker was ended (DataLoader worker (pid {worker.pid}): Killed)"
    assert line == f'{said}; none was saved yet'


@pytest.mark.parametrize(
    'error',
    [
        ConnectionResetError('Connection reset by peer'),  # the dataset's own connection
        FileNotFoundError(errno.ENOENT, 'No such file or directory', 'image.png'),
        ValueError('a mistake'),
    ],
)
def test_other_errors_stay_as_they_are(tmp_path, error):
    assert deprived(error, tmp_path) is error


def test_a_disk_that_is_full_wherever_the_run_writes(tmp_path):
    (tmp_path / 'iter_4.pth').touch()
    with open('/dev/full', 'wb', buffering=0) as full, pytest.raises(OSError) as caught:
        full.write(b'a')
    line = str(deprived(caught.value, tmp_path))
    assert line.startswith('the run cannot write ([Errno 28] No space left on device')
    assert f'last good checkpoint: {tmp_path}/iter_4.pth' in line


def test_a_run_ends_by_what_it_meets_while_it_logs(capfd):
    logger = logging.Logger('of a run')
    logger.addHandler(logging.FileHandler('/dev/full'))
    logger.info('lost')
    assert 'Traceback' in capfd.readouterr().err
    end_with_the_log(logger)
    with pytest.raises(OSError, match='No space left'):
        logger.info('said')
    logger.info('a %s too much', 1, 2)  # a mistake in a line is none of the run's
    assert 'not all arguments' in capfd.readouterr().err
