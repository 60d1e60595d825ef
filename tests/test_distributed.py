"""What one process does for all."""

import os
import time

import pytest
import torch

from helpers.forked import free_port
from mssl_plugins.distributed import first_does
from mssl_plugins.errors import Stopped, UserError


def _process(rank, port, folder, fail):
    os.environ.update(
        RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port)
    )

    def work():
        time.sleep(0.5)
        (folder / 'written').write_text('by the first')
        if fail:
            raise UserError('no')
        return 17

    try:
        said = str(first_does('one', work)), (folder / 'written').read_text()
        torch.distributed.init_process_group('gloo')  # the store is not in its way
        torch.distributed.destroy_process_group()
    except (Stopped, UserError) as error:
        said = type(error).__name__, str(error)
    (folder / str(rank)).write_text('\n'.join(said))
    if not fail and rank == 0:
        time.sleep(1)


@pytest.mark.parametrize('fail', [False, True])
def test_the_others_wait_for_the_first(tmp_path, fail):
    port, context = free_port(), torch.multiprocessing.get_context('fork')
    work = [(r, port, tmp_path, fail) for r in (0, 1)]
    both = [context.Process(target=_process, args=w, daemon=True) for w in work]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    first, other = ((tmp_path / str(r)).read_text().splitlines() for r in (0, 1))
    if fail:
        assert first == ['UserError', 'no'] and other[0] == 'Stopped'
    else:
        assert first == other == ['17', 'by the first']


def test_a_single_process_just_does_it(monkeypatch):
    monkeypatch.delenv('WORLD_SIZE', raising=False)
    assert first_does('one', lambda: 3) == 3
