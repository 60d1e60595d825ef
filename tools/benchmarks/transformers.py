"""Training steps of DINO, MST, the segment bias, MAE, ASL and iBOT."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from benchmark import Line
from benchmarks.operations import operations
from mssl_plugins.engine.hooks.clip_hook import ClipEachHook
from mssl_plugins.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
VIEWS = [224] * 2 + [96] * 8
DINO = 'dino/dino_vit-s16_16xb64-coslr-100e_in1k.py'
MST = 'mst/mst_vit-s16_16xb64-coslr-100e_in1k.py'
IBOT = 'ibot/ibot_vit-b16_16xb64-coslr-400e_in1k.py'
MAE = 'mae/mae_vit-b16_8xb512-coslr-800e_in1k.py'
ASL = 'asl/asl_vit-b16_8xb512-coslr-800e_in1k.py'


def config(name: str) -> dict:
    """Model of a config, by its path below ``configs/``."""
    init_default_scope('mmpretrain')
    return Config.fromfile(ROOT / 'configs' / name).model


def images(sizes, batch):
    """Batches of random pixels, one of each size."""
    g = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (batch, 3, s, s), generator=g, dtype=torch.uint8) for s in sizes]


def trained(loss, params, teacher=None, clip=False, fused=False, before=None):
    """One whole training step as a call: ``loss()``, backward, clip, AdamW, teacher.

    ``before`` acts on the optimizer before its step.
    """
    params = [p for p in params if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=1e-5, weight_decay=0.04, fused=fused)
    if before:
        optimizer.register_step_pre_hook(before)

    def call():
        value = loss()
        optimizer.zero_grad()
        value.backward()
        if clip:
            for p in params:
                if p.grad is not None:
                    nn.utils.clip_grad_norm_(p, 3.0)
        optimizer.step()
        if teacher:
            teacher()

    return call


def step(model, views, data_samples=None, amp=False, device='cpu'):
    """Our training step: preprocessor, losses, optimizer and teacher."""
    model.init_weights()
    model.to(device).train()  # views stay in memory, as a loader gives them
    teacher = getattr(model, 'teacher', None)
    batch = len(views[0])

    def loss():
        inputs = views if len(views) > 1 else views[0]
        data = model.data_preprocessor(
            dict(inputs=inputs, data_samples=data_samples or [None] * batch), True
        )
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            losses = model.loss(data['inputs'], data_samples)
        return sum(v for k, v in losses.items() if k.startswith('loss'))

    return trained(
        loss,
        model.parameters(),
        teacher and teacher.update,
        fused=True,  # as our runs do
        before=ClipEachHook(3.0)._clip if teacher else None,
    )


def normalized(views):
    """Float views as the others' loaders give them."""
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    return [(v.float() - mean) / std for v in views]


# ----------------------------------------------------------------- DINO, MST
def lightly_vit(name, **kwargs):
    """A timm ViT in the wrapper of lightly."""
    import timm
    from lightly.models.modules import MaskedVisionTransformerTIMM

    return MaskedVisionTransformerTIMM(timm.create_model(name, dynamic_img_size=True, **kwargs))


def lightly_dino(batch):
    """DINO of lightly's parts: its ViT wrapper, head, loss and momentum update."""
    from lightly.loss import DINOLoss
    from lightly.models.modules import DINOProjectionHead
    from lightly.models.utils import update_momentum

    backbone, head = (
        lightly_vit('vit_small_patch16_224', drop_path_rate=0.1),
        DINOProjectionHead(384),
    )
    teacher, teacher_head = lightly_vit('vit_small_patch16_224'), DINOProjectionHead(384)
    teacher.load_state_dict(backbone.state_dict()), teacher_head.load_state_dict(head.state_dict())
    criterion, views = DINOLoss(), normalized(images(VIEWS, batch))
    for p in [*teacher.parameters(), *teacher_head.parameters()]:
        p.requires_grad_(False)

    def loss():
        with torch.no_grad():
            targets = [teacher_head(teacher(v)) for v in views[:2]]
        return criterion(targets, [head(backbone(v)) for v in views], teacher_temp=0.04)

    def move():
        update_momentum(backbone, teacher, 0.996)
        update_momentum(head, teacher_head, 0.996)

    return trained(loss, [*backbone.parameters(), *head.parameters()], move, clip=True)


