"""Goes on inside an epoch: the batches that were seen are not loaded again."""

import copy
from typing import Callable, Iterator

from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader


class _Rest:
    """A batch sampler's batches after the first ones; as long as all of them."""

    def __init__(self, batches, seen: int) -> None:
        self.batches, self.seen = batches, seen

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator:
        return (batch for i, batch in enumerate(self.batches) if i >= self.seen)

    def __getattr__(self, name: str):
        return getattr(self.batches, name)


def skip_seen(loop: EpochBasedTrainLoop, seen: int) -> Callable[[], None]:
    """Lets the coming epoch begin after its first batches, numbered as if they had come.

    Args:
        loop (EpochBasedTrainLoop): About to ask its loader for batches.
        seen (int): How many of the epoch's were trained on.

    Returns:
        Callable: To be called after the epoch: makes the loop as it was.
    """
    loader: DataLoader = loop.dataloader
    rest = copy.copy(loader)
    # torch lets nobody set it on a loader that is made
    rest.__dict__['batch_sampler'] = _Rest(loader.batch_sampler, seen)
    step = loop.run_iter
    loop.dataloader = rest
    loop.run_iter = lambda idx, data_batch: step(idx + seen, data_batch)

    def undo() -> None:
        loop.dataloader = loader
        del loop.run_iter

    return undo
