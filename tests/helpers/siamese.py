"""Tiny models of the two-view methods and their batches."""

import torch
from torch import nn

from mssl_plugins.registry import MODELS

N, DIM, SIZE, TEMPERATURE = 6, 5, 16, 0.2
LINEAR = dict(
    type='mmpretrain.NonLinearNeck',
    in_channels=12,
    hid_channels=8,
    out_channels=DIM,
    with_last_bn=False,
    norm_cfg=dict(type='BN'),
)


class TinyBackbone(nn.Module):
    """No BatchNorm: an image's feature depends on that image alone."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 5, stride=3)

    def forward(self, x):
        return (torch.tanh(self.conv(x)),)


class TinyNeck(nn.Module):
    """Pool and project, no BatchNorm."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, DIM)

    def forward(self, x):
        return (self.fc(x[0].mean((2, 3))),)


class TinyPredictor(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(DIM, DIM)

    def forward(self, x):
        return (torch.tanh(self.fc(x[0])),)


def contrastive_head():
    return dict(
        type='mmpretrain.ContrastiveHead',
        temperature=TEMPERATURE,
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
    )


def predict_head():
    return dict(
        type='mmpretrain.LatentPredictHead',
        predictor=LINEAR | dict(in_channels=DIM, with_avg_pool=False),
        loss=dict(type='mmpretrain.CosineSimilarityLoss'),
    )


BASES = {
    'MoCo': lambda: dict(head=contrastive_head(), queue_len=16, feat_dim=DIM),
    'SimCLR': lambda: dict(head=contrastive_head()),
    'BYOL': lambda: dict(head=predict_head()),
    'SimSiam': lambda: dict(head=predict_head()),
}


def build(base, mode=None, **mix):
    torch.manual_seed(0)
    mixing = None if mode is None else dict(type='mssl_plugins.MixMask', mode=mode, grid=4, **mix)
    model = MODELS.build(
        dict(
            type=f'mssl_plugins.{base}',
            backbone=TinyBackbone(),
            neck=TinyNeck(),
            mixing=mixing,
            **BASES[base](),
        )
    )
    if hasattr(model.head, 'predictor'):
        model.head.predictor = TinyPredictor()
    for teacher in ('encoder_k', 'target_net'):  # a teacher that differs from the student
        if hasattr(model, teacher):
            getattr(model, teacher).sync()
            for p in getattr(model, teacher).module.parameters():
                p.data += 0.1 * torch.randn_like(p)
            getattr(model, teacher).steps += 1
    return model.double()


def views(n=N, seed=1):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, SIZE, SIZE, generator=g, dtype=torch.float64) for _ in range(2)]
