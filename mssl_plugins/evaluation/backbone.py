"""The backbone that is measured: a checkpoint's, an untrained one, or raw pixels."""

import hashlib
import json
import logging
from typing import Dict, Optional, Sequence

import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mssl_plugins.checkpoints import architecture, naming, reader
from mssl_plugins.checkpoints.images import MEAN, STD
from mssl_plugins.config import read_config, without_pretrained
from mssl_plugins.evaluation.features import frozen
from mssl_plugins.models.readout import read_layers


def initialize(module: nn.Module) -> None:
    """Draws a module's weights, without MMEngine's line on each of them."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        module.init_weights()
    finally:
        logger.setLevel(level)


class FrozenBackbone:
    """The backbone of a checkpoint, built and frozen.

    Args:
        checkpoint (str): See :func:`mssl_plugins.checkpoints.reader.read`; or
            'random' for the untrained backbone of ``config``.
        branch (str, optional): 'student' or 'teacher'. Defaults to None: the
            teacher of DINO, iBOT and MST, else the student.
        config (str, optional): Config of the architecture, for weights that do
            not describe it. Defaults to None: the one in the checkpoint.
        seed (int): Seed of random weights. Defaults to 0.

    Raises:
        FileNotFoundError, ValueError: If there is no such file, no backbone in
            it, or one of another architecture than the config's; the message
            names the keys.
    """

    def __init__(
        self,
        checkpoint: str,
        branch: Optional[str] = None,
        config: Optional[str] = None,
        seed: int = 0,
    ) -> None:
        init_default_scope('mmpretrain')
        if checkpoint == 'random':
            found = self._random(config, seed)
        else:
            found = reader.read(checkpoint, branch, config)
        self.family, self.config = found.family, dict(found.config)
        self.weights, self.source = found.weights, found.source
        self.mean, self.std = found.mean or MEAN, found.std or STD
        self.native = found.size[0] if self.family == 'vit' else None
        self.model = torch.nn.Module()
        self.model.backbone = MODELS.build(dict(self.config))
        self.model.backbone.load_state_dict(self.weights, strict=False)
        self.model.backbone.requires_grad_(False)
        self.model.data_preprocessor = MODELS.build(
            dict(
                type='mssl_plugins.ViewPreprocessor',
                mean=self.mean,
                std=self.std,
                bits=self.source.get('bits', 8),
            )
        )

    @staticmethod
    def _random(config: Optional[str], seed: int) -> reader.Backbone:
        if config is None:
            raise ValueError("'random' needs --config: whose backbone?")
        cfg = read_config(config)
        torch.manual_seed(seed)
        given = dict(without_pretrained(cfg.model.backbone))
        given.pop('init_cfg', None)
        backbone = MODELS.build(dict(given))
        initialize(backbone)
        weights = naming.to_ours(
            {k: v for k, v in backbone.state_dict().items() if not k.startswith('mask_bias.')}
        )
        family = naming.recognize(weights)[0]
        images = image_statistics(cfg)
        return reader.Backbone(
            family,
            weights,
            architecture.describe(family, weights, given),
            images.get('mean'),
            images.get('std'),
            dict(sha256=_digest(weights), branch='student', file='random', method=None),
        )

    @property
    def key(self) -> str:
        """16 digits that identify the backbone and its weights."""
        text = json.dumps(
            [self.source['sha256'], self.source['branch'], self.config, self.mean, self.std],
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def channels(self, size: int) -> int:
        """Number of dimensions of its default features, for inputs of ``size`` px."""
        channels = self.config.get('in_channels', 3)
        with frozen(self.model.backbone):
            device = next(self.model.backbone.parameters()).device
            x = torch.zeros(1, channels, size, size, device=device)
            return read_layers(self.model.backbone, x, ['auto'])['auto'].shape[1]


class Pixels(nn.Module):
    """The raw-pixel baseline: normalized pixels as features.

    They are normalized because cosines between vectors of 0-255, which all
    point in nearly the same direction, tell little; networks see normalized
    pixels too.

    Args:
        mean, std (Sequence[float], optional): For each channel, for values in
            0-255. Default to None: ImageNet's.
        size (int): Images with a longer side are averaged to ``size`` x
            ``size`` px, so that many of them fit into memory. Defaults to 64.
    """

    def __init__(
        self,
        mean: Optional[Sequence[float]] = None,
        std: Optional[Sequence[float]] = None,
        size: int = 64,
    ) -> None:
        super().__init__()
        self.size = size
        self.register_buffer('mean', torch.tensor(mean or MEAN).view(-1, 1, 1))
        self.register_buffer('std', torch.tensor(std or STD).view(-1, 1, 1))

    @classmethod
    def of_config(cls, cfg) -> 'Pixels':
        """With the mean and standard deviation of a config's preprocessor."""
        images = image_statistics(cfg)
        return cls(images.get('mean'), images.get('std'))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in 0-255 -> (B, C * H * W)."""
        x = (x - self.mean) / self.std
        if max(x.shape[2:]) > self.size:
            x = nn.functional.adaptive_avg_pool2d(x, self.size)
        return x.flatten(1)


def image_statistics(cfg) -> dict:
    """The arguments of a config's data preprocessor, the model's own first."""
    return {**(cfg.get('data_preprocessor') or {}), **(cfg.model.get('data_preprocessor') or {})}


def _digest(weights: Dict[str, Tensor]) -> str:
    """A digest of names and values, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].detach().cpu().numpy().tobytes())
    return digest.hexdigest()
