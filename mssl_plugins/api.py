"""The Python API: what the commands do, as functions of ``import mssl_plugins as mp``.

A mistake raises what the command would say in one line: :class:`UserError`,
``ValueError`` or ``FileNotFoundError``.  What takes seconds to import is
imported by the function that needs it: :func:`list_models` needs nothing.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Sequence, Union

from mssl_plugins.catalogue import match
from mssl_plugins.errors import UserError, plainly, require

if TYPE_CHECKING:
    import numpy as np
    from mmengine.config import Config
    from PIL import Image
    from torch import Tensor, nn
    from torch.utils.data import DataLoader, Dataset

PathLike = Union[str, os.PathLike]
NEEDED = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')


class Features(NamedTuple):
    """Features of a set of images.

    Attributes:
        features (Tensor): (N, D) float32, on the CPU.
        labels (Tensor): (N,) int64; -1 where an image has none.
        paths (List[str]): Files of the images; '' for one in memory.
    """

    features: 'Tensor'
    labels: 'Tensor'
    paths: List[str]


class Trained(NamedTuple):
    """What a training run leaves.

    Attributes:
        work_dir (Path): Logs, checkpoints, measurements.
        checkpoint (Path, optional): The last one; None if none was saved.
        report (Path, optional): ``report.html``, where it could be written.
    """

    work_dir: Path
    checkpoint: Optional[Path]
    report: Optional[Path]


def list_models(pattern: Optional[str] = None) -> List[str]:
    """Names of the shipped configs, each a network with the recipe that trains it.

    Args:
        pattern (str, optional): A shell pattern with ``*`` and ``?``, or a
            part of the names. Defaults to None: all.

    Returns:
        List[str]: In the order of ``python -m mssl_plugins list``.

    Raises:
        ValueError: If no name matches; the message lists the nearest ones.

    Example:
        >>> list_models('mst_vit-s16*100e*')
        ['mst_vit-s16_16xb64-coslr-100e_in1k']
    """
    return [entry['name'] for entry in match(pattern)]


@plainly
def get_config(name: PathLike) -> 'Config':
    """A config by name or path.

    Args:
        name (str | os.PathLike): Path, name as of :func:`list_models`, or
            ``photos/METHOD``.

    Returns:
        mmengine.Config: A copy to change at will; MMEngine's default scope is
        set to the config's.

    Raises:
        UserError: If OpenMMLab is not installed; says how to.
        ValueError: If there is no such config, or it has no model.
    """
    require(*NEEDED)
    from mssl_plugins.config import read_config

    return read_config(os.fspath(name))


@plainly
def get_model(
    name: Optional[PathLike] = None,
    checkpoint: Optional[PathLike] = None,
    branch: Optional[str] = None,
    seed: int = 0,
) -> 'nn.Module':
    """A network with its preprocessor, ready for :func:`extract_features`.

    Args:
        name (str | os.PathLike, optional): A config by name or path: its
            whole model is built. Defaults to None: the backbone that
            ``checkpoint`` describes by itself.
        checkpoint (str | os.PathLike, optional): Weights for the backbone, of
            this library, MMPretrain, timm, DINO, MAE, MoCo or torchvision;
            read without running code. Defaults to None: random weights.
        branch (str, optional): 'student' or 'teacher' of the checkpoint.
            Defaults to None: the teacher of DINO, iBOT and MST, else the student.
        seed (int): Seed of random weights. Defaults to 0.

    Returns:
        nn.Module: With ``backbone`` and ``data_preprocessor``, on the CPU.

    Raises:
        UserError: If OpenMMLab is not installed, or neither name nor
            checkpoint is given.
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If there is no such config or branch, or the checkpoint
            is of another architecture; lists the keys.
    """
    require(*NEEDED)
    from mssl_plugins.evaluation.backbone import FrozenBackbone
    from mssl_plugins.evaluation.inputs import build_model

    if name is None:
        if checkpoint is None:
            raise UserError('get_model: give the name of a config, a checkpoint, or both')
        return FrozenBackbone(os.fspath(checkpoint), branch).model
    weights = 'random' if checkpoint is None else os.fspath(checkpoint)
    return build_model(get_config(name), weights, branch, seed)[0]


@plainly
def extract_features(
    model: 'nn.Module',
    images: 'PathLike | Sequence[PathLike | Image.Image | np.ndarray] | Dataset | DataLoader'
    ' | dict',
    pool: str = 'auto',
    branch: str = 'student',
    size: Optional[int] = None,
    resize: Optional[int] = None,
    batch_size: Optional[int] = None,
    workers: Optional[int] = None,
    device: Optional[str] = None,
    bf16: bool = False,
    progress: bool = False,
    max_bad: float = 0.01,
) -> Features:
    """Frozen features of images.

    Args:
        model (nn.Module): From :func:`get_model`, or any with a ``backbone``.
        images: A folder (its sub-folders, if any, are the labels) or shards; a
            list of files, Pillow images and arrays (H, W, 3) uint8 RGB, or of
            files and arrays with the channels that the model was trained on;
            or a dataset, a loader, or the config of one, which keep their own
            transform.
        pool (str): 'auto' (class token where there is one, else the average),
            'cls', 'avg' or 'last'. Defaults to 'auto'.
        branch (str): Which backbone of a model that has two. Defaults to
            'student', the one that :func:`get_model` puts weights into.
        size (int, optional): Side of the input in px. Defaults to None: the
            size a ViT was made for; else 224, or the images' own size if they
            are smaller than 128 px.
        resize (int, optional): Short side before the center is cut. Defaults
            to None: 256 for 224, and in proportion.
        batch_size (int, optional): Images in a batch. Defaults to None: 64, or
            the loader's.
        workers (int, optional): Processes that read images. Defaults to None:
            none, or the loader's.
        device (str, optional): Where to compute, such as 'cuda'. Defaults to
            None: where the model is.
        bf16 (bool): Whether to run the network in bfloat16. Defaults to False.
        progress (bool): Whether to show a bar. Defaults to False.
        max_bad (float): Largest fraction of a folder's files that may be
            unreadable; these are left out. Defaults to 0.01.

    Returns:
        Features: ``features, labels, paths``, in the images' order.

    Raises:
        UserError: If OpenMMLab is not installed.
        FileNotFoundError: If there is no such folder.
        ValueError: If there is no image, for unknown names, or with ``size`` or
            ``resize`` for a dataset.
        TypeError: If an item is not an image.
        mssl_plugins.datasets.base.UnreadableImages: If more images than
            ``max_bad`` cannot be read.
    """
    require(*NEEDED)
    import torch

    from mssl_plugins.evaluation import inputs
    from mssl_plugins.evaluation.features import extract_features as extract

    if isinstance(images, (str, os.PathLike)) or (
        isinstance(images, Sequence) and not hasattr(images, 'sampler')
    ):
        images = inputs.image_set(images, model, size, resize, max_bad)
    elif size or resize:
        raise ValueError('size and resize are for folders and lists: a dataset has its transform')
    loader = inputs.build_data({'': images}, batch_size, workers)['']
    dtype = torch.bfloat16 if bf16 else torch.float32
    features, labels = extract(model, loader, pool, branch, device, dtype, progress)
    info = getattr(loader.dataset, 'get_data_info', lambda index: {})
    paths = [info(i).get('img_path') or '' for i in range(len(loader.dataset))]
    kept = inputs.readable(loader.dataset)
    return Features(features[kept], labels[kept], [paths[i] for i in kept.tolist()])


@plainly
def evaluate(
    checkpoint: PathLike,
    data: PathLike,
    protocols: Union[str, Sequence[str]] = 'knn,linear',
    work_dir: PathLike = 'work_dirs/evaluate',
    branch: Optional[str] = None,
    config: Optional[PathLike] = None,
    size: Optional[int] = None,
    resize: Optional[int] = None,
    classes: Optional[PathLike] = None,
    train_images: Optional[int] = None,
    test_images: Optional[int] = None,
    ignore_labels: Sequence[int] = (),
    say: Callable[[str], None] = print,
    **options,
) -> List[dict]:
    """Measures a backbone by the papers' protocols and keeps the results.

    Args:
        checkpoint (str | os.PathLike): A file; 'random' for the untrained
            backbone of ``config``.
        data (str | os.PathLike): Labeled images, see
            ``python -m mssl_plugins evaluate --help``.
        protocols (str | Sequence[str]): Names, or 'frozen', 'finetune',
            'all', 'dense'. Defaults to 'knn,linear'.
        work_dir (str | os.PathLike): Where features, runs and results are
            kept. Defaults to 'work_dirs/evaluate'.
        branch (str, optional): See :func:`get_model`. Defaults to None.
        config (str | os.PathLike, optional): Config of the architecture, for
            weights that do not describe it. Defaults to None: the one in the
            checkpoint.
        size (int, optional): See :func:`extract_features`; for dense
            protocols the short side. Defaults to None.
        resize (int, optional): See :func:`extract_features`. Defaults to None.
        classes (str | os.PathLike, optional): File with the classes to take;
            for dense protocols, the names of all classes. Defaults to None:
            the data's.
        train_images (int, optional): At most this many training images, spread
            evenly over the classes. Defaults to None: all.
        test_images (int, optional): The same for test images. Defaults to
            None: all.
        ignore_labels (Sequence[int]): For dense protocols: labels to ignore
            besides 255. Defaults to none.
        say (Callable): Called with a line that says what is measured.
            Defaults to ``print``.
        **options: Fields of
            :class:`mssl_plugins.evaluation.options.EvaluationOptions`.

    Returns:
        List[dict]: ``protocol, setting, metric, value`` (%), ``seconds``.

    Raises:
        UserError: If OpenMMLab is not installed.
        FileNotFoundError: If there is no such file or data.
        ValueError: For unknown names, or options that do not fit.
    """
    require(*NEEDED)
    from mssl_plugins.evaluation.measure import DataOptions, measure
    from mssl_plugins.evaluation.options import EvaluationOptions

    config, classes = (value and os.fspath(value) for value in (config, classes))
    return measure(
        os.fspath(checkpoint),
        os.fspath(data),
        protocols if isinstance(protocols, str) else ','.join(protocols),
        work_dir,
        branch,
        config,
        DataOptions(size, resize, classes, train_images, test_images, ignore_labels),
        EvaluationOptions(**options),
        say,
    )


@plainly
def train(
    config: PathLike,
    data: Optional[PathLike] = None,
    work_dir: Optional[PathLike] = None,
    epochs: Optional[int] = None,
    batch_size: Optional[int] = None,
    lr: Optional[float] = None,
    size: Optional[int] = None,
    segments: Optional[PathLike] = None,
    load_from: Optional[PathLike] = None,
    resume: Union[bool, PathLike] = False,
    overwrite: bool = False,
    amp: bool = False,
    compile: bool = False,
    validate: bool = True,
    seed: Optional[int] = None,
    options: Optional[dict] = None,
    max_bad: float = 0.01,
    min_size: int = 0,
    channels: Optional[int] = None,
    bits: int = 8,
    allow_missing: bool = False,
    verbose: bool = False,
    hooks: Sequence = (),
) -> Trained:
    """Pre-trains in this process; for several processes use the command line.

    Its length is that of its list of arguments, which are options of the command.

    Args:
        config (str | os.PathLike): A config by name or path, or ``photos/METHOD``.
        data (str | os.PathLike, optional): A folder of images, or shards, to
            train on. Defaults to None: the config's own.
        work_dir (str | os.PathLike, optional): Defaults to None: the config's
            own, or ``work_dirs/NAME``.
        epochs (int, optional): Length of the training; every schedule is
            stretched or squeezed with it. Defaults to None: the config's.
        batch_size (int, optional): Images a step; the learning rate is scaled
            with it. Defaults to None: the config's.
        lr (float, optional): Learning rate for that batch. Defaults to None:
            the config's, scaled.
        size (int, optional): Side of the largest views in px. Defaults to
            None: the config's.
        segments (str | os.PathLike, optional): A segment store, for
            mask-guided methods. Defaults to None: the config's, or segments
            made before training.
        load_from (str | os.PathLike, optional): Weights to start from.
            Defaults to None: the config's, or random weights.
        resume (bool | str | os.PathLike): True: go on from the last checkpoint
            in the work dir; a path: from this one. Defaults to False.
        overwrite (bool): Delete the run in the work dir once this one has
            made a step. Defaults to False.
        amp (bool): Train in bfloat16. Defaults to False.
        compile (bool): Compile the networks' blocks with torch.compile.
            Defaults to False.
        validate (bool): Measure while training. Defaults to True.
        seed (int, optional): Seed of the run. Defaults to None, the config's.
        options (dict, optional): Config fields to override, by dotted keys.
            Defaults to None.
        max_bad (float): Largest fraction of files that may be unusable.
            Defaults to 0.01.
        min_size (int): Images with a shorter side, in px, are left out.
            Defaults to 0.
        channels (int, optional): Number of channels of the images of ``data``, which
            are kept as they are. Defaults to None: images become 8-bit RGB.
        bits (int): Bits of these channels, 8 or 16. Defaults to 8.
        allow_missing (bool): Train although some images have no segments.
            Defaults to False.
        verbose (bool): Show MMEngine's log. Defaults to False.
        hooks (Sequence[mmengine.hooks.Hook]): Additional hooks. Defaults to ().

    Returns:
        Trained: The work dir, with the last checkpoint and the report in it.

    Raises:
        UserError: If OpenMMLab is not installed, the config describes no
            training, the work dir already holds a run, or the arguments
            contradict each other.
        FileNotFoundError: If the data or the checkpoint does not exist.
        ValueError: If there is no such config or setting.
        mssl_plugins.errors.Stopped: After a signal, once the state is saved.
    """
    require(*NEEDED)
    from mssl_plugins.photos import Wishes
    from mssl_plugins.training import TrainingRun
    from mssl_plugins.work_dir import last_checkpoint

    files = dict(config=config, data=data, work_dir=work_dir, load_from=load_from)
    files = {name: file if file is None else os.fspath(file) for name, file in files.items()}
    segments = segments if segments is None else os.fspath(segments)
    wishes = Wishes(
        *(epochs, batch_size, size, lr, segments, max_bad, min_size),
        validate=validate,
        channels=channels,
        bits=bits,
    )
    going_on = 'auto' if resume is True else os.fspath(resume) if resume else None
    given = dict(amp=amp, compile=compile, validate=validate, seed=seed, options=options)
    given.update(files, resume=going_on, allow_missing=allow_missing)
    run = TrainingRun.prepare(hooks, False, verbose, overwrite, wishes=wishes, **given)
    run.train()
    folder = Path(run.cfg.work_dir).absolute()
    last, report = last_checkpoint(folder), folder / 'report.html'
    return Trained(folder, last and Path(last), report if report.is_file() else None)
