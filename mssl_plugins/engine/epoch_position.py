"""Resumes inside an epoch: the batches that were already trained on are not loaded again."""

import copy
from typing import Callable, Iterator

from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader


class _Rest:
    """A batch sampler without its first batches, but with the length of all of them."""

    def __init__(self, batches, seen: int) -> None:
        self.batches, self.seen = batches, seen

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator:
        return (batch for i, batch in enumerate(self.batches) if i >= self.seen)

    def __getattr__(self, name: str):
        return getattr(self.batches, name)


def skip_seen(loop: EpochBasedTrainLoop, seen: int) -> Callable[[], None]:
    """Lets the next epoch start after its first ``seen`` batches, and numbers batches accordingly.

    Args:
        loop (EpochBasedTrainLoop): The loop, before the epoch.
        seen (int): How many batches of the epoch were trained on.

    Returns:
        Callable: To be called after the epoch; restores the loop.
    """
    loader: DataLoader = loop.dataloader
    rest = copy.copy(loader)
    # torch refuses to set it on a loader that exists.
    rest.__dict__['batch_sampler'] = _Rest(loader.batch_sampler, seen)
    step = loop.run_iter
    loop.dataloader = rest
    loop.run_iter = lambda idx, data_batch: step(idx + seen, data_batch)

    def undo() -> None:
        loop.dataloader = loader
        del loop.run_iter

    return undo