def our_dino(batch, name=DINO):
    """A training step of a DINO config."""
    return step(MODELS.build(config(name)), images(VIEWS, batch))


# -------------------------------------------------------- segments as a bias
def biased(negative, batch=8, size=224, segments=32):
    """ViT-S/16 forward and backward with and without segment coverage."""
    from mssl_plugins.models.layers.mask_bias import segment_coverage

    init_default_scope('mmpretrain')
    base = dict(type='mssl_plugins.ViT', arch='deit-small', img_size=size, patch_size=16)
    x = normalized(images([size], batch))[0]
    g = torch.Generator().manual_seed(0)
    maps = (
        torch.randint(0, segments + 1, (batch, 14, 14), generator=g)
        .repeat_interleave(16, 1)
        .repeat_interleave(16, 2)
    )

    def side(coverage, **kwargs):
        net = MODELS.build(dict(base, **kwargs))
        net.train()
        return trained(
            lambda: net.forward_tokens(x, **coverage()).square().mean(), net.parameters()
        )

    return (
        side(
            lambda: dict(coverage=segment_coverage(maps, 16, segments)),
            mask_bias=dict(positive=True, negative=negative),
        ),
        side(dict),
    )


# ------------------------------------------------------------------ MAE, ASL
def our_mae(batch, name=MAE, amp=False):
    """A training step of an MAE config."""
    return step(MODELS.build(config(name)), images([224], batch), amp=amp)


def mmpretrain_mae(batch):
    """A training step of MMPretrain's MAE."""
    init_default_scope('mmpretrain')
    model = MODELS.build(
        dict(
            type='mmpretrain.MAE',
            backbone=dict(type='mmpretrain.MAEViT', arch='b', patch_size=16, mask_ratio=0.75),
            neck=dict(
                type='mmpretrain.MAEPretrainDecoder',
                patch_size=16,
                in_chans=3,
                embed_dim=768,
                decoder_embed_dim=512,
                decoder_depth=8,
                decoder_num_heads=16,
                mlp_ratio=4.0,
            ),
            head=dict(
                type='mmpretrain.MAEPretrainHead',
                norm_pix=True,
                patch_size=16,
                loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
            ),
        )
    )
    model.init_weights()
    model.train()
    x = normalized(images([224], batch))[0]
    return trained(lambda: model.loss(x, [None] * batch)['loss'], model.parameters())


def lightly_ibot(batch):
    """A step of iBOT, lightly's parts: 2 x 224 + 10 x 96 px, blocks masked in global views."""
    from lightly.loss import DINOLoss, IBOTPatchLoss
    from lightly.models.modules import DINOProjectionHead
    from lightly.models.utils import random_block_mask, update_momentum

    dim, prototypes = 768, 8192
    backbone, teacher = (
        lightly_vit('vit_base_patch16_224', drop_path_rate=0.1),
        lightly_vit('vit_base_patch16_224'),
    )
    # class and patch tokens share the head, as in the paper
    head, teacher_head = (DINOProjectionHead(dim, output_dim=prototypes) for _ in range(2))
    teacher.load_state_dict(backbone.state_dict()), teacher_head.load_state_dict(head.state_dict())
    dino, ibot = DINOLoss(output_dim=prototypes), IBOTPatchLoss(output_dim=prototypes)
    views = normalized(images([224] * 2 + [96] * 10, batch))
    for p in [*teacher.parameters(), *teacher_head.parameters()]:
        p.requires_grad_(False)
    whole = torch.cat(views[:2])

    def loss():
        grid = random_block_mask((2 * batch, 14, 14))
        mask = grid.flatten(1)
        with torch.no_grad():
            tokens = teacher.encode(whole)
            classes, patches = teacher_head(tokens[:, 0]), teacher_head(tokens[:, 1:][mask])
        tokens = backbone.encode(whole, mask=torch.cat([mask.new_zeros(2 * batch, 1), mask], 1))
        student = [
            *head(tokens[:, 0]).chunk(2),
            *(head(backbone.encode(v)[:, 0]) for v in views[2:]),
        ]
        return dino(list(classes.chunk(2)), student, teacher_temp=0.04) + ibot(
            patches, head(tokens[:, 1:][mask]), grid
        )

    def move():
        update_momentum(backbone, teacher, 0.996)
        update_momentum(head, teacher_head, 0.996)

    return trained(loss, [*backbone.parameters(), *head.parameters()], move, clip=True)


