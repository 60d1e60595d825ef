"""The pages say what is: links, commands, what they load and print."""

import re
import shlex
from argparse import ArgumentParser
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

from mssl_plugins import __version__, catalogue
from mssl_plugins.checkpoints.loading import load_backbone
from mssl_plugins.commands.figures import OPTIONS
from mssl_plugins.engine.hooks.load_backbone_hook import load_pretrained

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / 'README.md',
    *sorted((ROOT / 'configs').rglob('README.md')),
    *sorted((ROOT / 'docs').rglob('*.md')),
]


def test_config_names_are_unique():
    names = [p.name for p in (ROOT / 'configs').rglob('*.py')]
    assert len(names) == len(set(names))  # mim finds a config by its file name


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs').glob('[a-z]*/*.py')), ids=lambda p: p.stem
)
def test_config_opens_with_what_a_reader_asks(path):
    head = []
    for line in path.read_text().splitlines():
        if not line.startswith('#'):
            break
        head.append(line)
    text = ' '.join(head).lower()
    assert len(head) >= 2 and path.stem in text, 'the header shows its own command'
    depth, cfg = 0, path
    while (base := re.search(r"_base_ = '([^']+)'", cfg.read_text())) and '::' not in base[1]:
        cfg, depth = (cfg.parent / base[1]), depth + 1
    assert depth + ('_base_ = [' in cfg.read_text()) <= 2


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_paths_exist(page):
    text = page.read_text()
    for target in re.findall(r'\]\(([^)#]+)\)', text):
        if '://' not in target:
            assert (page.parent / target).exists(), target


def commands():
    """Commands of blocks, and of tables and sentences where they begin with the program."""
    for page in PAGES:
        text = page.read_text()
        lines = [
            line
            for block in re.findall(r'```(?:bash|shell)\n(.*?)```', text, re.S)
            for line in block.replace('\\\n', ' ').splitlines()
        ]
        lines += re.findall(
            r'`((?:python|bash|torchrun|mim) [^`]+)`', re.sub(r'```.*?```', '', text, flags=re.S)
        )
        for line in lines:
            line = ' '.join(line.split(' #')[0].split())
            if line and not line.startswith('#'):
                yield pytest.param(page, line, id=f'{page.relative_to(ROOT)}: {line[:60]}')


EPOCHS = {c['name']: c['epochs'] for c in catalogue.configs()}
# where the options of a tool are defined; those of figures are asked for
SHARED = 'mssl_plugins/commands/options.py'
PARSERS = {
    'train': ['mssl_plugins/commands/train.py'],
    'quickstart': ['mssl_plugins/commands/quickstart.py'],
    'list': ['mssl_plugins/commands/main.py'],
    'knn': ['mssl_plugins/commands/knn.py', SHARED],
    'extract': ['mssl_plugins/commands/extract.py', SHARED],
    'evaluate': ['mssl_plugins/commands/evaluate.py'],
    'report': ['mssl_plugins/commands/report.py'],
    'export': ['mssl_plugins/commands/export.py'],
    'make_segments': ['mssl_plugins/commands/make_segments.py', SHARED],
    'make_subset': ['mssl_plugins/commands/make_subset.py'],
    'channel_statistics': ['mssl_plugins/commands/channel_statistics.py'],
    'pack': ['mssl_plugins/commands/pack.py'],
    'evidence': ['tools/evidence_tool/command.py'],
    'dense_evidence': ['tools/dense_evidence.py'],
    'benchmark': ['tools/benchmark.py'],
    'scale': ['tools/scale.py', 'tools/scaling/axes.py', 'tools/scaling/plan.py'],
    'model_memory': ['tools/model_memory.py'],
    'photo_evidence': ['tools/photo_evidence.py'],
    'dense_data': ['tools/dense_data.py'],
    **{
        name: [f'tools/reliability/{name}.py', 'tools/reliability/report.py']
        for name in ('attacks', 'compiled', 'configs', 'files', 'kills', 'memory', 'resources')
    },
    'slurm_train': ['mssl_plugins/commands/train.py'],
    'dist_train': ['mssl_plugins/commands/train.py'],
}


@pytest.mark.parametrize('page, line', commands())
def test_commands_of_the_pages_are_valid(page, line):
    """Files, configs and options of a shown command exist; what trains is run below."""
    for word in shlex.split(line):
        if re.match(r'(tools|configs)/[\w./-]+\.(py|sh)$', word):
            assert (ROOT / word).exists(), word
    for command in re.split(r' && | \| |; ', line):  # each with its own options
        found = re.search(
            r'(?:\btools/(?:reliability/)?|-m mssl_plugins )(\w+)(?:\.(?:py|sh))?(.*)', command
        )
        if not found or found[1] in ('test', 'quickstart') and '.sh' in command:
            continue
        tool, rest = found.groups()
        rest, _, passed_on = rest.partition(' -- ')  # to the command `train`
        if '-m mssl_plugins train' in command and (name := rest.split()[0]).islower():
            assert catalogue.find(name)
        if tool == 'visualize':
            parser = ArgumentParser()
            OPTIONS[rest.split()[0]](parser)
            source = repr(list(parser._option_string_actions))
        else:
            source = ''.join((ROOT / path).read_text() for path in PARSERS[tool])
        train = (ROOT / 'mssl_plugins/commands/train.py').read_text()
        for options, known in ((rest, source), (f' {passed_on}', train)):
            for option in re.findall(r'(?<= )--?[a-z][\w-]*', options):
                assert f"'{option}'" in known, (option, line)


def shown_checkpoints():
    """(page, command, work folder, epoch) of every checkpoint that a command names."""
    for param in commands():
        page, line = param.values
        for folder, epoch in re.findall(r'work_dirs/([\w./-]+)/epoch_(\w+)\.pth', line):
            if not folder.startswith('evidence/'):  # of tools/evidence.py, by its own names
                yield pytest.param(
                    page, line, folder, epoch, id=f'{page.relative_to(ROOT)}: {folder}'
                )


def meta_model(cfg, monkeypatch):
    """The network of a config at full size, without memory."""
    from mmengine.registry import MODELS, DefaultScope

    # mmpretrain reads numbers from a linspace, which a meta tensor has none of
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        return MODELS.build(cfg.model)


def config_of(folder, page):
    """The config that trains into ``work_dirs/<folder>``: of that name, or the page's."""
    if folder in EPOCHS:
        return catalogue.find(folder)
    line = next(
        p.values[1]
        for p in commands()
        if p.values[0] == page and f'--work-dir work_dirs/{folder}' in p.values[1]
    )
    return catalogue.find(re.search(r'train(?:\.py)? (\S+)', line)[1])


@pytest.mark.parametrize('page, line, folder, epoch', shown_checkpoints())
def test_checkpoints_of_the_pages_fit_their_commands(
    page, line, folder, epoch, tmp_path, monkeypatch
):
    """Built from the config that the page names, a checkpoint goes into the command's network."""
    source = config_of(folder, page)
    assert int(epoch) == EPOCHS[source.stem]
    before = line.split(f'work_dirs/{folder}/')[0]  # the config that stands before the checkpoint
    named = (re.findall(r'configs/\S*/([\w-]+)\.py', before) or [None])[-1]
    if named is None:  # a command that finds the network in the checkpoint
        figures = 'pca|similarity|neighbors|embedding|propagation'
        assert re.search(rf'(evaluate|export|knn|extract)(\.py)?\b|visualize\.py ({figures})', line)
        return
    target = catalogue.find(named)
    if 'benchmarks' not in target.parts:  # a tool that reads both
        assert target == source, line
        return
    state = {  # a number each, at full shape
        key: torch.zeros((), dtype=value.dtype).expand(value.shape)
        for key, value in meta_model(Config.fromfile(source), monkeypatch).state_dict().items()
    }
    torch.save(dict(state_dict=state), tmp_path / 'checkpoint.pth')
    cfg = Config.fromfile(target)
    if cfg.default_scope == 'mmpretrain':  # init_cfg of the backbone, the student's
        cfg.model.backbone.pop('init_cfg')
        model = meta_model(cfg, monkeypatch)
        load_backbone(model.backbone, tmp_path / 'checkpoint.pth')
        return
    pytest.importorskip(cfg.default_scope, reason='needs the extra [dense]')
    pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')
    report = load_pretrained(
        meta_model(cfg, monkeypatch),
        tmp_path / 'checkpoint.pth',
        'teacher' if 'branch=teacher' in line else 'student',
    )
    assert len(report.matched) > 30


