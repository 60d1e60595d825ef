"""A config's name says what the config does: MMPretrain's pattern, held to the resolved config.

``{method}[-{variant}]_{base}_{backbone}_{processes}xb{batch}-{schedule}-{epochs}e_{data}``; base
is left out where the method is its own or has one only.  Probes name their protocol, as
MMPretrain's do; dense configs their detector, as MMDetection's.  Photo recipes are
``{method}_{base}_{backbone}_photos``: batch and length are fitted to the folder.
"""

import ast
import fnmatch
import itertools
import re
from pathlib import Path

import pytest

from helpers.configs import resolved
from helpers.paths import ROOT
from mssl_plugins.catalogue import configs

ENTRIES = {e['name']: e for e in configs()}
DATA = {
    'imagenet': 'in1k',
    'imagenet100': 'in100',
    'imagenet100+coco': 'in100-coco',
    'conceptual captions': 'cc',
    'tiny_imagenet': 'tiny-in',
    'tiny_imagenet_20c': 'tiny20',
    'own, VOC layout': 'own-voc',
    'own, COCO layout': 'own-coco',
    'own, label maps': 'own-masks',
}
BACKBONES = r'vit-[tsbl]\d+|vit-mini|resnet18|resnet50'
PATTERN = re.compile(
    rf'(?P<method>[a-z0-9-]+?)_(?:(?P<base>[a-z0-9]+)_)?(?P<backbone>{BACKBONES})_'
    r'(?P<processes>\d+)xb(?P<batch>\d+)-(?P<schedule>coslr|steplr)-(?P<epochs>\d+)e_(?P<data>[a-z0-9-]+)'
)
PROBE = re.compile(
    rf'(?P<backbone>{BACKBONES}|resnet18-pool)_(?P<processes>\d+)xb(?P<batch>\d+)-'
    r'(?P<method>linear|multilayer|finetune-(?:1|10|100))-(?P<base>[a-z0-9]+)-'
    r'(?P<schedule>coslr|steplr)-(?P<epochs>\d+)e_(?P<data>[a-z0-9-]+)'
)
DENSE = re.compile(
    rf'(?P<method>[a-z0-9-]+)_(?P<backbone>{BACKBONES}|r18-c4|r50-c4)_'
    r'(?P<processes>\d+)xb(?P<batch>\d+)-(?P<length>\d+(?:e|x|k|i))_(?P<data>[a-z0-9-]+)'
)
PHOTOS = re.compile(
    rf'(?P<method>[a-z0-9-]+?)_(?:(?P<base>[a-z0-9]+)_)?(?P<backbone>{BACKBONES})_photos'
)
#: sides of a patch and widths; a small one of ours has 3 or 4 blocks
VIT = {'deit-tiny': 192, 'deit-small': 384, 'base': 768, 'b': 768, 'large': 1024, 'l': 1024}
WIDTHS = dict(t=192, s=384, b=768, l=1024)


def kind(name):
    folder = Path(ENTRIES[name]['path']).parent.name
    if folder == 'classification':
        return 'knn' if '_knn-' in name else 'probe'
    return (
        'dense'
        if folder in ('detection', 'segmentation')
        else 'photos'
        if folder == 'photos'
        else 'method'
    )


def named(pattern, *kinds):
    return [(name, pattern) for name in ENTRIES if kind(name) in kinds]


def check_backbone(name, given, backbone):
    if given.startswith('resnet'):
        assert f'resnet{backbone.depth}' == given.split('-')[0], name
    elif given == 'vit-mini':
        assert backbone.arch.embed_dims <= 128 and backbone.arch.num_layers <= 4
    else:
        size, patch = given[4], int(given[5:])
        arch = backbone.arch
        assert (arch['embed_dims'] if isinstance(arch, dict) else VIT[arch]) == WIDTHS[size]
        assert backbone.get('patch_size', 16) == patch


