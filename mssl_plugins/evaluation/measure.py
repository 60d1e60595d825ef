"""Runs protocols on a checkpoint and a data folder that a user names."""

import os
from functools import partial
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Union

import torch
from mmengine.dist import is_main_process

from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData
from mssl_plugins.evaluation.dense_data import DenseData
from mssl_plugins.evaluation.dense_features import input_stride
from mssl_plugins.evaluation.dense_runner import DenseEvaluation
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.protocols import PROTOCOLS, choose
from mssl_plugins.evaluation.runner import Evaluation
from mssl_plugins.evaluation.svm_runner import SvmEvaluation
from mssl_plugins.evaluation.video_data import VideoData
from mssl_plugins.evaluation.video_runner import Segmenter, VideoEvaluation
from mssl_plugins.evaluation.voc_data import VocData


class DataOptions(NamedTuple):
    """Which of the images are used, and at which size.

    Attributes:
        size, resize (int, optional): See
            :func:`mssl_plugins.evaluation.data.input_size`.
        classes (str, optional): File with the classes to take; for dense
            protocols, the names of all classes.
        train_images, test_images (int, optional): At most this many images.
        ignore_label (Sequence[int]): Labels of masks to ignore besides 255.
    """

    size: Optional[int] = None
    resize: Optional[int] = None
    classes: Optional[str] = None
    train_images: Optional[int] = None
    test_images: Optional[int] = None
    ignore_label: Sequence[int] = ()


OF_IMAGES = ('resize', 'train_images', 'test_images', 'views', 'lrs', 'epochs')
OF_OTHERS = dict(
    layers='voc07-svm and voc07-low-shot',
    ignore_label='label maps',
    k='k-NN',
    temperature='k-NN',
)


def _refuse(given: dict, names: Sequence[str], kind: str) -> None:
    """Refuses options that only other protocols have."""
    for name in names:
        if given[name]:
            whose = OF_OTHERS.get(name, 'images with one label each')
            raise ValueError(f'--{name.replace("_", "-")} is for {whose}, not for {kind} protocols')


def _counts(sets: dict, data) -> str:
    return (
        f'{len(sets["train"])} training and {len(sets["test"])} test images of '
        f'{data.num_classes} classes'
    )


def measure(
    checkpoint: str,
    folder: str,
    protocols: str,
    work_dir: Union[str, Path],
    branch: Optional[str] = None,
    config: Optional[str] = None,
    given: DataOptions = DataOptions(),
    options: EvaluationOptions = EvaluationOptions(),
    say: Callable[[str], None] = print,
) -> List[dict]:
    """Runs protocols; arguments, result and errors as in :func:`mssl_plugins.api.evaluate`.

    Args:
        checkpoint (str): See there.
        folder (str): The data.
        protocols (str): Names, separated by commas.
        work_dir (str | Path): See there.
        branch (str, optional): See there. Defaults to None.
        config (str, optional): See there. Defaults to None.
        given (DataOptions): Which images, and at which size. Defaults to all.
        options (EvaluationOptions): Settings that differ from the protocols.
        say (Callable): See there. Defaults to ``print``.

    Returns:
        list[dict]: ``protocol, setting, metric, value`` (%), ``seconds``.
    """
    backbone = FrozenBackbone(checkpoint, branch, config, options.seed)
    names = choose(protocols, backbone.family)
    kind = PROTOCOLS[names[0]].kind
    asked = dict(given._asdict(), views=options.views, lrs=options.rates, epochs=options.epochs)
    asked.update(k=options.ks, temperature=options.temperature, layers=options.layers)
    seen = (given.size, given.resize, backbone.native, given.classes)
    run = Evaluation
    if kind == 'dense':  # images with label maps
        _refuse(asked, [n for n in (*OF_IMAGES, 'layers') if n != 'epochs'], kind)
        stride = input_stride(backbone.model.backbone)
        data = DenseData(folder, stride, given.size, given.ignore_label, given.classes)
        about, run = f'{data.resolution}; {_counts(data.files, data)}', DenseEvaluation
    elif kind == 'video':  # videos with masks
        _refuse(asked, (*OF_IMAGES, 'classes', *OF_OTHERS), kind)
        data, run = VideoData(folder), partial(VideoEvaluation, short=given.size)
        about = f'short side {Segmenter(backbone.model, given.size).short} px; {data}'
    elif kind == 'multilabel':
        others = [n for n in (*OF_IMAGES, *OF_OTHERS) if n not in ('resize', 'layers')]
        _refuse(asked, others, kind)
        data, run = VocData(folder, *seen), SvmEvaluation
        about = f'input {data.size} px; {_counts(data.files, data)}'
    else:
        _refuse(asked, ('layers', 'ignore_label'), 'other')
        counts = (given.train_images, given.test_images, options.seed)
        data = EvaluationData(folder, Path(work_dir) / 'lists', *seen, *counts)
        about = f'input {data.size} px; {_counts(data.labels, data)}'
    more = '-bf16' if options.dtype == torch.bfloat16 else ''
    more += f'-seed{options.seed}' if options.seed else ''
    kept = Path(work_dir) / f'{Path(checkpoint).stem}-{backbone.key}-{data.key}{more}'
    backbone.model.to(options.device)
    if is_main_process():
        say(
            f'{os.fspath(checkpoint)}: {backbone.source["branch"]} backbone, '
            f'{backbone.config["type"].split(".")[-1]}, {about}; kept in {kept}'
        )
    return run(backbone, data, kept, options).run(names)
