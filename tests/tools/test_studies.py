"""A study's variant and its baseline differ in the studied thing, as the configs are built."""

import sys

import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
from evidence_tool import configs
from evidence_tool import study as studies
from evidence_tool.kept import Task

RECONSTRUCTION = (
    *('model.' + k for k in ('type', 'neck', 'strategy', 'q', 'p', 'replacement', 'target')),
    *('model.' + k for k in ('lambda1', 'lambda2', 'backbone.mask_token')),
)
BIAS = ('model.type', 'model.num_segments', 'model.backbone.mask_bias')
SEM, LONGER = ('model.type', 'model.layer'), ('train_cfg.max_epochs', 'param_scheduler')
WHOSE = (  # whose segments are read: of training, bank and queries
    'train_dataloader.dataset.pipeline',
    'default_hooks.knn.bank.dataset.pipeline',
    'default_hooks.knn.test.dataset.pipeline',
)
# what reads segments, what freezes the bias: the bias's own
DINO_BIAS = (*BIAS, 'default_hooks.bias', *WHOSE)
# another task than MAE's: features, not pixels
DISTILL = (
    *('model.' + k for k in ('type', 'num_segments', 'teacher')),
    *('model.' + k for k in ('neck', 'mask_ratio', 'norm_pix')),
)
# (study, variant, baseline): every setting in which they may differ
STUDIED = {
    ('asl', 'asl', 'mae'): SEM,
    ('asl', 'asl', 'mae-longer'): SEM + LONGER,
    **{('asl', 'asl', f'asl-w{w}'): ('model.weight',) for w in ('0.1', '0.5', '2')},
    **{('asl', 'asl', f'asl-{form}'): ('model.sem',) for form in ('branches', 'reconstruct')},
    ('mask_guided', 'positive', 'mae'): BIAS,
    ('mask_guided', 'positive-2', 'mae'): BIAS,
    ('mask_guided', 'positive', 'negative'): tuple(
        f'model.backbone.mask_bias.{sign}' for sign in ('positive', 'negative')
    ),
    ('mask_guided', 'positive', 'other'): WHOSE,
    ('mask_guided', 'positive-2', 'other-2'): WHOSE,
    ('mask_guided', 'phase2', 'mae'): DISTILL,
    ('mask_guided', 'phase2-2', 'mae'): DISTILL,
    ('mask_guided', 'phase2', 'phase2-plain'): ('model.teacher.checkpoint',),
    ('mask_guided', 'phase2-2', 'phase2-plain'): ('model.teacher.checkpoint',),
    ('mask_guided', 'init-0', 'dino'): DINO_BIAS,
    ('mask_guided', 'init-2', 'dino'): DINO_BIAS,
    ('mask_guided', 'init-2', 'init-0'): ('model.backbone.mask_bias.init',),
    ('mask_guided', 'init-0', 'init-0-negative'): tuple(
        f'model.backbone.mask_bias.{sign}' for sign in ('positive', 'negative')
    ),
    ('maskco', 'nomph', 'nomph-nomask'): ('model.fill',),
    ('maskco', 'nomph-nomask', 'nomph'): ('model.fill',),
    ('maskco', 'maskco', 'nomask'): ('model.fill',),
    ('maskco', 'maskco', 'querymph'): ('model.mph_on_key',),
    **{
        ('mixmask', f'mixmask_{base}', base): ('model.mixing',)
        for base in ('moco', 'simclr', 'byol', 'simsiam')
    },
    ('mixmask', 'mixmask_moco', 'moco-longer'): ('model.mixing', *LONGER),
    ('mixmask', 'mixmask_moco-4x4-block', 'mixmask_moco-4x4-discrete'): ('model.mixing.pattern',),
    ('mst', 'mst', 'dino-bn'): RECONSTRUCTION,
    ('mst', 'dino-bn', 'dino'): ('model.head.use_bn', 'model.bn_per_view', 'sync_bn'),
    ('mst', 'mst', 'mst-none'): ('model.strategy',),
    ('mst', 'mst', 'mst-high'): ('model.strategy',),
    # of all tokens an eighth is masked, where the mask is random
    ('mst', 'mst-none', 'mst-random'): ('model.strategy', 'model.p'),
    ('mst', 'mst', 'mst-random'): ('model.strategy', 'model.p'),
    ('mst', 'mst-0.3', 'mst'): ('model.q', 'model.p'),
}
# what a config says of itself, its inherited names, and what follows from the length alone
ASIDE = ('catalogue', 'small', 'images', 'queries', 'load', 'load_test', 'default_hooks.logger')
INTERVALS = ('default_hooks.checkpoint.interval', 'default_hooks.knn.interval')
CLAIMS = [
    pytest.param(name, size, claim, id=f'{name} {size}: {claim.variant}, {claim.baseline}')
    for name in studies.names()
    for size, study in studies.load(name).items()
    for claim in study.claims
]


def settings(name, size, variant, length):
    """A run's resolved settings, with the default of MST that its baseline spells out."""
    study = studies.load(name)[size]
    task = Task('final', variant, length, 0, 0.01)
    cfg = configs.build(study, task, None, f'{study.variants[variant].after}.pth')
    node = cfg._cfg_dict.to_dict()
    if node['model']['type'] == 'mssl_plugins.MST':
        node['model'].setdefault('bn_per_view', True)
    return node


def differences(a, b, prefix=''):
    """Paths at which two nodes differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {
            path
            for key in {*a, *b}
            for path in differences(a.get(key), b.get(key), f'{prefix}.{key}')
        }
    return set() if a == b else {prefix[1:]}


def within(path, prefixes):
    return any(path == p or path.startswith(f'{p}.') for p in prefixes)


@pytest.mark.parametrize('name, size, claim', CLAIMS)
def test_a_claims_variants_differ_in_what_is_studied(name, size, claim):
    allowed = STUDIED[name, claim.variant, claim.baseline]
    pair = [settings(name, size, v, claim.length) for v in (claim.variant, claim.baseline)]
    found = {path for path in differences(*pair) if not within(path, ASIDE)}
    if set(LONGER) <= set(allowed):
        found = {path for path in found if path not in INTERVALS}
    assert found, 'nothing is studied'
    assert not [path for path in found if not within(path, allowed)]
    assert [
        p for p in allowed if not any(within(path, (p,)) or within(p, (path,)) for path in found)
    ] == [], 'listed, but equal'


def test_reading_segments_is_all_that_the_pipelines_of_the_bias_add():
    """Views, and images that are measured, are the baseline's."""
    pair = [settings('mask_guided', 'gpu', v, '10000x100') for v in ('init-0', 'dino')]
    for node in (
        lambda c: c['train_dataloader']['dataset'],
        lambda c: c['default_hooks']['knn']['bank']['dataset'],
        lambda c: c['default_hooks']['knn']['test']['dataset'],
    ):
        guided, plain = (node(c)['pipeline'] for c in pair)
        assert guided[0]['type'] == 'mssl_plugins.LoadSegments' and guided[1:] == plain


def test_what_mph_brings_back_is_a_difference_of_like_differences():
    """MaskCo's row beyond: both pairs differ in the mask, and each other in MPH alone."""
    pair = [settings('maskco', 'cpu', v, '10000x40') for v in ('maskco', 'nomph')]
    assert differences(*pair) == {'model.neck'}
