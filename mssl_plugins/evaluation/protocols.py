"""The papers' evaluation protocols, and what runs them on a checkpoint.

Each protocol is a shipped config (``configs/benchmarks/classification/``),
which also holds its numbers.  Probes and k-NN run here on features that are
computed once; fine-tuning runs the config through ``tools/train.py``.
"""
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import torch
from mmengine.dist import barrier, get_world_size, is_main_process

from mssl_plugins.catalogue import find, root
from mssl_plugins.errors import unknown

from mssl_plugins.evaluation.features import frozen
from mssl_plugins.models.readout import kinds_of, read_layers
from mssl_plugins.evaluation.store import Bar, FeatureStore, Results, data_hash


class Protocol(NamedTuple):
    """One way to measure a backbone.

    Attributes:
        title (str): In a few words.
        source (str): Where it is printed.
        how (str): 'knn', 'probe', 'layers', 'logistic' or 'finetune'.
        configs (dict): The shipped config for each family, 'vit' and
            'resnet'; a family without one cannot be measured so.
        labels (float): Fraction of the labels that fine-tuning gets.
    """

    title: str
    source: str
    how: str
    configs: Dict[str, str]
    labels: float = 1.


def _both(name: str) -> Dict[str, str]:
    return dict(vit=name, resnet=name)


PROTOCOLS = {
    'knn': Protocol('weighted k-NN', 'MST, section 4', 'knn',
                    _both('vits16_knn_in1k_mst')),
    'linear': Protocol('linear, last layer', 'MST, section 5', 'probe',
                       _both('vits16_linear_in1k_mst')),
    'moco-linear': Protocol('linear, pooled last layer, lr 30', 'MixMask, Table 2',
                            'probe', _both('resnet50_linear_in1k_moco')),
    'mae-linear': Protocol('linear, LARS and BatchNorm',
                           'mask-guided attention, Table 4; ASL, Table 1', 'probe',
                           _both('vitb16_linear_in1k_mae')),
    'dino-linear': Protocol('linear, last 4 blocks',
                            'mask-guided attention, Table 3; MST, section 5', 'probe',
                            _both('vits16_linear_in1k_dino')),
    'multilayer': Protocol('linear, conv1 to conv5', 'MaskCo, A.3', 'layers',
                           dict(resnet='resnet50_multilayer_in1k_maskco')),
    'logistic': Protocol('logistic regression, L-BFGS', 'ours', 'logistic',
                         _both('vits16_linear_in1k_mst')),
    'finetune-100': Protocol(
        'fine-tuning', "mask-guided attention, Table 5 (DINO's); MixMask, Table 3",
        'finetune', dict(vit='vits16_finetune-100_in1k_dino',
                         resnet='resnet50_finetune-100_in1k_mixmask')),
    'mae-finetune-100': Protocol(
        "fine-tuning, MAE's", 'mask-guided attention, Table 6; ASL, Table 2',
        'finetune', dict(vit='vitb16_finetune-100_in1k_mae')),
    'finetune-10': Protocol(
        'fine-tuning, 10 % of the labels', 'Semi-ViT; MixMask, Table 3', 'finetune',
        dict(vit='vits16_finetune-10_in1k_semivit',
             resnet='resnet50_finetune-10_in1k_mixmask'), 0.1),
    'finetune-1': Protocol(
        'fine-tuning, 1 % of the labels', 'Semi-ViT; MixMask, Table 3', 'finetune',
        dict(vit='vits16_finetune-1_in1k_semivit',
             resnet='resnet50_finetune-1_in1k_mixmask'), 0.01),
}
GROUPS = dict(
    all=list(PROTOCOLS),
    frozen=[n for n, p in PROTOCOLS.items() if p.how != 'finetune'],
    finetune=[n for n, p in PROTOCOLS.items() if p.how == 'finetune'])


