"""The short form of tools/reliability/configs.py: one changed field a method, and its judgment."""

import pytest

from helpers.tools import tool

configs = tool('reliability/configs')
LINE = 'error: model.queue_len = 3: must be 4'


@pytest.mark.parametrize(
    'path, kind, value, status, text, left, outcome',
    [
        ('model.queue_len', 'negative', 3, 2, LINE, False, 'refused'),
        ('model.neck.in_channels', 'negative', 3, 2, LINE, False, 'unnamed'),
        ('model.queue_len', 'negative', 3, 1, LINE, False, 'unnamed'),
        ('model.queue_len', 'negative', 3, 2, LINE, True, 'traceback'),
        ('model.queue_len', 'negative', 3, 2, f'{LINE}\n{LINE}', False, 'traceback'),
        ('model.queue_len', 'negative', 3, -9, '', False, 'traceback'),
        ('model.queue_len', 'negative', 3, None, '', False, 'hang'),
        ('model.queue_len', 'negative', 3, configs.STARTED, '2 steps', False, 'runs'),
        ('model.queue_len', 'negative', 3, 0, 'nothing', False, 'silent'),
        ('model.queue_len', 'misspelt key', 'queue_ln', configs.STARTED, '', False, 'silent'),
        ('model.queue_len', 'text for number', '3', configs.STARTED, '', False, 'silent'),
        ('model.head', 'none', None, configs.STARTED, '', False, 'runs'),
    ],
)
def test_what_an_end_is_judged(path, kind, value, status, text, left, outcome):
    cfg = dict(default_scope='mmpretrain', model=dict(type='mssl_plugins.MaskCo', queue_len=3))
    key = path.split('.')[1]
    cfg['model'][key] = value
    if key == 'queue_len':
        cfg['model']['type'] = 'mssl_plugins.MoCo'
    case = configs.Case('moco', path, kind, value)
    assert configs.judge(cfg, case, status, text, left).outcome == outcome


def test_every_method_refuses_or_trains():
    results = configs.run(len(configs.RECIPES), seed=1, seconds=3600, shown=False)
    assert len(results) == len(configs.RECIPES)
    wrong = [r for r in results if r.outcome not in ('runs', 'refused', 'unnamed')]
    assert not wrong, wrong
    assert sum(r.outcome == 'unnamed' for r in results) <= 1, results
