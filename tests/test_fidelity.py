"""docs/fidelity.md: every value of ours that it quotes is that of the resolved config."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mssl_plugins import catalogue

PAGE = Path(__file__).parents[1] / 'docs/fidelity.md'
SHORT = {'optimizer': 'optim_wrapper.optimizer', 'schedule': 'param_scheduler'}
# what the page promises for every base and method
ASPECTS = ('augmentation', 'initialization', 'optimizer', 'schedule', 'EMA', 'BatchNorm')
METHODS = (
    'MoCo v1',
    'MoCo v2',
    'SimCLR',
    'BYOL',
    'SimSiam',
    'DINO',
    'iBOT',
    'MAE',
    'MixMask',
    'MST',
    'MaskCo',
    'ASL',
    'Mask-guided',
)


def sections():
    """(title, configs, text) of every comparison."""
    for title, text in re.findall(r'\n## (.+?)\n(.*?)(?=\n## |\Z)', PAGE.read_text(), re.S):
        names = re.search(r'^Configs: (.+)$', text, re.M)[1]
        yield title, re.findall(r'`([^`]+)`', names), text


def quotes():
    """(config, path, value) of everything quoted as ours."""
    for title, names, text in sections():
        for quoted, value in re.findall(r'`([\w:.-]+)` = `([^`]+)`', text):
            own, _, path = quoted.rpartition(':')
            for name in [own] if own else names:
                yield pytest.param(name, path, value, id=f'{title}: {name}:{path}')


def lookup(cfg, path):
    """The value at a dotted path; numbers count in lists."""
    head, _, rest = path.partition('.')
    if head == 'views':
        node = next(step.views for step in cfg.train_dataloader.dataset.pipeline if 'views' in step)
    else:
        node, rest = cfg, f'{SHORT.get(head, head)}.{rest}'.rstrip('.')
    for key in filter(None, rest.split('.')):
        node = node[int(key)] if isinstance(node, (list, tuple)) else node[key]
    return node


def plain(value):
    """Config's containers as Python's, sequences as lists."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.fixture(scope='module')
def resolved():
    """Reads each config once."""
    kept = {}

    def read(name):
        if name not in kept:
            kept[name] = Config.fromfile(catalogue.find(name))
        return kept[name]

    return read


@pytest.mark.parametrize('name, path, value', quotes())
def test_a_quoted_value_is_the_configs(name, path, value, resolved):
    given = eval(value, {'__builtins__': {}}, dict(dict=dict))
    found = plain(lookup(resolved(name), path))
    if isinstance(given, float):
        assert found == pytest.approx(given, rel=1e-12)
    else:
        assert found == plain(given)


def test_no_base_and_no_aspect_is_left_out():
    titles = [title for title, *_ in sections()]
    assert all(any(t.startswith(m) for t in titles) for m in METHODS)
    for title, names, text in sections():
        rows = [
            [cell.strip() for cell in line.strip('|').split(' | ')]
            for line in text.splitlines()
            if line.startswith('| ')
        ][2:]
        assert all(len(row) == 4 for row in rows), title
        for aspect in ASPECTS:
            assert any(aspect in row[0] for row in rows), (title, aspect)
        for *_, verdict in rows:
            assert re.match('same|ours: |not known', verdict), (title, verdict)
            assert 'ours: ' not in verdict or 'because' in verdict, (title, verdict)
        assert any(re.search(r'` = `', row[2]) for row in rows), title


def test_a_wrong_value_is_noticed(resolved):
    """The check itself: another value, another path."""
    with pytest.raises(AssertionError):
        test_a_quoted_value_is_the_configs(
            'mocov2_resnet50_4xb64-coslr-200e_in1k', 'views.0.scale', '(0.08, 1.0)', resolved
        )
    with pytest.raises((KeyError, AttributeError)):
        lookup(resolved('mocov2_resnet50_4xb64-coslr-200e_in1k'), 'model.no_such_key')
