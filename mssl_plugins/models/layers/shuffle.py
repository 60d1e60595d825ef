"""Shuffled BatchNorm, for every key encoder (MoCo, arXiv 1911.05722, section 3.3)."""

from typing import Callable, Sequence

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from mmpretrain.models.utils import batch_shuffle_ddp, batch_unshuffle_ddp
from torch import Tensor


@torch.no_grad()
def shuffled(net: Callable[..., Tensor], tensors: Sequence[Tensor], split_bn: bool) -> Tensor:
    """``net(*tensors)``, computed in a random order of the rows.

    A key and its query are then normalized with different images, so that
    batch statistics do not give the pair away.  Rows move over processes, or
    over the parts of ``mssl_plugins.SplitBN`` in one process.

    Args:
        net (Callable): Takes the tensors, returns (N, ...).
        tensors (Sequence[Tensor]): (N, ...) each, in the same order.
        split_bn (bool): Whether ``net`` has ``SplitBN``; without it, nothing is
            shuffled in a single process.

    Returns:
        Tensor: (N, ...), in the order of ``tensors``.
    """
    if get_world_size() > 1:
        first, undo = batch_shuffle_ddp(tensors[0])
        mine = undo.argsort().view(get_world_size(), -1)[get_rank()]
        others = [torch.cat(all_gather(t.contiguous()))[mine.to(t.device)] for t in tensors[1:]]
        return batch_unshuffle_ddp(net(first, *others), undo)
    if not split_bn:
        return net(*tensors)
    order = torch.randperm(len(tensors[0])).to(tensors[0].device)
    return net(*(t[order] for t in tensors))[order.argsort()]