def trained():
    """Training commands of the pages that need no data of the reader's."""
    for param in commands():
        page, line = param.values
        for name in re.findall(
            r'(?:tools/train\.py configs/\S*/|-m mssl_plugins train )(\w[\w-]*_scenes)(?![\w-])',
            line,
        ):
            if '--data' not in line:
                yield name


@pytest.mark.parametrize('name', sorted(set(trained())))
def test_training_commands_run(name, tmp_path, train):
    """As shown, cut to two iterations and few images."""
    cfg = Config.fromfile(catalogue.find(name))
    options = [
        'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=8',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'train_dataloader.dataset.length=16',
    ]
    for part in ('bank', 'test'):
        if part in cfg.default_hooks.knn:
            options += [
                f'default_hooks.knn.{part}.dataset.length=40',
                f'default_hooks.knn.{part}.num_workers=0',
                f'default_hooks.knn.{part}.persistent_workers=False',
            ]
    done = train(
        catalogue.find(name),
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        *options,
        'default_hooks.knn.interval=1',
    )
    assert done.status == 0, done.text[-3000:]
    assert (tmp_path / 'run/epoch_1.pth').is_file() and 'knn/top1_k20' in done.text


def test_the_tour_runs(tmp_path, run_python):
    """The commands of docs/commands.md's tour, with the training cut short."""
    page = (ROOT / 'docs/commands.md').read_text()
    block = re.search(r'## A tour\n.*?```bash\n(.*?)```', page, re.S)[1]
    small = (
        '--cfg-options train_cfg.max_epochs=1 train_dataloader.dataset.length=128 '
        'default_hooks.knn.bank.dataset.length=200 default_hooks.knn.test.dataset.length=50'
    )
    for line in block.strip().splitlines():
        line = line.replace('work_dirs/tour', str(tmp_path))
        if ' train ' in line:
            line += ' ' + small
        if 'tools/knn.py' in line:
            line = line.replace(
                f'epoch_{EPOCHS["simclr_resnet18_1xb64-coslr-8e_scenes"]}.pth', 'epoch_1.pth'
            )
        python, *argv = shlex.split(line)
        done = run_python(*argv, cwd=ROOT)
        assert python == 'python' and done.returncode == 0, line + done.stderr[-2000:]
    assert (tmp_path / 'mixmask.png').exists() and (tmp_path / 'views.png').exists()


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == __version__ and citation['license'] == 'Apache-2.0'
    for path in (ROOT / '.github/ISSUE_TEMPLATE').glob('[0-9]*.yml'):
        assert {'name', 'description', 'body'} <= set(yaml.safe_load(path.read_text()))
