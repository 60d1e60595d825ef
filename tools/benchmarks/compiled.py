"""Training steps with blocks compiled by torch.compile, beside the same uncompiled."""

from typing import Callable

import torch

from benchmark import Line
from benchmarks import siamese
from benchmarks.transformers import ASL, CROPS, VIEWS, config, images, step
from mssl_plugins.engine.hooks.compile_hook import compile_blocks
from mssl_plugins.registry import MODELS

MIXMASK = dict(type='mssl_plugins.MixMask')
MST = 'mst/mst_vit-s16_16xb64-coslr-100e_in1k.py'
DINO = 'dino/dino_vit-s16_16xb64-coslr-100e_in1k.py'
MAE = 'mae/mae_vit-b16_8xb512-coslr-800e_in1k.py'


def both(build: Callable, run: Callable, amp: bool):
    """The same model's step, compiled and not."""

    def compiled():
        torch._dynamo.reset()  # of an earlier line
        model = build()
        compile_blocks(model)
        return run(model, amp)

    return compiled(), run(build(), amp)


def siamese_model(base: str, **extra) -> Callable:
    """What builds a Siamese base."""
    return lambda: MODELS.build(dict(siamese.config(base), channels_last=True, **extra))


def crops(model, amp):
    """A step on DINO's crops."""
    return step(model, images(VIEWS, 4), amp=amp)


def one_view(model, amp):
    """A step on one view of 8 images."""
    return step(model, images([224], 8), amp=amp)


STEPS = {
    **{
        f'{name} step, {siamese.WHERE}': (siamese_model(base), siamese.step)
        for base, name in siamese.NAMES.items()
    },
    f'MixMask step on MoCo v2, {siamese.WHERE}': (
        siamese_model('moco', mixing=MIXMASK),
        siamese.step,
    ),
    f'DINO step, {CROPS}': (lambda: MODELS.build(config(DINO)), crops),
    f'MST step, {CROPS}': (lambda: MODELS.build(config(MST)), crops),
    'MAE step, ViT-B/16, 224 px, batch 8': (lambda: MODELS.build(config(MAE)), one_view),
    'ASL step, ViT-B/16, 224 px, batch 8': (lambda: MODELS.build(config(ASL)), one_view),
}
LINES = [
    Line(
        f'{what}, compiled, {"bfloat16" if amp else "float32"}',
        'the same uncompiled',
        1.0,
        lambda parts=parts, amp=amp: both(*parts, amp),
        rounds=3,
        bf16=amp,
    )
    for what, parts in STEPS.items()
    for amp in (False, True)
]
