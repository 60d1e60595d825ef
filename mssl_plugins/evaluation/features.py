"""Frozen features of a whole dataset, in the dataset's order.

k-NN (MST section 4, MixMask Fig. 1) and probes on frozen features start from
them.  The network is left as it was: no gradients, the same BatchNorm statistics
and train/eval flags; and none of the caller's random numbers is consumed.
"""

import random
import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Iterator, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.registry import DATASETS, FUNCTIONS
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from mssl_plugins.checkpoints.reader import BRANCHES
from mssl_plugins.distributed import gather_rows, rank_slice
from mssl_plugins.errors import unknown
from mssl_plugins.files import ProgressBar
from mssl_plugins.models.readout import (
    POOLS,
    extra_tokens,
    forward_backbone,
    output_type,
    pool_output,
)
from mssl_plugins.models.unwrap import unwrap

# Fields of a data loader's config that are used here; every sample is taken once,
# in order and spread over the processes, whatever sampler the config names.
LOADER_KEYS = ('batch_size', 'num_workers', 'collate_fn', 'pin_memory', 'prefetch_factor')
IGNORED_KEYS = (
    'sampler',
    'batch_sampler',
    'drop_last',
    'persistent_workers',
    'worker_init_fn',
    'shuffle',
    'timeout',
    'num_batch_per_epoch',
)


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Restores torch's, numpy's and random's generators at the end."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, uncompiled and without gradients; each module's flag is restored."""
    flags = [(m, m.training) for m in model.modules()]
    model.eval()
    # Blocks that training compiled (CompileHook) are not compiled again for these sizes.
    compiled = 'torch._dynamo' in sys.modules and hasattr(torch.compiler, 'set_stance')
    try:
        with torch.no_grad():
            with torch.compiler.set_stance('force_eager') if compiled else nullcontext():
                yield
    finally:
        for module, training in flags:
            module.training = training


def find_backbone_module(model: nn.Module, branch: str = 'student') -> nn.Module:
    """The backbone that is measured.

    Args:
        model (nn.Module): A pre-training model or classifier with a
            ``backbone``, or a backbone itself.
        branch (str): 'student', or 'teacher': the model's other module of the
            backbone's class (the EMA copy). Defaults to 'student'.

    Returns:
        nn.Module: The backbone.

    Raises:
        ValueError: If the model has no teacher, or for another branch.
    """
    if branch not in BRANCHES:
        raise unknown(branch, BRANCHES, 'branch')
    model = unwrap(model)
    student = getattr(model, 'backbone', model)
    if branch == 'student':
        return student
    for name, module in model.named_modules():
        if (
            type(module) is type(student)
            and module is not student
            and not name.startswith('backbone.')
        ):
            owner = model
            for part in name.split('.'):
                owner = getattr(owner, part)
                if hasattr(owner, 'sync'):  # a MomentumTeacher
                    owner.sync()
            return module
    raise ValueError(
        f'{type(model).__name__} has no teacher, that is no '
        f"second {type(student).__name__}: use branch='student'"
    )


def make_loader(
    data: Union[Dataset, DataLoader, dict], indices: Optional[Sequence[int]] = None
) -> DataLoader:
    """A loader over given samples, in the given order.

    Args:
        data (Dataset | DataLoader | dict): A dataset; a loader, of which
            dataset, batch size, workers and collate function are taken; or the
            config of a dataset (with ``type``) or of a loader (with
            ``dataset``).
        indices (Sequence[int], optional): Samples. Defaults to None: all.

    Returns:
        DataLoader: Without shuffling, dropping or padding.

    Raises:
        TypeError: If ``data`` is none of these, or has no length.
        ValueError: For an unknown key of a loader's config.
    """
    options = {}
    if isinstance(data, dict):
        options = {k: v for k, v in data.items() if not k.startswith('_')}
        options = options if 'dataset' in options else dict(dataset=options)
        data = options.pop('dataset')
        for key in options:
            if key not in LOADER_KEYS + IGNORED_KEYS:
                raise unknown(key, LOADER_KEYS + IGNORED_KEYS, 'key of a data loader')
        options = {k: v for k, v in options.items() if k in LOADER_KEYS}
        if isinstance(data, dict):
            data = DATASETS.build(data)
    elif isinstance(data, DataLoader):
        options = {k: getattr(data, k) for k in LOADER_KEYS}
        data = data.dataset
    if not (hasattr(data, '__getitem__') and hasattr(data, '__len__')):
        raise TypeError(
            'features need a dataset with a length, a data loader '
            f'over one, or a config, got {type(data).__name__}'
        )
    collate = options.pop('collate_fn', None) or _collate
    if isinstance(collate, dict):
        kwargs = {k: v for k, v in collate.items() if not k.startswith('_')}
        function = FUNCTIONS.get(kwargs.pop('type'))
        collate = partial(function, **kwargs) if kwargs else function
    options.setdefault('batch_size', 64)
    if not options.get('num_workers'):
        options.pop('prefetch_factor', None)
    return DataLoader(
        data,
        sampler=range(len(data)) if indices is None else indices,
        collate_fn=collate,
        # An own generator: a loader otherwise draws from the global one.
        generator=torch.Generator(),
        **options,
    )


def _collate(batch):
    """MMEngine's ``default_collate`` for dicts, torch's for tuples."""
    function = default_collate
    if isinstance(batch[0], dict):
        function = FUNCTIONS.get('default_collate')
    return function(batch)


def _unpack(batch) -> Tuple[dict, Tensor]:
    """A batch as a dict with 'inputs', and its labels (-1 = none)."""
    if not isinstance(batch, dict):
        if isinstance(batch, Tensor):
            batch = [batch]
        labels = batch[1] if len(batch) > 1 else torch.full((len(batch[0]),), -1)
        return dict(inputs=batch[0]), torch.as_tensor(labels).long()
    labels = []
    samples = batch.get('data_samples')
    count = len(_first(batch['inputs']))
    for sample in samples if samples is not None else [None] * count:
        label = getattr(sample, 'gt_label', None)
        label = torch.as_tensor(-1 if label is None else label)
        if label.numel() != 1:
            raise ValueError(f'one label an image is needed, got {label.numel()}: {label.tolist()}')
        labels.append(int(label))
    return batch, torch.tensor(labels)


def _first(inputs):
    """The first of several views."""
    if isinstance(inputs, (list, tuple)) and inputs[0].ndim == 4:
        return inputs[0]
    return inputs


def _prepare(model: nn.Module, batch: dict, device: torch.device) -> Tuple[Tensor, dict]:
    """A batch's images as the backbone takes them, and what it takes besides."""
    preprocess = getattr(model, 'data_preprocessor', None)
    if preprocess is None:
        x = _first(batch['inputs'])
        x = torch.stack(list(x)) if isinstance(x, (list, tuple)) else x
        return x.to(device).float(), {}
    ready, context = preprocess(batch, False), {}
    if hasattr(model, 'backbone_kwargs'):  # segments, where the samples have them
        context = model.backbone_kwargs(ready.get('data_samples'), 0, required=False)
    return _first(ready['inputs']), context


