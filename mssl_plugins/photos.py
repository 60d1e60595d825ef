"""A run on a user's own folder of images: survey, split, fitted recipe, monitoring.

folder -> survey (preflight) -> lists in the work dir -> training set, held-out
set -> recipe fitted to their number -> hooks that say whether it learns.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config

from mssl_plugins import preflight, recipes
from mssl_plugins.catalogue import find
from mssl_plugins.channels import set_channels
from mssl_plugins.config import first_part, knn_hook
from mssl_plugins.datasets.channel_statistics import measure
from mssl_plugins.datasets.folder import scan
from mssl_plugins.datasets.inspection import set_at, source_of
from mssl_plugins.distributed import first_does
from mssl_plugins.errors import UserError
from mssl_plugins.files import write_atomically
from mssl_plugins.recipe_fit import fit_to_images
from mssl_plugins.registry import DATASETS
from mssl_plugins.segments.build import make
from mssl_plugins.segments.image_set import find_images
from mssl_plugins.work_dir import LISTS

TESTS = ('val', 'test')  # folders of test images beside train/
SMALL, LARGE = 64, 160  # px: a recipe for SMALL or less does not fit images of LARGE or more
CPU_BATCH, GPU_BATCH = 64, 256  # ours: what a machine takes at 96-224 px
CHECKED = 64  # ours: segments of so many images show a check what is wrong
FEW = 3000  # ours: images below which published weights are the better start


class Wishes(NamedTuple):
    """What the user asks of a run on a folder.

    Attributes:
        epochs (int, optional): Length of the training. None: fitted to the folder by
            a photo recipe, else the recipe's.
        batch_size (int, optional): Images in a step and process. None: likewise.
        size (int, optional): Side of the views in px. None: the recipe's.
        lr (float, optional): Learning rate for this batch. None: the recipe's, scaled.
        segments (str, optional): A segment store, for methods that need one;
            None: it is made before training.
        max_bad (float): Largest fraction of unusable files. Defaults to 0.01.
        min_size (int): Images with a shorter side, in px, are left out. Defaults to 0.
        processes (int): Number of processes. Defaults to 1.
        validate (bool): Whether to measure while training. Defaults to True.
        check (bool): Whether the run ends before it keeps anything. Defaults to False.
        channels (int, optional): Number of channels of the images, which are kept as
            they are; None: images become 8-bit RGB.
        bits (int): Bits of these channels, 8 or 16. Defaults to 8.
    """

    epochs: Optional[int] = None
    batch_size: Optional[int] = None
    size: Optional[int] = None
    lr: Optional[float] = None
    segments: Optional[str] = None
    max_bad: float = 0.01
    min_size: int = 0
    processes: int = 1
    validate: bool = True
    check: bool = False
    channels: Optional[int] = None
    bits: int = 8


def is_photo_recipe(cfg: Config) -> bool:
    """Whether a config is a recipe for the user's own images."""
    return (cfg.get('catalogue') or {}).get('data') == 'photos'


def apply_wishes(cfg: Config, wishes: Wishes, images: Optional[int] = None) -> List[str]:
    """Applies the user's size, length, batch and learning rate to a config.

    Args:
        cfg (mmengine.Config): The config; changed in place.
        wishes (Wishes): What the user asked for.
        images (int, optional): Number of training images, to which length and
            batch are fitted where the user asked for none. Defaults to None:
            they stay the config's.

    Returns:
        list[str]: Lines that say what changed.

    Raises:
        UserError: If a wish does not fit the config, or images are too few.
    """
    said = [] if wishes.size is None else recipes.set_size(cfg, wishes.size)
    length, batch, processes = wishes.epochs, wishes.batch_size, wishes.processes
    if images is not None:
        limit = GPU_BATCH if torch.cuda.is_available() else CPU_BATCH
        said += fit_to_images(cfg, images, limit, processes, length, batch)
    else:
        said += [] if length is None else recipes.set_epochs(cfg, length)
        said += [] if batch is None else recipes.set_batch(cfg, batch, processes)
    return said if wishes.lr is None else said + recipes.set_lr(cfg, wishes.lr, processes)


