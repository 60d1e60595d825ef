"""A shipped variant and the shipped baseline of its name differ in the variant's thing alone."""

import pytest

from helpers.configs import resolved
from helpers.paths import ROOT

FILES = {p.stem: p for p in (ROOT / 'configs').glob('[a-z]*/*.py')}
# what a config says of itself, names that its leaves inherit, how often the console speaks
ASIDE = (
    *('catalogue', 'load', 'load_test', 'decay', 'images', 'queries', 'small', 'segment_knn'),
    'default_hooks.logger.interval',
)
SEGMENTS = tuple(
    f'{place}.{key}'
    for place in (
        'train_dataloader.dataset',
        'default_hooks.knn.bank.dataset',
        'default_hooks.knn.test.dataset',
    )
    for key in ('pipeline', 'segments')
)
BIAS = ('model.type', 'model.num_segments', 'model.backbone.mask_bias', *SEGMENTS)
MASK = tuple(f'model.{k}' for k in ('strategy', 'q', 'p', 'replacement', 'target'))
NO_BN = ('model.head.use_bn', 'model.neck.use_bn')
# prefix of a name: what stands for it in its baseline's, and what may differ
VARIANTS = {
    'mixmask_': ('', ('model.mixing',)),
    'mixmask-unmix_': ('', ('model.mixing',)),
    'mixmask-discrete_': ('', ('model.mixing',)),
    'unmix_': ('', ('model.mixing',)),
    'asl': ('mae', tuple(f'model.{k}' for k in ('type', 'layer', 'sem', 'weight', 'contrast'))),
    'dino-bn_': ('dino_', ('model.head.use_bn', 'model.bn_per_view', 'sync_bn')),
    'mst_': (
        'dino-bn_',
        (
            *(*MASK, 'model.type', 'model.neck', 'model.lambda1', 'model.lambda2'),
            *('model.backbone.mask_token', 'model.bn_per_view'),
        ),
    ),
    'mst-high_': ('mst_', ('model.strategy',)),
    'mst-none_': ('mst_', ('model.strategy',)),
    'mst-random_': ('mst_', ('model.strategy', 'model.p')),  # of all tokens an eighth
    'mst-bert_': ('mst_', ('model.replacement',)),
    **{f'mst-lambda0{n}_': ('mst_', ('model.lambda2',)) for n in (2, 4, 8)},
    'mst-mlm-dino_': ('mst_', MASK),
    'mst-mlm_': (  # no instance loss: no local crops, no EMA to measure
        'mst_',
        (
            *MASK,
            'model.lambda1',
            'default_hooks.knn.branch',
            'train_dataloader.dataset.pipeline',
        ),
    ),
    'mst-p0-nobn_': ('mst_', (*NO_BN, 'model.strategy', 'model.p')),
    'mst-random001-nobn_': ('mst_', (*NO_BN, 'model.strategy', 'model.p')),
    'mask-guided_dino': ('dino', (*BIAS, 'default_hooks.bias')),
    'mask-guided_mae': ('mae', BIAS),
    'mask-guided-negative_': ('mask-guided_', ('model.backbone.mask_bias',)),
    'mask-guided-init2_': ('mask-guided_', ('model.backbone.mask_bias.init',)),
    'mask-guided-distill_dino': (  # no EMA: the student is measured
        'dino',
        (
            *('model.type', 'model.num_segments', 'model.teacher', SEGMENTS[0]),
            *('default_hooks.knn.branch', 'default_hooks.schedule.schedules'),
        ),
    ),
    'mask-guided-distill_mae': (  # features, not pixels
        'mae',
        (
            *('model.type', 'model.num_segments', 'model.teacher', SEGMENTS[0]),
            *('model.neck', 'model.mask_ratio', 'model.norm_pix'),
        ),
    ),
    'maskco-in_': ('maskco_', ('model.intra',)),
    'maskco-querymph_': ('maskco_', ('model.mph_on_key',)),
    'maskco-conv_': ('maskco_', ('model.neck.kind',)),
    'maskco-nomph_': ('maskco_', ('model.neck',)),
    'maskco-nomph-nomask_': ('maskco_', ('model.neck', 'model.fill')),
    **{
        f'maskco-{fill}_': ('maskco_', ('model.fill',)) for fill in ('nomask', 'noise', 'imagemean')
    },
}
# a baseline of that length or data is not shipped
WITHOUT = {
    'mixmask_mocov2_resnet50_4xb64-coslr-800e_in1k',
    'mixmask-unmix_mocov2_resnet50_4xb64-coslr-800e_in1k',
    'mst_vit-s16_16xb64-coslr-300e_in1k',
    'mst_vit-s16_photos',
    'mst_vit-t16_photos',
}


def pairs():
    """(variant, baseline, what may differ) of every shipped variant."""
    for name in sorted(FILES):
        found = [p for p in VARIANTS if name.startswith(p)]
        if found and name not in WITHOUT:
            prefix = max(found, key=len)
            other, allowed = VARIANTS[prefix]
            end = name[len(prefix) :]
            if prefix == 'asl':  # its forms and weights too stand beside MAE
                end = '_' + name.split('_', 1)[1]
            yield pytest.param(name, other + end, allowed, id=name)


def plain(value):
    """Without the scope marks of inherited configs; sequences as lists."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != '_scope_'}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


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


@pytest.mark.parametrize('variant, baseline, allowed', list(pairs()))
def test_a_variant_is_its_baseline_but_for_the_variant(variant, baseline, allowed):
    pair = [plain(resolved(FILES[n])._cfg_dict.to_dict()) for n in (variant, baseline)]
    found = {path for path in differences(*pair) if not within(path, ASIDE)}
    assert found and [path for path in found if not within(path, allowed)] == []
    if any(place in found for place in SEGMENTS):  # the same views, of the same images
        for node in ('train_dataloader', 'bank', 'test'):
            loaders = [c if node in c else c['default_hooks'].get('knn', {}) for c in pair]
            if node in loaders[0] and not variant.startswith('mst-mlm_'):
                ours, theirs = (c[node]['dataset'].get('pipeline') for c in loaders)
                assert [t for t in ours if 'LoadSegments' not in t['type']] == theirs


def test_every_variant_is_held():
    """Names that no rule covers are baselines, or listed as without one."""
    covered = {param.values[0] for param in pairs()} | WITHOUT
    bases = ('dino_', 'ibot_', 'mae', 'maskco_', 'moco', 'simclr', 'byol', 'simsiam')
    assert [n for n in FILES if n not in covered and not n.startswith(bases)] == []
    assert all(param.values[1] in FILES for param in pairs())
