"""What the attacks by files share: where one happens, and payloads that leave a trace."""

import os
import pickle
import random
import shutil
from pathlib import Path
from typing import Callable, NamedTuple

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
VIT = dict(type='mssl_plugins.ViT', img_size=32, patch_size=8, arch=ARCH)


class Place(NamedTuple):
    """Where an attack happens.

    Attributes:
        root (Path): Holds all; nothing but ``target`` may change in it.
        target (Path): The command's folder.
        executed (Path): What a payload makes, if it runs.
        canary (Path): A file that payloads and links aim at.
    """

    root: Path
    target: Path
    executed: Path
    canary: Path


class Call:
    """Unpickles to a call."""

    def __init__(self, function: Callable, *args) -> None:
        self.parts = (function, args)

    def __reduce__(self):
        return self.parts


def payload(rng: random.Random, place: Place) -> Call:
    """A call that leaves a trace."""
    import numpy as np
    import torch

    mark, canary = str(place.executed), str(place.canary)
    code = f'open({mark!r}, "w").write("x")'
    return rng.choice(
        [
            Call(os.system, f'touch {mark}'),
            Call(exec, code),
            Call(eval, code),
            Call(open, mark, 'w'),
            Call(os.unlink, canary),
            Call(shutil.rmtree, canary + '.folder'),
            Call(os.mkdir, mark),
            Call(os.rename, canary, mark),
            Call(getattr(Path, 'touch'), Path(mark)),
            Call(torch.save, {}, mark),
            Call(np.save, mark, np.zeros(1)),
            Call(__import__, 'antigravity_of_nobody'),
            Call(getattr, Path, 'unlink'),
            Call(pickle.loads, pickle.dumps(Call(os.system, f'touch {mark}'))),
            Call(torch.load, mark, 'cpu', None),
        ]
    )