def load_config(name: str):
    """The config of a protocol, its scope set."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    cfg = Config.fromfile(str(find(name)))
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    return cfg


def choose(names: str, family: str) -> List[str]:
    """Which protocols a command line means.

    Args:
        names (str): Names with commas between, or 'all', 'frozen',
            'finetune': those of them that the family has.
        family (str): 'vit' or 'resnet'.

    Returns:
        list[str]: Keys of ``PROTOCOLS``.

    Raises:
        ValueError: For an unknown name, or one that the family lacks.
    """
    chosen: List[str] = []
    for name in filter(None, (n.strip() for n in names.split(','))):
        if name in GROUPS:
            chosen += [n for n in GROUPS[name] if family in PROTOCOLS[n].configs]
        elif name not in PROTOCOLS:
            raise unknown(name, [*PROTOCOLS, *GROUPS], 'protocol')
        elif family not in PROTOCOLS[name].configs:
            needs = ', '.join('a ResNet' if f == 'resnet' else 'a ViT'
                              for f in PROTOCOLS[name].configs)
            raise ValueError(f"protocol '{name}' is for {needs}; the checkpoint "
                             f"holds a {'ViT' if family == 'vit' else 'ResNet'}")
        else:
            chosen.append(name)
    if not chosen:
        raise ValueError(f'no protocol named; there are {", ".join(PROTOCOLS)}')
    return list(dict.fromkeys(chosen))


# ------------------------------------------------------------------ subject
class Subject:
    """The backbone of a checkpoint, built and frozen.

    Args:
        checkpoint (str): See :func:`mssl_plugins.checkpoints.reader.read`; or
            'random' for the untrained backbone of ``config``.
        branch (str, optional): 'student' or 'teacher'. Defaults to None: the
            teacher of DINO and MST, else the student.
        config (str, optional): That says what the weights do not. Defaults to
            None: the one in the checkpoint.
        seed (int): Of random weights. Defaults to 0.

    Raises:
        FileNotFoundError, ValueError: If there is no such file, no backbone in
            it, or one of another arch than the config's; names keys.
    """

    def __init__(self, checkpoint: str, branch: Optional[str] = None,
                 config: Optional[str] = None, seed: int = 0) -> None:
        from mmengine.registry import MODELS, init_default_scope

        from mssl_plugins.checkpoints import reader as source
        init_default_scope('mmpretrain')
        if checkpoint == 'random':
            found = self._random(config, seed)
        else:
            found = source.read(checkpoint, branch, config)
        self.family, self.config = found.family, dict(found.config)
        self.weights, self.source = found.weights, found.source
        self.mean = found.mean or [123.675, 116.28, 103.53]
        self.std = found.std or [58.395, 57.12, 57.375]
        self.native = found.size[0] if self.family == 'vit' else None
        self.model = torch.nn.Module()
        self.model.backbone = MODELS.build(dict(self.config))
        self.model.backbone.load_state_dict(self.weights, strict=False)
        self.model.backbone.requires_grad_(False)
        self.model.data_preprocessor = MODELS.build(dict(
            type='mssl_plugins.ViewPreprocessor', mean=self.mean, std=self.std))

    @staticmethod
    def _random(config: Optional[str], seed: int):
        from mmengine.registry import MODELS

        from mssl_plugins.checkpoints import architecture
        from mssl_plugins.checkpoints import naming as keys
        from mssl_plugins.checkpoints import reader as source

        from mssl_plugins.config import read_config
        if config is None:
            raise ValueError("'random' needs --config: whose backbone?")
        cfg = read_config(config)
        torch.manual_seed(seed)
        given = dict(cfg.model.backbone)
        given.pop('init_cfg', None)
        backbone = MODELS.build(dict(given))
        backbone.init_weights()
        weights = keys.to_ours({k: v for k, v in backbone.state_dict().items()
                                if not k.startswith('mask_bias.')})
        family = keys.recognise(weights)[0]
        images = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
        return source.Backbone(
            family, weights, architecture.describe(family, weights, given),
            images.get('mean'), images.get('std'),
            dict(sha256=f'random-{seed}', branch='student', file='random', method=None))

    @property
    def key(self) -> str:
        """16 digits that tell the backbone, weights and all."""
        text = json.dumps([self.source['sha256'], self.source['branch'],
                           self.config, self.mean, self.std], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def channels(self, size: int) -> int:
        """Dimensions of its usual features."""
        with frozen(self.model.backbone):
            x = torch.zeros(1, 3, size, size, device=next(
                self.model.backbone.parameters()).device)
            return read_layers(self.model.backbone, x, ['auto'])['auto'].shape[1]


# --------------------------------------------------------------------- data
class Data:
    """Train and test images under one transform.

    Args:
        folder (str): See :func:`mssl_plugins.datasets.labelled.LabelledImages`.
        work_dir (Path): Where lists of drawn images go.
        size (int, optional): Side of the network's input in px. Defaults to
            None: ``native``, or 224, or the images' own where they are
            smaller than 128 px.
        resize (int, optional): Short side before the centre is cut. Defaults
            to None: 256 for 224 and in proportion, small images whole.
        native (int, optional): The network's own size.
        classes (str, optional): File with the classes to take.
        train_images, test_images (int, optional): Only so many of each set,
            class by class, drawn with ``seed``.
        seed (int): Defaults to 0.

    Raises:
        FileNotFoundError: If there is no such data.
        ValueError: If labels are missing, or the two sets' classes differ.
    """

    def __init__(self, folder: str, work_dir: Path, size: Optional[int] = None,
                 resize: Optional[int] = None, native: Optional[int] = None,
                 classes: Optional[str] = None,
                 train_images: Optional[int] = None,
                 test_images: Optional[int] = None, seed: int = 0) -> None:
        from mssl_plugins.datasets.labelled import labels_of
        if not Path(folder).exists() and not list(
                Path(folder).parent.glob(f'{Path(folder).name}_*.npz')):
            raise FileNotFoundError(f'no such data: {folder}')
        self.specs = {
            split: dict(type='mssl_plugins.LabelledImages',
                        data_root=os.path.abspath(folder), split=name,
                        **(dict(classes=os.path.abspath(classes)) if classes else {}))
            for split, name in (('train', 'train'), ('test', 'val'))}
        self.work_dir, self.seed = work_dir, seed
        self.sets = {k: self._build(v) for k, v in self.specs.items()}
        self.labels = {k: torch.from_numpy(labels_of(v)) for k, v in self.sets.items()}
        self._check_classes()
        for split, count in (('train', train_images), ('test', test_images)):
            if count is not None and count < len(self.sets[split]):
                self.specs[split]['list_file'] = self._draw(split, count)
                self.sets[split] = self._build(self.specs[split])
                self.labels[split] = torch.from_numpy(labels_of(self.sets[split]))
        first = self.sets['train'][0]['img']
        short, long = min(first.shape[:2]), max(first.shape[:2])
        self.size = size or native or (224 if short >= 128 else short)
        self.whole = short == long == self.size  # nothing to cut
        self.resize = resize or (
            round(self.size * 256 / 224) if self.size >= 128 else self.size)
        if self.resize < self.size:
            raise ValueError(f'--resize {self.resize} is smaller than --size {self.size}')

    @staticmethod
    def _build(spec: dict, pipeline: Sequence[dict] = ()):
        from mmengine.registry import DATASETS
        # Without a pipeline only labels are read: neither worth decoding images
        # nor packing the list for workers.
        used = bool(pipeline)
        return DATASETS.build(dict(
            spec, pipeline=list(pipeline), cache=used, serialize_data=used))

    def _check_classes(self) -> None:
        names = {k: getattr(v, 'CLASSES', None) for k, v in self.sets.items()}
        seen = {k: set(v.tolist()) for k, v in self.labels.items()}
        if names['train'] and names['test'] and tuple(names['train']) != tuple(names['test']):
            only = sorted(set(names['train']) ^ set(names['test']))
            raise ValueError(
                f"the training set has {len(names['train'])} classes, the test set "
                f"{len(names['test'])}; in one of them only: "
                f"{', '.join(only[:5]) or 'none, the order differs'}")
        strange = sorted(seen['test'] - seen['train'])
        if strange:
            raise ValueError(
                f"the training set has {len(seen['train'])} classes, the test set "
                f"{len(seen['test'])}: no training image has the label(s) "
                f"{', '.join(map(str, strange[:5]))}")
        if len(seen['train']) < 2:
            raise ValueError('the training set has one class only: nothing to tell apart')
        self.num_classes = len(names['train'] or ()) or max(seen['train']) + 1

    def _draw(self, split: str, count: int, name: str = '') -> str:
        """A list of so many images, class by class; the file's path."""
        from mssl_plugins.datasets.labelled import balanced, list_lines
        from mssl_plugins.files import write_atomically
        each = count // len(set(self.labels[split].tolist()))
        if not each:
            raise ValueError(f'{count} images are less than one a class')
        chosen = balanced(self.labels[split].numpy(),
                          fraction=count / len(self.labels[split]), seed=self.seed)
        lines = '\n'.join(list_lines(self.sets[split], chosen)) + '\n'
        stamp = hashlib.sha256(lines.encode()).hexdigest()[:8]
        path = self.work_dir / f'{name or split}-{len(chosen)}-{stamp}.txt'
        if is_main_process() and not path.is_file():
            write_atomically(lines.encode(), path)
        barrier()
        return str(path.absolute())

    def few_labels(self, fraction: float, given: Optional[str] = None) -> dict:
        """The training set's config with only a part of its images.

        Args:
            fraction (float): 1 for all.
            given (str, optional): The user's list. Defaults to None: drawn.
        """
        spec = dict(self.specs['train'])
        if given is not None:
            if not Path(given).is_file():
                raise FileNotFoundError(f'no list {given}')
            return dict(spec, list_file=os.path.abspath(given))
        if fraction == 1:
            return spec
        if 'list_file' not in spec:
            count = max(self.num_classes, round(fraction * len(self.sets['train'])))
            return dict(spec, list_file=self._draw('train', count, 'labels'))
        # of the drawn images, some: their lines
        from mssl_plugins.datasets.labelled import balanced
        from mssl_plugins.files import write_atomically
        lines = [line for line in Path(spec['list_file']).read_text().split('\n') if line]
        chosen = balanced(self.labels['train'].numpy(), fraction=fraction, seed=self.seed)
        path = self.work_dir / f'labels-{fraction}-of-{Path(spec["list_file"]).name}'
        if is_main_process():
            write_atomically(('\n'.join(lines[i] for i in chosen) + '\n').encode(), path)
        barrier()
        return dict(spec, list_file=str(path.absolute()))

    def centre(self, split: str):
        """The set under the deterministic transform."""
        return self._build(self.specs[split], [
            dict(type='mssl_plugins.CenterView', size=self.size, resize=self.resize,
                 interpolation='bicubic'),
            dict(type='mssl_plugins.PackViews')])

    def augmented(self):
        """The training set, cropped and flipped at random."""
        view = dict(num=1, size=self.size, flip=0.5)
        view.update(dict(crop='pad', padding=self.size // 8) if self.whole else
                    dict(scale=(0.08, 1.0), interpolation='bicubic'))
        return self._build(self.specs['train'], [
            dict(type='mssl_plugins.Views', views=[view]),
            dict(type='mssl_plugins.PackViews')])

    @property
    def key(self) -> str:
        """16 digits that tell images, labels and transform."""
        parts = [data_hash(self.sets[k]) for k in ('train', 'test')]
        text = json.dumps([*parts, self.size, self.resize])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def use_data(cfg, folder: str) -> None:
    """Puts labelled images in the place of a classification config's data.

    Args:
        cfg (mmengine.Config): Of ``configs/benchmarks/classification``;
            changed. A ``list_file`` stays, below the new folder.
        folder (str): See :func:`mssl_plugins.datasets.labelled.LabelledImages`.

    Raises:
        FileNotFoundError, ValueError: As :class:`Data`.
    """
    data = Data(folder, Path('.'))
    hooks = cfg.get('default_hooks') or {}
    knn = hooks.get('knn') or {}
    for loader, split in ((cfg.train_dataloader, 'train'), (cfg.val_dataloader, 'test'),
                          (cfg.test_dataloader, 'test'), (knn.get('bank'), 'train'),
                          (knn.get('test'), 'test')):
        if loader:
            kept = {k: v for k, v in loader.dataset.items()
                    if k in ('pipeline', 'list_file')}
            loader.dataset = dict(data.specs[split], **kept)
    cfg.model.head.num_classes = data.num_classes
    if cfg.get('data_preprocessor'):
        cfg.data_preprocessor.num_classes = data.num_classes
    for name in ('val_evaluator', 'test_evaluator'):
        if cfg[name].get('topk') and data.num_classes < 5:
            cfg[name].topk = (1, )


# ------------------------------------------------------------------ running
def _row(protocol: str, setting: str, value: float, seconds: float,
         metric: str = 'top1') -> dict:
    return dict(protocol=protocol, setting=setting, metric=metric,
                value=round(100 * value, 3), seconds=round(seconds, 1))


class Evaluation:
    """Protocols on one backbone and one data set.

    Args:
        subject (Subject): What is measured.
        data (Data): On what.
        work_dir (Path): Where features, runs and results are kept.
        epochs (int, optional): Instead of the protocols', schedules squeezed.
        rates (Sequence[float], optional): Learning rates of the probes,
            instead of the protocols'.
        views (int): 0: probes see the centre view; else so many augmented
            views of every training image, one an epoch, in turn. Defaults to
            0.
        ks, temperature: Of k-NN, instead of the protocol's.
        finetune_batch (int, optional): Batch of fine-tuning, the rate scaled
            with it. Defaults to None, the protocol's.
        processes (int): That fine-tune side by side. Defaults to 1.
        lists (dict, optional): The user's lists of images: protocol -> file.
        seed (int): Defaults to 0.
        **options: ``device``, ``dtype``, ``batch_size``, ``num_workers``.
    """

    def __init__(self, subject: Subject, data: Data, work_dir: Path,
                 epochs: Optional[int] = None,
                 rates: Optional[Sequence[float]] = None, views: int = 0,
                 ks: Optional[Sequence[int]] = None,
                 temperature: Optional[float] = None,
                 finetune_batch: Optional[int] = None, processes: int = 1,
                 lists: Optional[Dict[str, str]] = None, seed: int = 0,
                 **options) -> None:
        for name, value, least in (('epochs', epochs, 1), ('views', views, 0),
                                   ('finetune batch', finetune_batch, 1),
                                   ('processes', processes, 1)):
            if value is not None and value < least:
                raise ValueError(f'{name} must be {least} or more, got {value}')
        self.subject, self.data, self.work_dir = subject, data, Path(work_dir)
        self.epochs, self.rates, self.views = epochs, rates, views
        self.ks, self.temperature = ks, temperature
        self.finetune_batch, self.processes = finetune_batch, processes
        self.lists, self.seed, self.options = lists or {}, seed, options
        self.results = Results(self.work_dir / 'results.json')
        self.store = FeatureStore(self.work_dir / 'features', subject.model, **options)
        self.kinds = kinds_of(subject.model.backbone)

    # -- what a protocol needs
    def _config(self, name: str):
        return load_config(PROTOCOLS[name].configs[self.subject.family])

    def _kinds(self, name: str) -> List[str]:
        """The features that a frozen protocol reads."""
        how = PROTOCOLS[name].how
        if how in ('knn', 'logistic'):
            return self.kinds[:1]
        wanted = self._config(name).model.features
        if how == 'layers':
            return list(wanted)
        if wanted == 'auto':
            return self.kinds[:1]
        if wanted.startswith('blocks'):
            # a shallow network's all blocks; without class token the average
            return [k for k in self.kinds if k.startswith('blocks')] or ['avg']
        return [wanted]

    def _ks(self) -> List[int]:
        cfg = self._config('knn')
        bank = len(self.data.labels['train'])
        if self.ks is not None:
            if max(self.ks) > bank:
                raise ValueError(f'k = {max(self.ks)} is larger than the bank of '
                                 f'{bank} training images')
            return list(self.ks)
        fitting = [k for k in cfg.ks if k <= bank]
        if not fitting:
            raise ValueError(f'k = {min(cfg.ks)} is larger than the bank of {bank} '
                             'training images: give --k')
        return fitting

    def _probe(self, name: str):
        from mssl_plugins.evaluation.probes import recipe_of
        cfg = self._config(name)
        recipe = recipe_of(cfg)
        if self.epochs:
            recipe = recipe.with_epochs(self.epochs)
        rates = list(self.rates or [recipe.lr * f for f in cfg.get('lr_sweep', [1])])
        batch = recipe.batch_for(len(self.data.labels['train']))
        about = f'{recipe.epochs} epochs, batch {batch}, ' + (
            f'{self.views} views' if self.views else 'centre view')
        return recipe, rates, about

    def settings(self, name: str) -> List[str]:
        """The settings that a protocol's rows will have, before it runs."""
        how = PROTOCOLS[name].how
        if how == 'knn':
            t = self.temperature or self._config(name).temperature
            return [f'k={k}, T={t}' for k in self._ks()]
        if how == 'logistic':
            return [f'{self.kinds[0]}, C=1']
        if how == 'finetune':
            return [self._finetune_config(name)[1]]
        _, rates, about = self._probe(name)
        if how == 'layers':
            return [f'{layer}, lr={rate:g}, {about}'
                    for rate in rates for layer in self._kinds(name)]
        kind = self._kinds(name)[0]
        settings = [f'{kind}, lr={rate:g}, {about}' for rate in rates]
        if len(rates) > 1:
            settings.append(f'best of {len(rates)} rates on the test set, {kind}, {about}')
        return settings

    # -- running
    def run(self, names: Sequence[str]) -> List[dict]:
        """Runs what is not yet there; all rows of the named protocols.

        Args:
            names (Sequence[str]): Of ``PROTOCOLS``.

        Returns:
            list[dict]: ``protocol, setting, metric, value`` (%), ``seconds``.
        """
        settings = {n: self.settings(n) for n in names}  # mistakes come first
        if get_world_size() > 1 and any(PROTOCOLS[n].how == 'finetune' for n in names):
            raise ValueError('fine-tuning starts its own processes: leave torchrun '
                             'away and give --processes')
        todo = [n for n in names if not self.results.has(n, settings[n])]
        for name in names:
            if name not in todo and is_main_process():
                print(f'{name}: measured before')
        self._extract([n for n in todo if PROTOCOLS[n].how != 'finetune'])
        for name in sorted(todo, key=lambda n: PROTOCOLS[n].how != 'knn'):
            how = PROTOCOLS[name].how
            if how == 'knn' or is_main_process():  # k-NN is shared out
                self.results.add(getattr(self, f'_run_{how}')(name))
        return [r for n in names for s in settings[n] for r in self.results.rows
                if (r['protocol'], r['setting']) == (n, s)]

    def _extract(self, names: Sequence[str]) -> None:
        kinds = list(dict.fromkeys(k for n in names for k in self._kinds(n)))
        probed = list(dict.fromkeys(
            k for n in names if PROTOCOLS[n].how in ('probe', 'layers')
            for k in self._kinds(n)))
        if not kinds:
            return
        began = time.time()
        for split in ('train', 'test'):
            self.store.add(split, self.data.centre(split), kinds)
        for view in range(self.views):
            self.store.add(f'train.v{view}', self.data.augmented(), probed, view)
        seconds = time.time() - began
        if is_main_process() and seconds > 1:
            print(f'features of {sum(map(len, self.data.labels.values()))} images: '
                  f'{seconds:.1f} s')

    def _pairs(self, kind: str):
        return self.store.pair('train', kind), self.store.pair('test', kind)

    def _run_knn(self, name: str) -> List[dict]:
        from mssl_plugins.evaluation.knn import knn_accuracy
        ks = self._ks()
        t = self.temperature or self._config(name).temperature
        (bank, bank_labels), (test, test_labels) = self._pairs(self.kinds[0])
        began = time.time()
        top1 = knn_accuracy(test, test_labels, bank, bank_labels, ks=ks, temperature=t)
        seconds = time.time() - began
        return [_row(name, f'k={k}, T={t}', top1[k], seconds) for k in ks]

    def _run_logistic(self, name: str) -> List[dict]:
        from mssl_plugins.evaluation.probes import logistic_regression
        kind = self.kinds[0]
        (bank, labels), test = self._pairs(kind)
        began = time.time()
        bar = Bar('logistic, at most', 500)
        probe = logistic_regression(bank, labels, self.data.num_classes, progress=bar.to)
        value = probe.accuracy(*test)[0]
        return [_row(name, f'{kind}, C=1', value, time.time() - began)]

    def _train_probe(self, name: str, kind: str, recipe, rates) -> List[float]:
        from mssl_plugins.evaluation.probes import train_probes
        (bank, labels), test = self._pairs(kind)
        if self.views:
            bank = [self.store.get(f'train.v{v}', kind) for v in range(self.views)]
        bar = Bar(f'{name}, {kind}', recipe.epochs)
        probes = train_probes(bank, labels, self.data.num_classes, recipe, rates,
                              self.seed, bar.to, self.options.get('device', 'cpu'))
        return probes.accuracy(*test)

    def _run_probe(self, name: str) -> List[dict]:
        recipe, rates, about = self._probe(name)
        kind = self._kinds(name)[0]
        began = time.time()
        values = self._train_probe(name, kind, recipe, rates)
        seconds = time.time() - began
        rows = [_row(name, f'{kind}, lr={rate:g}, {about}', value, seconds)
                for rate, value in zip(rates, values)]
        if len(rates) > 1:
            rows.append(_row(name, self.settings(name)[-1], max(values), seconds))
        return rows

    def _run_layers(self, name: str) -> List[dict]:
        recipe, rates, about = self._probe(name)
        rows = []
        for layer in self._kinds(name):
            settings = [f'{layer}, lr={rate:g}, {about}' for rate in rates]
            if self.results.has(name, settings):
                continue
            began = time.time()
            values = self._train_probe(name, layer, recipe, rates)
            seconds = time.time() - began
            new = [_row(name, s, v, seconds) for s, v in zip(settings, values)]
            self.results.add(new)  # a layer may take minutes
            rows += new
        return rows

    # -- fine-tuning
    def _finetune_config(self, name: str, write: bool = False):
        """The protocol's config on this backbone and data, and its setting."""
        protocol, data, subject = PROTOCOLS[name], self.data, self.subject
        cfg = self._config(name)
        if name in self.lists and not Path(self.lists[name]).is_file():
            raise FileNotFoundError(f'no list {self.lists[name]}')
        part = f'list {Path(self.lists[name]).name}' if name in self.lists else \
            'all labels' if protocol.labels == 1 else f'{protocol.labels:.0%} of the labels'
        epochs, planned = self.epochs or cfg.train_cfg.max_epochs, cfg.train_cfg.max_epochs
        batch = self.finetune_batch or cfg.auto_scale_lr.base_batch_size
        setting = f'{part}, {epochs} epochs, batch {batch}'
        if not write:
            return cfg, setting
        backbone = dict(subject.config, **cfg.get('network', {}))
        if subject.family == 'vit' and not subject.config.get('with_cls_token', True):
            backbone.update(out_type='avg_featmap', final_norm=False)
        weights = self.work_dir / 'backbone.pth'
        weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save({f'backbone.{k}': v for k, v in subject.weights.items()}, weights)
        backbone['init_cfg'] = dict(type='Pretrained', checkpoint=str(weights.absolute()),
                                    prefix='backbone.')
        cfg.model.backbone = backbone
        cfg.model.head.update(num_classes=data.num_classes,
                              in_channels=subject.channels(data.size))
        cfg.data_preprocessor.update(num_classes=data.num_classes, mean=subject.mean,
                                     std=subject.std)
        workers = self.options.get('num_workers', 0)
        spec = data.few_labels(protocol.labels, self.lists.get(name))
        train, val = cfg.train_dataloader, cfg.val_dataloader
        train.dataset = dict(spec, pipeline=self._pipeline(train.dataset.pipeline))
        val.dataset = dict(data.specs['test'], pipeline=self._pipeline(val.dataset.pipeline))
        train.update(batch_size=math.ceil(batch / self.processes), num_workers=workers)
        val.update(num_workers=workers)
        cfg.test_dataloader = val
        cfg.val_evaluator.topk = (1, )
        cfg.test_evaluator = cfg.val_evaluator
        cfg.auto_scale_lr.enable = True
        if not torch.cuda.is_available() and not self._bf16():
            cfg.optim_wrapper.type = 'OptimWrapper'
        ratio = epochs / planned
        for schedule in cfg.param_scheduler:
            for key in ('begin', 'end', 'T_max'):
                if key in schedule:
                    schedule[key] = max(int(key != 'begin'), round(schedule[key] * ratio))
            if 'milestones' in schedule:
                schedule.milestones = [max(1, round(m * ratio)) for m in schedule.milestones]
        cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
        cfg.randomness = dict(seed=self.seed)
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]  # read below
        cfg.work_dir = str((self.work_dir / name).absolute())
        return cfg, setting

    def _bf16(self) -> bool:
        return self.options.get('dtype', torch.float32) == torch.bfloat16

    def _pipeline(self, pipeline: Sequence[dict]) -> List[dict]:
        """The protocol's transforms at this size."""
        size, out = self.data.size, []
        for step in pipeline:
            step, kind = dict(step), str(step['type']).split('.')[-1]
            if kind == 'RandomResizedCrop':
                step['scale'] = size
                if self.data.whole:  # small images, as CIFAR's: pad and crop
                    step = dict(type='mmpretrain.RandomCrop', crop_size=size,
                                padding=size // 8)
            elif kind == 'ResizeEdge':
                step['scale'] = self.data.resize
            elif kind == 'CenterCrop':
                step['crop_size'] = size
            out.append(step)
        return out

    def _run_finetune(self, name: str) -> List[dict]:
        cfg, setting = self._finetune_config(name, write=True)
        stamp = hashlib.sha256(setting.encode()).hexdigest()[:8]
        folder = self.work_dir / f'{name}-{stamp}'
        cfg.work_dir = str(folder.absolute())
        folder.mkdir(parents=True, exist_ok=True)
        cfg.dump(folder / 'finetune.py')
        command = [sys.executable]
        if self.processes > 1:
            command += ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node',
                        str(self.processes)]
        command += [str(root() / 'tools/train.py'), str(folder / 'finetune.py'),
                    '--work-dir', str(folder), '--resume', 'auto']
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [
            str(Path(__file__).resolve().parents[2]), os.environ.get('PYTHONPATH')])))
        if str(self.options.get('device', '')).startswith('cpu'):
            env['CUDA_VISIBLE_DEVICES'] = ''
        spent = folder / 'seconds.txt'  # summed over resumptions
        print(f'{name}: {setting}; log in {folder}/output.txt', flush=True)
        began = time.time()
        bar = Bar(name, cfg.train_cfg.max_epochs)
        with open(folder / 'output.txt', 'a') as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env)
            try:
                while process.poll() is None:
                    time.sleep(0.5)
                    done = self._scalars(folder).get('epoch')
                    if done and int(done) > bar.done:
                        bar.to(int(done))
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
                seconds = time.time() - began + (
                    float(spent.read_text()) if spent.is_file() else 0)
                spent.write_text(str(seconds))
        if process.returncode:
            last = [line for line in (folder / 'output.txt').read_text().splitlines() if line][-1:]
            raise ValueError(f'{name} ended with status {process.returncode}: '
                             f'{"".join(last)} (see {folder}/output.txt)')
        value = self._scalars(folder).get('accuracy/top1')
        if value is None:
            raise ValueError(f'{name} logged no accuracy: see {folder}/output.txt')
        for old in folder.glob('epoch_*.pth'):
            old.unlink()  # measured: nothing to go on with
        return [_row(name, setting, value / 100, seconds)]

    @staticmethod
    def _scalars(folder: Path) -> dict:
        """The last value of every scalar that a run has logged."""
        values: dict = {}
        for file in sorted(folder.glob('*/vis_data/scalars.json')):
            for line in file.read_text().splitlines():
                try:
                    values.update(json.loads(line))
                except ValueError:  # half a line, being written
                    continue
        return values


def table(rows: Sequence[dict]) -> str:
    """Rows for people."""
    if not rows:
        return 'nothing measured'
    head = ('protocol', 'setting', 'metric', 'value', 'seconds')
    cells = [head] + [(r['protocol'], r['setting'], r['metric'], f"{r['value']:.2f}",
                       f"{r['seconds']:.1f}") for r in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(5)]
    return '\n'.join('  '.join(
        c.rjust(w) if i > 2 else c.ljust(w)
        for i, (c, w) in enumerate(zip(row, widths))).rstrip() for row in cells)


def listing() -> str:
    """The protocols for ``--list``."""
    lines = []
    for name, p in PROTOCOLS.items():
        whom = ' and '.join('ViT' if f == 'vit' else 'ResNet' for f in p.configs)
        lines.append(f'{name:18}{p.title} ({p.source}); {whom}')
    return '\n'.join(lines)
