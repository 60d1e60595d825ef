"""Linear classifiers on features that are in memory, many rates at once.

The papers' linear probes: MST section 5; MixMask Table 2; mask-guided attention
Tables 3 and 4; ASL Table 1; MaskCo A.3.  The backbone is frozen, so its features
are computed only once.  Optimizer, learning rates, schedule, batch and BatchNorm
of a probe are read from its config, which the runner can also train directly, on
freshly augmented images.

Classifiers with different learning rates see the same batches, and BatchNorm
without affine does not depend on the classifier.  So a sweep is one matrix
product of (batch, D) with (D, rates x classes); the gradient of softmax and
cross-entropy, p - onehot(y), is computed directly, without autograd.
"""

import math
from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor
from torch.nn import functional as F

from mssl_plugins.errors import unknown

OPTIMIZERS = ('SGD', 'LARS')
LARS_ETA, LARS_EPS = 0.001, 1e-8  # mmpretrain's
# A batch is at most this part of the training set: with MAE's 16,384 a small
# one would see no more steps than epochs (our choice).
SMALLEST_EPOCH = 16


@dataclass(frozen=True)
class Recipe:
    """What a linear probe does, apart from its features.

    Args:
        epochs (int): Passes over the training set.
        batch_size (int): Batch of all processes together; smaller on a small
            training set, see :meth:`batch_for`.
        lr (float): Learning rate for this batch.
        optimizer (str): 'SGD' or 'LARS' (biases not adapted). Defaults to
            'SGD'.
        momentum, weight_decay, nesterov: The optimizer's. Default to 0.9, 0
            and False.
        milestones (Sequence[int]): Epochs after which the learning rate is
            multiplied by ``gamma``; if empty, it follows a cosine to 0, set at
            each iteration. Defaults to ().
        gamma (float): Defaults to 0.1.
        warmup (int): Epochs of linear warm-up. Defaults to 0.
        warmup_factor (float): First learning rate over ``lr``. Defaults to 1e-4.
        batch_norm (float, optional): Epsilon of BatchNorm without affine
            before the classifier. Defaults to None, no BatchNorm.
        std (float): Standard deviation of the normal initial weights. Defaults
            to 0.01.
    """

    epochs: int
    batch_size: int
    lr: float
    optimizer: str = 'SGD'
    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False
    milestones: Tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: int = 0
    warmup_factor: float = 1e-4
    batch_norm: Optional[float] = None
    std: float = 0.01

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise unknown(self.optimizer, OPTIMIZERS, 'optimizer of a probe')
        if self.epochs < 1 or self.batch_size < 1 or not self.lr > 0:
            raise ValueError(
                'epochs, batch size and learning rate must be '
                f'positive, got {self.epochs}, {self.batch_size} '
                f'and {self.lr}'
            )

    def factor(self, step: int, steps: int) -> float:
        """The learning rate of an iteration divided by ``lr``, as MMEngine's schedulers set it.

        Args:
            step (int): Number of the iteration, from 0 on.
            steps (int): Iterations of an epoch.

        Returns:
            float: In [0, 1].
        """
        warm = self.warmup * steps
        if self.milestones:
            done = sum(step >= m * steps for m in self.milestones)
            scale = self.gamma**done
        else:
            total = self.epochs * steps - warm
            at = min(max(step - warm, 0), total)
            scale = (1 + math.cos(math.pi * at / max(total, 1))) / 2
        if step < warm:
            # MMEngine's LinearLR reaches 1 in its last iteration.
            scale *= self.warmup_factor + (1 - self.warmup_factor) * step / max(warm - 1, 1)
        return scale

    def batch_for(self, images: int) -> int:
        """The batch for a number of images, so that an epoch has at least 16 steps.

        The learning rate is scaled in proportion.
        """
        return max(1, min(self.batch_size, images // SMALLEST_EPOCH))

    def with_epochs(self, epochs: int) -> 'Recipe':
        """The same schedule squeezed into another length."""
        ratio = epochs / self.epochs
        return replace(
            self,
            epochs=epochs,
            warmup=int(self.warmup * ratio),
            milestones=tuple(max(1, round(m * ratio)) for m in self.milestones),
        )


def recipe_of(cfg) -> Recipe:
    """The recipe that a linear probe's config describes.

    Args:
        cfg (mmengine.Config): One under ``configs/_base_/benchmarks/`` or
            ``configs/benchmarks/classification/``.

    Returns:
        Recipe: Its optimizer, schedule, batch and BatchNorm.

    Raises:
        ValueError: If the config has a part that this engine lacks.
    """
    optimizer = dict(cfg.optim_wrapper.optimizer)
    kind = optimizer.pop('type').split('.')[-1]
    found = dict(
        epochs=cfg.train_cfg.max_epochs,
        batch_size=cfg.auto_scale_lr.base_batch_size,
        optimizer=kind,
    )
    for key in ('lr', 'momentum', 'weight_decay', 'nesterov'):
        if key in optimizer:
            found[key] = optimizer.pop(key)
    if optimizer:
        raise ValueError(f'a probe on frozen features has no {optimizer}')
    for schedule in cfg.param_scheduler:
        if schedule.type == 'LinearLR':
            found.update(warmup=schedule.end, warmup_factor=schedule.start_factor)
        elif schedule.type == 'MultiStepLR':
            found.update(milestones=tuple(schedule.milestones), gamma=schedule.gamma)
        elif schedule.type != 'CosineAnnealingLR' or schedule.get('eta_min', 0):
            raise unknown(
                schedule.type,
                ['LinearLR', 'MultiStepLR', 'CosineAnnealingLR'],
                'schedule of a probe',
            )
    neck = cfg.model.get('neck')
    if neck is not None:
        found['batch_norm'] = neck.get('eps', 1e-6)
    elif str(cfg.model.head.type).endswith('MultiLayerHead'):
        found['batch_norm'] = 1e-5  # torch's
    init = cfg.model.head.get('init_cfg') or {}
    found['std'] = init.get('std', cfg.model.head.get('std', 0.01))
    return Recipe(**found)


@dataclass
class LinearProbes:
    """Trained classifiers, one for each learning rate.

    Attributes:
        weight (Tensor): (D, R, C).
        bias (Tensor): (R, C).
        mean, scale (Tensor | None): (D,) of BatchNorm in evaluation mode.
    """

    weight: Tensor
    bias: Tensor
    mean: Optional[Tensor] = None
    scale: Optional[Tensor] = None

    @torch.no_grad()
    def scores(self, features: Tensor) -> Tensor:
        """(N, D) features -> (N, R, C) logits."""
        x = features.to(self.weight.device).float()
        if self.mean is not None:
            x = (x - self.mean) * self.scale
        flat = torch.addmm(self.bias.flatten(), x, self.weight.flatten(1))
        return flat.view(len(x), *self.bias.shape)

    def accuracy(self, features: Tensor, labels: Tensor, chunk: int = 4096) -> List[float]:
        """Fraction of right answers of each classifier."""
        right = torch.zeros(len(self.bias), dtype=torch.long)
        for x, y in zip(features.split(chunk), labels.split(chunk)):
            right += (self.scores(x).argmax(2).cpu() == y[:, None]).sum(0)
        return (right.double() / len(labels)).tolist()


def check_features(features: Tensor, labels: Tensor, what: str) -> None:
    """Refuses features or labels that do not fit, with a message for the user.

    Args:
        features (Tensor): (N, D).
        labels (Tensor): (N,).
        what (str): Their name in the message.

    Raises:
        ValueError: If shapes do not fit, labels are missing, or a feature is
            not finite.
    """
    if features.ndim != 2 or len(features) != len(labels) or not len(labels):
        raise ValueError(
            f'the {what} needs (N, D) features and N labels, got '
            f'{tuple(features.shape)} and {tuple(labels.shape)}'
        )
    missing = int((labels < 0).sum())
    if missing:
        raise ValueError(
            f'{missing} of {len(labels)} images of the {what} '
            'have no label: put them into one sub-folder a class, '
            'or name a list with labels'
        )
    if not all(torch.isfinite(part).all() for part in features.split(4096)):
        raise ValueError(f'features of the {what} hold NaN or infinite values')


@torch.no_grad()
def train_probes(
    features: Sequence[Tensor],
    labels: Tensor,
    num_classes: int,
    recipe: Recipe,
    rates: Optional[Sequence[float]] = None,
    seed: int = 0,
    progress: Optional[Callable[[int], None]] = None,
    device: Union[str, torch.device] = 'cpu',
) -> LinearProbes:
    """Trains one linear classifier for each learning rate.

    Args:
        features (Tensor | Sequence[Tensor]): (N, D); or V of these, of V
            augmented views of the same images, one used in each epoch in turn.
        labels (Tensor): (N,) integers, 0 or more.
        num_classes (int): C.
        recipe (Recipe): The probe's settings.
        rates (Sequence[float], optional): Learning rates for the recipe's
            batch. Defaults to None: only the recipe's.
        seed (int): Seed of initial weights and order. Defaults to 0.
        progress (Callable, optional): Called with the number of epochs done.
            Defaults to None.
        device (str | torch.device): Where to compute; the features may lie
            elsewhere. Defaults to 'cpu'.

    Returns:
        LinearProbes: In the order of ``rates``.

    Raises:
        ValueError: See :func:`check_features`; or if a label does not fit
            ``num_classes``.
        FloatingPointError: If every rate diverges.
    """
    views = [features] if isinstance(features, Tensor) else list(features)
    for view in views:
        check_features(view, labels, 'training set')
    if int(labels.max()) >= num_classes:
        raise ValueError(f'label {int(labels.max())} does not fit {num_classes} classes')
    (n, d), batch = views[0].shape, recipe.batch_for(len(views[0]))
    rates = torch.tensor(rates or [recipe.lr], device=device)
    rates = rates * batch / recipe.batch_size
    r, c = len(rates), num_classes
    generator = torch.Generator().manual_seed(seed)
    weight = torch.empty(d, 1, c).normal_(0, recipe.std, generator=generator)
    weight = weight.to(device).expand(d, r, c).contiguous()
    bias = torch.zeros(r, c, device=device)
    momenta = [torch.zeros_like(weight), torch.zeros_like(bias)]
    mean, var = torch.zeros(d, device=device), torch.ones(d, device=device)
    steps = -(-n // batch)
    scale = rates.view(1, r, 1)
    for epoch in range(recipe.epochs):
        order = torch.randperm(n, generator=generator)
        view = views[epoch % len(views)]
        for i in range(steps):
            index = order[i * batch : (i + 1) * batch]
            if recipe.batch_norm is not None and len(index) < 2 and n > 1:
                continue  # one image has no statistics
            x, y = view[index].to(device).float(), labels[index].to(device)
            if recipe.batch_norm is not None:
                x = F.batch_norm(x, mean, var, training=True, momentum=0.1, eps=recipe.batch_norm)
            grad = torch.addmm(bias.flatten(), x, weight.flatten(1))
            grad = grad.view(len(x), r, c).softmax(2)
            grad[torch.arange(len(x)), :, y] -= 1
            grad = grad.view(len(x), r * c).div_(len(x))
            grads = [(x.t() @ grad).view(d, r, c), grad.sum(0).view(r, c)]
            now = scale * recipe.factor(epoch * steps + i, steps)
            _step(recipe, weight, grads[0], momenta[0], now, adapt=True)
            _step(recipe, bias, grads[1], momenta[1], now[0], adapt=False)
        if progress is not None:
            progress(epoch + 1)
    finite = torch.isfinite(weight).all(2).all(0)
    if not finite.any():
        raise FloatingPointError(
            f'the linear probe diverged at every rate, {rates.tolist()}: give smaller ones'
        )
    probes = LinearProbes(weight, bias)
    if recipe.batch_norm is not None:
        probes.mean, probes.scale = mean, (var + recipe.batch_norm).rsqrt()
    return probes


def _step(
    recipe: Recipe, value: Tensor, grad: Tensor, momentum: Tensor, lr: Tensor, adapt: bool
) -> None:
    """One step of SGD or LARS, in place; each learning rate (dim -2) has its own norms."""
    if recipe.optimizer == 'LARS':
        # The rate goes into the momentum, as in mmpretrain's LARS.
        if adapt:
            dims = (0, 2)
            size = value.square().sum(dims).sqrt()
            slope = grad.square().sum(dims).sqrt()
            ratio = LARS_ETA * size / (slope + recipe.weight_decay * size + LARS_EPS)
            ratio = torch.where((size > 0) & (slope > 0), ratio, 1.0)
            lr = lr * ratio.view(1, -1, 1)
        grad.add_(value, alpha=recipe.weight_decay).mul_(lr)
        momentum.mul_(recipe.momentum).add_(grad)
        value.sub_(grad.add_(momentum, alpha=recipe.momentum) if recipe.nesterov else momentum)
        return
    if recipe.weight_decay:
        grad.add_(value, alpha=recipe.weight_decay)
    momentum.mul_(recipe.momentum).add_(grad)
    if recipe.nesterov:
        grad.add_(momentum, alpha=recipe.momentum)
        value.sub_(grad.mul_(lr))
    else:
        value.addcmul_(momentum, lr.expand_as(value), value=-1)
