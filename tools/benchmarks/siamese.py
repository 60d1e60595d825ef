"""Training steps of the Siamese bases and of MixMask."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope

from benchmark import Line
from mssl_plugins.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
NAMES = dict(moco='MoCo v2', simclr='SimCLR', byol='BYOL', simsiam='SimSiam')
BATCH, SIZE, QUEUE = 32, 96, 4096


def config(base: str, depth: int = 18, queue: int = QUEUE) -> dict:
    """Model of a step: a ResNet, projectors of the base, at one size for all."""
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(ROOT / f'configs/_base_/siamese/{base}_resnet18.py').model
    cfg.backbone = dict(type='mmpretrain.ResNet', depth=depth)
    width = 512 if depth < 50 else 2048
    cfg.neck.in_channels = width
    if base == 'moco':
        cfg.neck = dict(
            type='mmpretrain.MoCoV2Neck', in_channels=width, hid_channels=width, out_channels=128
        )
        cfg.queue_len = queue
    return cfg


def step(model, amp=False, fused=True, device='cpu', batch=None, size=None, samples=None):
    """A call that makes one whole training step on fixed views; our runs fuse the optimizer."""
    g = torch.Generator().manual_seed(0)
    batch, size = batch or BATCH, size or SIZE
    views = [
        torch.randint(0, 256, (batch, 3, size, size), generator=g, dtype=torch.uint8)
        for _ in range(2)
    ]
    model.to(device)  # views stay in memory, as a loader gives them
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e-3, momentum=0.9, fused=fused
    )
    teachers = [
        m
        for m in (getattr(model, n, None) for n in ('encoder_k', 'target_net'))
        if hasattr(m, 'update')
    ]
    model.train()

    def call():
        data = model.data_preprocessor(
            dict(inputs=views, data_samples=samples or [None] * batch), training=True
        )
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            losses = model.loss(data['inputs'], samples)
        optimizer.zero_grad()
        sum(v for k, v in losses.items() if k.startswith('loss')).backward()
        optimizer.step()
        for teacher in teachers:
            teacher.update()

    return call


def theirs_config(base: str) -> dict:
    """MMPretrain's model for one of our configs."""
    cfg = copy.deepcopy(config(base))
    cfg.type = 'mmpretrain.' + cfg.type.split('.')[1]
    cfg.data_preprocessor = dict(
        type='mmpretrain.SelfSupDataPreprocessor',
        mean=cfg.data_preprocessor.mean,
        std=cfg.data_preprocessor.std,
    )
    if base == 'moco':
        cfg.momentum = 0.001
    if base == 'byol':
        cfg.base_momentum = 0.01
        cfg.pop('momentum')
    return cfg


def against_mmpretrain(base: str):
    """A training step of ours and of MMPretrain's."""
    MessageHub.get_current_instance().update_info('max_iters', 10**6)
    cfg = dict(config(base), channels_last=True)
    return step(MODELS.build(cfg)), step(MODELS.build(theirs_config(base)), fused=False)


def mixmask_cost():
    """MixMask's step beside the base's step and one more query pass."""
    mixed = MODELS.build(
        dict(config('moco'), channels_last=True, mixing=dict(type='mssl_plugins.MixMask'))
    )
    base = MODELS.build(dict(config('moco'), channels_last=True))

    class OneMore(type(base)):
        """The base, with a further batch through the query encoder and the loss."""

        def loss(self, inputs, data_samples=None):
            a, b = self.embed_pair(*inputs)
            losses = dict(
                loss=self.pair_loss(a, b), loss_more=self.pair_loss(self.embed(inputs[0]), b)
            )
            self.update_queue(b)
            return losses

    base.__class__ = OneMore
    return step(mixed), step(base)


WHERE = f'ResNet-18, {SIZE} px, batch {BATCH}'
LINES = [
    Line(
        f'MixMask step on MoCo v2, {WHERE}',
        'MoCo v2 step and one more query pass',
        1.03,
        mixmask_cost,
        at_most=True,
        rounds=9,
    ),
    *[
        Line(
            f'{NAMES[b]} step, {WHERE}, float32',
            "mmpretrain's step, float32",
            1.0,
            lambda b=b: against_mmpretrain(b),
            rounds=9,
        )
        for b in NAMES
    ],
]