def extract_features(
    model: nn.Module,
    data: Union[Dataset, DataLoader, dict],
    pool: str = 'auto',
    branch: str = 'student',
    device: Optional[Union[str, torch.device]] = None,
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> Tuple[Tensor, Tensor]:
    """Features and labels of every sample, in the dataset's order.

    In a process group each process computes a part of the samples, none twice,
    and all get the whole result.

    Args:
        model (nn.Module): A self-supervisor or classifier (its
            ``data_preprocessor`` is used), or a bare backbone, which gets the
            inputs as float32.
        data (Dataset | DataLoader | dict): See :func:`make_loader`. Samples
            are OpenMMLab's dicts or (image, label) pairs; of several views the
            first is taken.
        pool (str): 'auto', 'cls', 'avg' or 'last', see
            :func:`mssl_plugins.models.readout.pool_output`.
            Defaults to 'auto'.
        branch (str): 'student' or 'teacher'. Defaults to 'student'.
        device (str | torch.device, optional): Where to compute. Defaults to
            None: where the model is.
        dtype (torch.dtype): bfloat16 or float16 run under autocast. Defaults
            to float32.
        progress (bool): Whether to show a bar. Defaults to False.

    Returns:
        tuple[Tensor, Tensor]: (N, D) float32 features and (N,) int64 labels
        (-1 where a sample has none), on the CPU.

    Raises:
        ValueError: For an empty dataset, unknown names, or a model without
            what is asked for.
    """
    if pool not in POOLS:
        raise unknown(pool, POOLS, 'pool')
    model = unwrap(model)
    backbone = find_backbone_module(model, branch)
    if device is None:  # and the model stays there: `to` would take a sharded one apart again
        device = next(model.parameters(), torch.empty(0)).device
    else:
        device = torch.device(device)
        model.to(device)
    loader = make_loader(data)
    total = len(loader.dataset)
    # Every process gets a sample, because all take part in gathering.
    if total < get_world_size():
        raise ValueError(f'{total} samples are too few for {get_world_size()} process(es)')
    mine = rank_slice(total)
    loader = make_loader(loader, mine)
    bar = ProgressBar('features', len(mine), progress and is_main_process())

    features, labels, done = None, torch.empty(len(mine), dtype=torch.long), 0
    with (
        preserved_rng(),
        frozen(model),
        output_type(backbone, pool),
        torch.autocast(device.type, dtype, enabled=dtype != torch.float32),
    ):
        for batch in loader:
            batch, batch_labels = _unpack(batch)
            x, context = _prepare(model, batch, device)
            out = pool_output(
                forward_backbone(backbone, x, **context), pool, extra_tokens(backbone)
            )
            if features is None:
                features = torch.empty(len(mine), out.size(1))
            features[done : done + len(out)] = out.cpu()
            labels[done : done + len(out)] = batch_labels.cpu()
            done += len(out)
            bar.update(len(out))
    return gather_rows(features), gather_rows(labels)
