"""Measures on held-out images while a run trains, through the stock runner."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mssl_plugins.engine.hooks.monitor_hook import DrawnViews, MonitorHook

HOOK = """
held_out = dict(
    type='mmpretrain.CustomDataset', data_prefix={folder!r}, with_label=False)
custom_hooks = [dict(
    type='mssl_plugins.MonitorHook', num_views=3, interval=2,
    images=dict(batch_size=8, dataset=dict(held_out, pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mssl_plugins.CenterView', size=32), dict(type='mssl_plugins.PackViews')])),
    views=dict(batch_size=8, dataset=dict(held_out, pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mssl_plugins.Views', views=[dict(num=1, size=32, scale=(0.5, 1.))]),
        dict(type='mssl_plugins.PackViews')])))]
"""


@pytest.fixture
def folder(image_folder):
    return HOOK.format(folder=str(image_folder))


def monitored(path, figures=False):
    """What was measured; the figures' names hold the time of a run."""
    found = json.loads((path / 'monitor.json').read_text())
    for entry in () if figures else (found['baseline'], *found['measured']):
        entry.pop('figures', None)
    return found


def test_measures_rise_from_a_baseline_and_survive_a_resume(tmp_path, tiny_config, train, folder):
    config = tiny_config(folder)
    done = train(config, '--work-dir', tmp_path / 'whole')
    assert done.status == 0, done.text
    whole = monitored(tmp_path / 'whole')
    assert [m['epoch'] for m in whole['measured']] == [0, 2, 4]
    assert whole['baseline'] == whole['measured'][0] and whole['images'] == 24
    for entry in whole['measured']:
        assert (
            0 <= entry['alignment'] <= 4
            and entry['uniformity'] <= 0
            and 0 <= entry['retrieval'] <= 1
        )
        assert 1 <= entry['rankme'] <= 24 and entry['std'] > 0 and entry['lidar'] >= 1
    assert 'in brackets at initialization' in done.text
    drawn = monitored(tmp_path / 'whole', figures=True)['measured']
    for entry in drawn:  # MoCo with MixMask on a ResNet: no attention, no pixels, no boxes
        assert sorted(entry['figures']) == ['components', 'mixed', 'neighbors']
        for path in entry['figures'].values():
            assert np.asarray(Image.open(tmp_path / 'whole' / path)).std() > 5
    assert 'no figure of attention: the network has no class token' in done.text
    absent = whole['not_measured']
    assert absent['figure of attention'].startswith('the network has no class token')
    assert set(absent) == {f'figure of {name}' for name in ('attention', 'reconstructed', 'boxes')}
    done = train(
        config,
        '--work-dir',
        tmp_path / 'parts',
        '--cfg-options',
        'default_hooks.checkpoint.max_keep_ckpts=4',
    )
    half = tmp_path / 'parts/epoch_2.pth'
    done = train(config, '--work-dir', tmp_path / 'parts', '--resume', half)
    assert done.status == 0, done.text
    assert monitored(tmp_path / 'parts') == whole


def test_training_is_the_same_without_it(tmp_path, tiny_config, train, folder):
    states = []
    for name, extra in (('with', folder), ('without', '')):
        done = train(tiny_config(extra, name), '--work-dir', tmp_path / name)
        assert done.status == 0, done.text
        states.append(torch.load(tmp_path / name / 'epoch_4.pth', weights_only=True)['state_dict'])
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_views_of_an_image_differ_and_come_again():
    class Echo:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return int(index), index.seed, index.epoch

    views = DrawnViews(Echo(), 2, seed=5)
    assert [views[i] for i in range(len(views))] == [
        (0, 5, 0),
        (0, 5, 1),
        (1, 5, 0),
        (1, 5, 1),
        (2, 5, 0),
        (2, 5, 1),
    ]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="unknown branch 'techer'.*did you mean 'teacher'"):
        MonitorHook({}, {}, branch='techer')
    with pytest.raises(ValueError, match='num_views must be 2 or more'):
        MonitorHook({}, {}, num_views=1)
