"""Warm-ups of a single step end, in a real run and a resumed one, and longer ones are untouched."""

import json
import math

import pytest

import mssl_plugins as mp

WARM = """
param_scheduler = [
    dict(type='LinearLR', start_factor={start}, by_epoch=True, begin=0, end=1,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=3, begin=1, end=4, by_epoch=True,
         convert_to_iter_based=True)]
train_dataloader['batch_size'] = {batch}
"""


def rates(run):
    lines = []
    for file in sorted(run.work_dir.glob('2*/vis_data/scalars.json')):
        lines += map(json.loads, file.read_text().splitlines())
    return [line['lr'] for line in lines if 'lr' in line]


@pytest.mark.parametrize('start', [1e-4, 0.0])
def test_an_epoch_of_one_batch_trains_at_the_whole_rate(tiny_config, tmp_path, start):
    config = tiny_config(WARM.format(start=start, batch=24))
    wanted = [0.05, *(0.05 * (1 + math.cos(math.pi * k / 3)) / 2 for k in range(3))]
    whole = mp.train(config, work_dir=tmp_path / 'whole')
    assert rates(whole) == pytest.approx(wanted, abs=1e-8)
    part = mp.train(config, work_dir=tmp_path / 'part', options={'train_cfg.max_epochs': 2})
    again = mp.train(config, work_dir=part.work_dir, resume=True)
    assert rates(again) == pytest.approx(wanted, abs=1e-8)


def test_a_longer_warm_up_stays_as_it_is(tiny_config, tmp_path):
    config = tiny_config(WARM.format(start=0.01, batch=8))  # 3 steps an epoch
    found = rates(mp.train(config, work_dir=tmp_path / 'run'))
    ramp = [0.05 * (0.01 + 0.99 * k / 2) for k in range(3)]
    fall = [0.05 * (1 + math.cos(math.pi * k / 9)) / 2 for k in range(9)]
    assert found == pytest.approx(ramp + fall, abs=1e-7)