def use_folder(
    cfg: Config,
    folder: str,
    wishes: Wishes = Wishes(),
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> Optional[preflight.Survey]:
    """Surveys a folder of images, or shards, and puts it into a config.

    Args:
        cfg (mmengine.Config): A pre-training config; changed in place.
        folder (str): A folder with images in any sub-folders. If there are
            ``train/`` and ``val/`` (or ``test/``), the first is trained on. If
            these have one sub-folder for each class, k-NN is measured besides the
            label-free measures. It may also be a shard, or a folder of shards, see
            :func:`mssl_plugins.datasets.inspection.set_at`.
        wishes (Wishes): What the user asked for. Defaults to nothing.
        resume (bool): Whether to reuse the lists in the work dir. Defaults to False.
        say (Callable): Called with each line for the user. Defaults to ``print``.

    Returns:
        Survey, optional: The survey of the folder; None if the lists were
        reused, and in all processes but the first, which makes it for all.

    Raises:
        UserError: For a folder that cannot be trained on, a recipe that is
            not for such images, or wishes that do not fit.
        ValueError: For a file that is no shard, or compressed shards.
    """
    root = Path(folder).expanduser()
    tests = any((root / name).is_dir() for name in TESTS)
    if tests and (root / 'train').is_dir():
        root = root / 'train'
    spec = set_at(str(root), wishes.channels, wishes.bits)
    lists = Path(cfg.work_dir).absolute() / LISTS
    kept = {name: lists / f'{name}.txt' for name in ('train', 'held_out')}
    surveys: List[preflight.Survey] = []

    def survey_images() -> int:
        if resume and all(path.is_file() for path in kept.values()):
            say(f'images as listed in {lists}')
            with open(kept['train'], errors='surrogateescape') as listed:
                return sum(1 for _ in listed)
        source = source_of(spec)
        survey = preflight.survey(str(root), wishes.min_size, shown=True, source=source)
        if 'shards' in spec:
            say(f'of the shards of {root} those called {spec["shards"]} are taken')
        for line in survey.lines():
            say(line)
        for line in survey.faults():
            say(line)
        _check_recipe(cfg, survey, wishes.size)
        listed = preflight.write_not_used(survey, lists)
        if survey.faulty and not wishes.check:  # which moves it, and says where to
            say(f'all names and reasons: {listed}')
        preflight.check_faults(survey, wishes.max_bad)
        preflight.write_lists(survey, lists)
        (lists / 'channels.json').unlink(missing_ok=True)
        surveys.append(survey)
        count = len(preflight.split(item.path for item in survey.used)['train'])
        starts = cfg.get('load_from') or cfg.model.get('teacher')
        if is_photo_recipe(cfg) and count < FEW and not starts:
            say(f'{count} images are few: published weights are a better start (--from CHECKPOINT)')
        return count

    count = first_does('survey', survey_images)
    for line in apply_wishes(cfg, wishes, count if is_photo_recipe(cfg) else None):
        say(line)
    if wishes.channels is not None:
        train = dict(spec, list_file=str(kept['train']))
        _keep_channels(cfg, train, lists / 'channels.json', say)
    _put_images(cfg, spec, kept, wishes, say)
    return surveys[0] if surveys else None


def _check_recipe(cfg: Config, survey: preflight.Survey, size: Optional[int]) -> None:
    """Refuses a recipe for thumbnails on photos."""
    if is_photo_recipe(cfg) or not survey.used:
        return
    recipe, middle = size or recipes.image_size(cfg), float(np.median(survey.sides()))
    if recipe <= SMALL and middle >= LARGE:
        raise UserError(
            f'--data: a recipe for {recipe} px trains on chips or thumbnails of images of '
            f'{middle:.0f} px; take `train {_photo_recipe(cfg)} --data {survey.folder}`, or set '
            '--size if that is what you want'
        )


def _photo_recipe(cfg: Config) -> str:
    """The photo recipe nearest to a config: of its method, of its base, or one of its kind."""
    known, vit = cfg.get('catalogue') or {}, recipes.patch_of(cfg) > 1
    for name in (known.get('method'), known.get('base')):
        with suppress(ValueError):  # none of this name
            find(f'photos/{name}')
            return f'photos/{name}'
    return 'photos/dino' if vit else 'photos/mocov2'


def _put_images(
    cfg: Config, spec: dict, lists: Dict[str, Path], wishes: Wishes, say: Callable[[str], None]
) -> None:
    """Puts the images, their test transform and what measures them into the config."""
    pipeline = first_part(cfg.train_dataloader.dataset).pipeline
    spec, pipeline = _use_segments(pipeline, spec, Path(cfg.work_dir), wishes, say)

    def images(name: str, pipeline: list, **more) -> dict:
        return dict(
            dict(
                spec,
                list_file=str(lists[name]),
                labels=False,
                max_bad=wishes.max_bad,
                pipeline=pipeline,
            ),
            **more,
        )

    cfg.train_dataloader.dataset = images('train', pipeline)
    size = recipes.image_size(cfg)
    load = [step for step in pipeline if step['type'] == 'mssl_plugins.LoadSegments']
    resize = round(size * 256 / 224) if size >= 128 else size
    center = [
        *load,
        dict(type='mssl_plugins.CenterView', size=size, resize=resize),
        dict(type='mssl_plugins.PackViews'),
    ]
    no_knn = _set_knn(cfg, spec, center, wishes, say)
    if not wishes.validate:
        say('nothing is measured while training (--no-validate)')
        return
    view = dict(next(recipes.each_view(pipeline)), num=1)
    batch = dict(batch_size=32, num_workers=0, collate_fn=dict(type='default_collate'))
    epochs = cfg.train_cfg.get('max_epochs') or 1
    cfg.default_hooks['monitor'] = dict(
        type='mssl_plugins.MonitorHook',
        interval=max(1, round(epochs / 20)),
        not_measured={'k-NN': no_knn} if no_knn else {},
        images=dict(batch, dataset=images('held_out', center)),
        views=dict(
            batch,
            dataset=images(
                'held_out',
                [
                    *load,
                    dict(type='mssl_plugins.Views', views=[view]),
                    dict(type='mssl_plugins.PackViews'),
                ],
            ),
        ),
    )


def _set_knn(
    cfg: Config, spec: dict, center: list, wishes: Wishes, say: Callable[[str], None]
) -> str:
    """Sets up k-NN if sub-folders are classes; otherwise removes its hook and says why."""
    hook, root = knn_hook(cfg), Path(spec['data_root'])
    test = next(
        (
            root.parent / name
            for name in TESTS
            if root.name == 'train' and (root.parent / name).is_dir()
        ),
        None,
    )
    classes = (
        sorted({name.split('/')[0] for name in scan(str(root)) if '/' in name}) if test else []
    )
    if wishes.validate and len(classes) > 1 and any(p.is_dir() for p in test.iterdir()):
        batch = dict(batch_size=64, num_workers=0, collate_fn=dict(type='default_collate'))
        settings = {k: v for k, v in (hook or {}).items() if k not in ('bank', 'test')}
        cfg.default_hooks['knn'] = dict(
            dict(
                type='mssl_plugins.KNNHook',
                k=20,
                interval=max(1, round((cfg.train_cfg.get('max_epochs') or 1) / 10)),
            ),
            **settings,
            **{
                name: dict(
                    batch,
                    dataset=dict(
                        spec,
                        data_root=str(place.absolute()),
                        labels=True,
                        pipeline=center,
                    ),
                )
                for name, place in (('bank', root), ('test', test))
            },
        )
        say(f'k-NN is measured on {len(classes)} classes: {root} and {test}')
        return ''
    cfg.custom_hooks = [h for h in cfg.get('custom_hooks') or [] if h is not hook]
    for key, other in list(cfg.default_hooks.items()):
        if other is hook and hook is not None:
            cfg.default_hooks.pop(key)
    why = 'there are no train/ and val/ with a sub-folder a class'
    if wishes.validate:
        say(f'k-NN is not measured: {why}')
    return why


def _use_segments(
    pipeline: list, spec: dict, work_dir: Path, wishes: Wishes, say: Callable[[str], None]
) -> Tuple[dict, list]:
    """The set and its pipeline, with segments that lie beside the images, are given, or made."""
    loading = [step for step in pipeline if step['type'] == 'mssl_plugins.LoadSegments']
    given = wishes.segments
    if not loading:
        if given:
            raise UserError('--segments: this method takes no segments')
        return spec, pipeline
    if not given and Path(loading[0]['segments']).exists():
        return spec, pipeline  # the config names a store of its own
    sharded = spec['type'] == 'mssl_plugins.ImageShards'
    if sharded and not given and first_does('segments beside', lambda: _segments_beside(spec)):
        say('segments: those that lie beside the images (--segments STORE takes others)')
        kept = [step for step in pipeline if step not in loading]
        return dict(spec, segments=True), kept
    if wishes.channels is not None and not given:
        raise UserError(
            '--channels: segments are made of 8-bit RGB images; make them of such images under '
            'the same names (make_segments), and name them with --segments'
        )
    store = Path(given).expanduser() if given else work_dir / 'segments'

    def make_segments() -> None:
        images = find_images(spec['data_root'])
        few = wishes.check and not store.exists()
        images = images[:CHECKED] if few else images
        where = f'of {len(images)} images, for the check' if few else f'in {store}'
        say(
            f'segments: made by felzenszwalb {where} (--segments STORE takes others, '
            'as of `make_segments`)'
        )
        make(images, str(store), 'felzenszwalb', {}, len(os.sched_getaffinity(0)))

    if not given:
        first_does('segments', make_segments)
    return spec, [
        dict(step, segments=str(store), allow_missing=step.get('allow_missing', not given))
        if step in loading
        else step
        for step in pipeline
    ]


def _segments_beside(spec: dict) -> int:
    """Whether the first image of the shards has segments beside it, as 0 or 1."""
    return int('segments_at' in DATASETS.build(dict(spec, pipeline=[])).get_data_info(0))


def _keep_channels(cfg: Config, spec: dict, kept: Path, say: Callable[[str], None]) -> None:
    """Fits the network to the channels, by the statistics of the training images."""

    def measure_channels() -> None:
        if not kept.is_file():
            found = measure(DATASETS.build(dict(spec, labels=False, pipeline=[])))
            write_atomically(json.dumps(found._asdict()).encode(), kept)

    first_does('channels', measure_channels)
    found = json.loads(kept.read_text())
    for line in set_channels(cfg, spec['channels'], spec['bits'], found['mean'], found['std']):
        say(line)
