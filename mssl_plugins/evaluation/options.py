"""What may differ from the protocols' own settings."""

from dataclasses import dataclass, field
from typing import Dict, Optional, Sequence

import torch

_LEAST = dict(epochs=1, views=0, memory=1, finetune_batch=1, processes=1)


@dataclass(frozen=True)
class EvaluationOptions:
    """Settings of an evaluation; the defaults are the protocols' own.

    Args:
        epochs (int, optional): Instead of the protocols', schedules squeezed.
        rates (Sequence[float], optional): Learning rates of the probes,
            instead of the protocols'.
        views (int): 0: probes see the center view; else so many augmented
            views of every training image, one an epoch, in turn. Defaults to
            0.
        ks, temperature: Of k-NN, instead of the protocol's.
        memory (int): Patches that dense protocols look into at most. Defaults
            to 102,400, the least of Hummingbird's.
        finetune_batch (int, optional): Batch of fine-tuning, the rate scaled
            with it.
        processes (int): That fine-tune side by side. Defaults to 1.
        lists (dict): The user's lists of images: protocol -> file. Defaults to
            none.
        seed (int): Defaults to 0.
        device (str): Where the network runs. Defaults to 'cpu'.
        dtype (torch.dtype): What it computes in. Defaults to float32.
        batch_size (int): Of the features. Defaults to 64.
        num_workers (int): Processes that read images. Defaults to 0.

    Raises:
        ValueError: For numbers below 1, or ``views`` below 0.
    """

    epochs: Optional[int] = None
    rates: Optional[Sequence[float]] = None
    views: int = 0
    ks: Optional[Sequence[int]] = None
    temperature: Optional[float] = None
    memory: int = 102400
    finetune_batch: Optional[int] = None
    processes: int = 1
    lists: Dict[str, str] = field(default_factory=dict)
    seed: int = 0
    device: str = 'cpu'
    dtype: torch.dtype = torch.float32
    batch_size: int = 64
    num_workers: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f'{name.replace("_", " ")} must be {least} or more, got {value}')