@pytest.mark.parametrize(
    'name, pattern', named(PATTERN, 'method') + named(PROBE, 'probe') + named(DENSE, 'dense')
)
def test_a_name_says_what_the_config_does(name, pattern):
    said = pattern.fullmatch(name)
    assert said, f'{name} is not by the pattern'
    said, entry = said.groupdict(), ENTRIES[name]
    cfg = resolved(entry['path'])
    batch = cfg.train_dataloader.batch_size
    total = (cfg.get('auto_scale_lr') or {}).get('base_batch_size', batch)
    assert (int(said['processes']) * batch, int(said['batch'])) == (total, batch)
    data = DATA.get(entry['data'], entry['data'])
    assert said['data'] == data or kind(name) == 'dense' and said['data'].startswith(f'{data}-')
    if 'schedule' in said:
        assert int(said['epochs']) == cfg.train_cfg.max_epochs
        last = (
            cfg.param_scheduler[-1]
            if isinstance(cfg.param_scheduler, list)
            else cfg.param_scheduler
        )
        assert said['schedule'] == dict(CosineAnnealingLR='coslr', MultiStepLR='steplr')[last.type]
        check_backbone(name, said['backbone'], cfg.model.backbone)
        return
    number, unit = int(said['length'][:-1]), said['length'][-1]
    if unit == 'x':  # 12 epochs of COCO; detectron2's 90,000 iterations at batch 16
        assert (
            cfg.train_cfg.get('max_epochs') == 12 * number
            or cfg.train_cfg.max_iters == 90000 * number
        )
    elif unit == 'e':
        assert cfg.train_cfg.max_epochs == number
    else:
        assert cfg.train_cfg.max_iters == number * dict(k=1000, i=1)[unit]


@pytest.mark.parametrize('name', [n for n in ENTRIES if kind(n) in ('method', 'photos')])
def test_method_and_base_are_those_of_the_catalogue(name):
    said = (PHOTOS if kind(name) == 'photos' else PATTERN).fullmatch(name)
    entry = ENTRIES[name]
    assert said['method'] == entry['method'] or said['method'].startswith(entry['method'] + '-')
    assert said['base'] in (None, entry['base'])
    if entry['method'] in ('mixmask', 'mixmask-unmix', 'unmix', 'mask-guided'):  # several bases
        assert said['base'] == entry['base']


@pytest.mark.parametrize('name', [n for n in ENTRIES if kind(n) == 'photos'])
def test_a_photo_recipe_names_its_backbone(name):
    check_backbone(
        name,
        PHOTOS.fullmatch(name)['backbone'],
        resolved(ENTRIES[name]['path']).model.backbone,
    )


@pytest.mark.parametrize('name', [n for n in ENTRIES if kind(n) == 'knn'])
def test_knn_trains_nothing(name):
    assert name.endswith('_' + DATA[ENTRIES[name]['data']])
    assert resolved(ENTRIES[name]['path']).train_cfg.max_epochs == 0


def shown(text):
    """Config names that a page writes out, each of {a,b} by itself."""
    for word in re.findall(r'[\w{},*.-]*(?:vit|resnet)[\w{},*.-]*', text):
        if re.search(r'_[\w{},*-]*xb\d|\d+e_|_\*', word):
            parts = [re.split(',', p) for p in re.split(r'[{}]', word.removesuffix('.py'))]
            fixed, choices = parts[::2], parts[1::2]
            for chosen in itertools.product(*choices):
                yield ''.join(
                    ','.join(f) + (chosen[i] if i < len(chosen) else '')
                    for i, f in enumerate(fixed)
                )


@pytest.mark.parametrize(
    'page',
    [*(ROOT / 'docs').glob('*.md'), ROOT / 'README.md', *(ROOT / 'configs').rglob('README.md')],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_a_page_names_configs_that_ship(page):
    """Also of those that no command names; `*` stands for some."""
    names = {p.stem for p in (ROOT / 'configs').rglob('*.py')}
    found = [name for name in shown(page.read_text()) if not name.endswith('.pth')]
    assert [name for name in found if not fnmatch.filter(names, name.rstrip('.,'))] == []


def bases(path):
    """The files that a config names as its ``_base_``, of this repository."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_':
            named = ast.literal_eval(node.value)
            named = [named] if isinstance(named, str) else named
            return [(path.parent / name).resolve() for name in named if '::' not in name]
    return []


def depth(path, shared=False):
    """How many files a config inherits from one behind the other, up to a shared one.

    With ``shared`` those behind: of files in ``_base_``.
    """
    if ('_base_' in path.relative_to(ROOT).parts) != shared:
        return 0
    return 1 + max((depth(base, shared) for base in bases(path)), default=0)


CONFIGS = sorted((ROOT / 'configs').rglob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_inheritance_is_two_deep(path):
    """A config and a variant of it; loaders, a data set and its small form in `_base_`."""
    shared = '_base_' in path.relative_to(ROOT).parts
    assert depth(path.resolve(), shared) <= (3 if shared else 2)
