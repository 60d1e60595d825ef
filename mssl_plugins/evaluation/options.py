"""Settings in which an evaluation may differ from the protocols."""

from dataclasses import dataclass, field
from typing import Dict, Optional, Sequence

import torch

_LEAST = dict(epochs=1, views=0, memory=1, finetune_batch=1, processes=1)


@dataclass(frozen=True)
class EvaluationOptions:
    """Settings of an evaluation; the defaults are the protocols' own.

    Args:
        epochs (int, optional): Epochs of probes and fine-tuning; the schedules
            are squeezed or stretched. Defaults to None: the protocols'.
        rates (Sequence[float], optional): Learning rates of the probes.
            Defaults to None: the protocols'.
        views (int): 0: probes see the center view. V > 0: they see V augmented
            views of every training image, one in each epoch, in turn.
            Defaults to 0.
        ks, temperature: k and T of k-NN. Default to the protocol's.
        memory (int): Largest number of patches in the memory of dense
            protocols. Defaults to 102,400, the smallest of Hummingbird's.
        layers (Sequence[str], optional): Kinds of features that the SVMs read,
            see :mod:`mssl_plugins.models.readout`. Defaults to None: all of a
            ViT; of a ResNet the pooled output, conv4 and conv5.
        finetune_batch (int, optional): Batch of fine-tuning; the learning rate
            is scaled with it. Defaults to None: the protocols'.
        processes (int): Number of processes that fine-tune. Defaults to 1.
        lists (dict): The user's lists of images: protocol -> file. Defaults to
            none.
        seed (int): Seed of all draws. Defaults to 0.
        device (str): Where the network runs. Defaults to 'cpu'.
        dtype (torch.dtype): What it computes in. Defaults to float32.
        batch_size (int): Batch in which features are computed. Defaults to 64.
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
    layers: Optional[Sequence[str]] = None
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
