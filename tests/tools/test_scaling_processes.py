"""Bytes that processes send in a step: what is computed is what gloo sends."""

import json
import sys

import pytest
import torch
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from helpers.paths import ROOT
from mssl_plugins.engine.ddp import CPUDistributedDataParallel
from mssl_plugins.errors import UserError

sys.path.insert(0, str(ROOT / 'tools'))
from benchmarks.steps import MINI, SIZES, siamese_step, vit_step
from scaling import processes


def test_gradients_are_those_of_the_buckets(tmp_path):
    """DDP gives its hook all that it sums; two processes in a ring send it once, many twice."""
    tiny = SIZES['tiny']
    step = vit_step('MAE', tiny.mae, [32], 2, less=True)
    model, summed = step.build(), []
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/init', rank=0, world_size=1
    )
    try:
        wrapped = CPUDistributedDataParallel(model)

        def count(_, bucket):
            summed.append(bucket.buffer().nbytes)
            return allreduce_hook(torch.distributed.group.WORLD, bucket)

        wrapped.register_comm_hook(None, count)
        losses = wrapped(torch.randn(2, 3, 32, 32), [None] * 2, mode='loss')
        sum(losses.values()).backward()
    finally:
        torch.distributed.destroy_process_group()
    found = [processes.computed(model, 'DDP', n, 2, 32) for n in (1, 2, 1000)]
    assert [f.gradients for f in found] == [0, sum(summed), pytest.approx(1.998 * sum(summed))]
    assert found[2].total == found[2].gradients


def test_keys_and_images_of_moco():
    model = siamese_step('moco', SIZES['tiny']).build()
    found = processes.computed(model, 'DDP', 4, 5, 64)
    assert found.others == 3 * 4 * 5 * (3 * 64 * 64 + 2 * 128)


def count(folder):
    """Computed and measured bytes of a tiny MAE, by DDP and by FSDP."""
    torch.set_num_threads(1)
    step = vit_step('MAE', dict(MINI, embed_dims=256), [32], 2)
    processes.cases = lambda: [
        processes.Case('MAE', step, wrapper, [32]) for wrapper in ('DDP', 'FSDP')
    ]
    try:
        rows = processes.measure(1)
    except UserError as error:
        rows = str(error)
    (folder / 'rows.json').write_text(json.dumps(rows))


def test_what_is_computed_is_sent(tmp_path):
    """In a process of its own, which leaves the network that tests share."""
    child = torch.multiprocessing.get_context('fork').Process(target=count, args=(tmp_path,))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    rows = json.loads((tmp_path / 'rows.json').read_text())
    if isinstance(rows, str):
        assert 'needs root on Linux' in rows  # nothing else may be skipped
        pytest.skip(rows)
    assert [row['wrapper'] for row in rows] == ['DDP', 'FSDP']
    for row in rows:
        assert row['measured'] == pytest.approx(row['computed'], rel=0.03)
