"""Fits a photo recipe to a folder of images: length, batch, queue and teacher.

Every rule here is ours; each says in the log what it chose.
"""

import math
from typing import List, NamedTuple, Optional

from mssl_plugins import recipes
from mssl_plugins.config import each_hook
from mssl_plugins.errors import UserError

TEACHER_MOMENTUM = ('teacher.momentum', 'target_net.momentum', 'encoder_k.momentum')


class Fit(NamedTuple):
    """Settings for a number of images; every rule is ours.

    Attributes:
        epochs (int): See :func:`fitting_epochs`.
        batch (int): Batch of all processes together: at most an eighth of the images,
            so that an epoch has at least eight steps, but never less than 4.
        queue (int): Length of MoCo's queue: at most a quarter of the images, because an
            image in the queue is a negative of itself, but never less than the batch.
    """

    epochs: int
    batch: int
    queue: int


def fitting_epochs(images: int, reference: int = 10_000, epochs: int = 200) -> int:
    """Epochs for a number of images: 200 for 10,000, more for fewer, 20 to 800.

    They shrink with the square root of the number, so that four times the
    images get twice the steps.

    Args:
        images (int): Number of images, 1 or more.
        reference (int): Number of images that get ``epochs``. Defaults to 10,000.
        epochs (int): Epochs for this number. Defaults to 200.

    Returns:
        int: 20 to 800.
    """
    return round(min(max(epochs * math.sqrt(reference / images), 20), 800))


def _power_of_two(value: float) -> int:
    return 1 << max(int(value).bit_length() - 1, 0)


def fit(images: int, limit: int) -> Fit:
    """Length, batch and queue for a number of images.

    Args:
        images (int): At least 8.
        limit (int): Largest batch that the machine takes.

    Returns:
        Fit: Batch and queue are powers of two, or ``limit``.

    Raises:
        UserError: For fewer than 8 images.
    """
    if images < 8:
        raise UserError(
            f'{images} images are too few to learn from: 8 are the least, some '
            'hundred a sensible beginning'
        )
    batch = max(4, min(limit, _power_of_two(images / 8)))
    return Fit(fitting_epochs(images), batch, max(batch, min(65536, _power_of_two(images / 4))))


def fit_to_images(
    cfg,
    images: int,
    limit: int,
    processes: int = 1,
    epochs: Optional[int] = None,
    batch: Optional[int] = None,
) -> List[str]:
    """Fits a photo recipe to a folder and a machine.

    Args:
        cfg (mmengine.Config): A config of ``configs/photos``; changed in place.
        images (int): Number of training images.
        limit (int): Largest batch of all processes together.
        processes (int): Number of processes. Defaults to 1.
        epochs (int, optional): The user's choice. Defaults to None: fitted.
        batch (int, optional): The user's choice, for one process. Defaults to
            None: fitted.

    Returns:
        list[str]: Lines that say what was chosen, and why.

    Raises:
        UserError: For fewer than 8 images, or a choice out of range.
    """
    chosen = fit(images, limit)
    said = recipes.set_epochs(cfg, chosen.epochs if epochs is None else epochs)
    each = max(2, chosen.batch // processes) if batch is None else batch
    said += recipes.set_batch(cfg, each, processes)
    queue, total = cfg.model.get('queue_len'), cfg.train_dataloader['batch_size'] * processes
    if queue is not None:
        cfg.model['queue_len'] = length = max(min(queue, chosen.queue), total)
        if length < 4096:
            cfg.model['momentum'] = min(cfg.model.get('momentum', 0.999), 0.99)
        if length != queue:
            said.append(
                f'queue of {length} keys instead of {queue}: at most a quarter of the '
                f"images; the key encoder's momentum is {cfg.model['momentum']}"
            )
    return said + _fit_momentum(cfg, cfg.train_cfg['max_epochs'] * max(images // total, 1))


def _fit_momentum(cfg, steps: int) -> List[str]:
    """Lowers a teacher's momentum m, so that it remembers a twentieth of a training at most.

    A teacher remembers 1 / (1 - m) steps.  With m = 0.996 these are 250, most of a
    training of 300 steps: its student would learn from the initial weights to the end.
    m does not fall below 0.9.  The rule is ours.
    """
    most, lowered = round(max(1 - 20 / steps, 0.9), 4), {}
    if cfg.model.get('momentum', 0) > most:
        lowered[cfg.model['momentum']] = cfg.model['momentum'] = most
    for hook in each_hook(cfg):
        for part in hook.get('schedules', [hook]):
            moves = part.get('target', '').endswith(TEACHER_MOMENTUM)
            if moves and part['start'] > most:
                lowered[part['start']] = part['start'] = most
    return [
        f"teacher's momentum {most:g} instead of {before:g}: of {steps:,} steps it should remember "
        'a twentieth at most'
        for before in lowered
    ]