def our_ibot(batch, amp=False):
    """A training step of iBOT's ViT-B config, its crops and masks."""
    model = MODELS.build(config(IBOT))
    return step(model, images([224] * 2 + [96] * 10, batch), amp=amp)


def by_operations(ours, theirs, share=0.9):
    """Measures a goal: 90 % of what the ratio of the steps' operations gives.

    Args:
        ours (Callable): Takes a number of images, makes our step.
        theirs (Callable): The same of the other step.
        share (float): What is to be reached. Defaults to 0.9.
    """

    def measure():
        torch.manual_seed(0)  # iBOT draws which patches are masked
        return share * operations(theirs(2)) / operations(ours(2))

    return measure


def our_asl(batch, amp=False):
    """A training step of ASL's ViT-B config."""
    return our_mae(batch, ASL, amp)


CROPS = 'ViT-S/16, 2 x 224 + 8 x 96 px, batch 4'
LINES = [
    Line(
        f'DINO step, {CROPS}, float32',
        "lightly's parts assembled, float32",
        1.2,
        lambda: (our_dino(4), lightly_dino(4)),
        rounds=5,
    ),
    Line(
        f'MST step, {CROPS}',
        'our DINO step',
        1.25,
        lambda: (our_dino(4, MST), our_dino(4)),
        at_most=True,
        rounds=5,
    ),
    *(
        Line(
            f'ViT-S/16 step with 32 segments as a bias, {relation}, 224 px, batch 8',
            'the same without',
            1.10,
            lambda negative=negative: biased(negative),
            at_most=True,
            rounds=11,
        )
        for relation, negative in (
            ('positive relation as shipped', False),
            ('both relations', True),
        )
    ),
    Line(
        'MAE step, ViT-B/16, 224 px, batch 8, float32',
        "mmpretrain's step, float32",
        1.0,
        lambda: (our_mae(8), mmpretrain_mae(8)),
        rounds=5,
    ),
    Line(
        'ASL step, ViT-B/16, 224 px, batch 8',
        'our MAE step',
        1.65,
        lambda: (our_asl(8), our_mae(8)),
        at_most=True,
        rounds=9,
    ),
    Line(
        'ASL step, ViT-B/16, 224 px, batch 8',
        "iBOT of lightly's parts, 2 x 224 + 10 x 96 px, batch 8",
        by_operations(our_asl, lightly_ibot),
        lambda: (our_asl(8), lightly_ibot(8)),
        rounds=3,
        memory=True,
    ),
    Line(
        'iBOT step, ViT-B/16, 2 x 224 + 10 x 96 px, batch 8, float32',
        "lightly's parts assembled, float32",
        1.0,
        lambda: (our_ibot(8), lightly_ibot(8)),
        rounds=3,
        memory=True,
    ),
    Line(
        'ASL step, ViT-B/16, 224 px, batch 8',
        'our iBOT step, 2 x 224 + 10 x 96 px, batch 8',
        by_operations(our_asl, our_ibot),
        lambda: (our_asl(8), our_ibot(8)),
        rounds=3,
        memory=True,
    ),
    Line(
        'ASL step, ViT-B/16, 224 px, batch 32',
        "iBOT of lightly's parts, 2 x 224 + 10 x 96 px, batch 32",
        by_operations(our_asl, lightly_ibot),
        lambda: (our_asl(32), lightly_ibot(32)),
        rounds=1,
    ),
]
