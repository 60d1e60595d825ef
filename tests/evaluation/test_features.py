"""Features: in order, of the right tokens, and nothing disturbed."""

import random

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.models import MAEViT, ResNet, VisionTransformer
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from helpers.images import RandomImages
from helpers.processes import in_two_processes
from mssl_plugins.evaluation.backbone import Pixels
from mssl_plugins.evaluation.features import (
    extract_features,
    find_backbone_module,
    frozen,
    make_loader,
    preserved_rng,
)
from mssl_plugins.models.readout import pool_output


class Tuples(RandomImages):
    """The same as plain torch datasets give it."""

    def __getitem__(self, index):
        return self.pixels[index], index % 3


MEAN, STD = 120.0, 60.0


def resnet(**kwargs):
    torch.manual_seed(0)
    return ResNet(18, base_channels=4, stem_channels=4, **kwargs)


def vit(cls=VisionTransformer, **kwargs):
    torch.manual_seed(0)
    arch = dict(embed_dims=12, num_layers=2, num_heads=2, feedforward_channels=12)
    return cls(arch=arch, img_size=32, patch_size=16, **kwargs)


@pytest.fixture
def simclr():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='SimCLR',
            data_preprocessor=dict(type='SelfSupDataPreprocessor', mean=[MEAN] * 3, std=[STD] * 3),
            backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
            neck=dict(
                type='NonLinearNeck',
                in_channels=32,
                hid_channels=8,
                out_channels=8,
                num_layers=2,
                norm_cfg=dict(type='BN1d'),
            ),
            head=dict(type='ContrastiveHead', temperature=0.5, loss=dict(type='CrossEntropyLoss')),
        )
    )
    return model.train()


def expected(backbone, data, mean=0.0, std=1.0):
    """One image at a time."""
    backbone.eval()
    rows = []
    with torch.no_grad():
        for x in data.pixels:
            out = backbone((x[None].float() - mean) / std)
            out = out[-1] if isinstance(out, tuple) else out
            rows.append(out.mean((2, 3)) if out.ndim == 4 else out)
    return torch.cat(rows)


@pytest.mark.parametrize('views', [0, 1, 2])
def test_a_self_supervisor_gives_its_backbone_s_average(simclr, views):
    data = RandomImages(views=views)
    features, labels = extract_features(simclr, dict(dataset=data, batch_size=4))
    assert features.dtype == torch.float32 and features.shape == (11, 32)
    assert labels.tolist() == [i % 3 for i in range(11)]
    torch.testing.assert_close(features, expected(simclr.backbone, data, MEAN, STD))


@pytest.mark.parametrize(
    'data',
    [
        Tuples(),
        DataLoader(Tuples(), 3, shuffle=True, drop_last=True),
        dict(
            dataset=Tuples(),
            batch_size=3,
            drop_last=True,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        dict(dataset=RandomImages(), collate_fn=dict(type='pseudo_collate')),
        dict(dataset=Tuples(), num_workers=2, persistent_workers=True, batch_size=2),
    ],
)
def test_bare_backbones_and_any_loader_give_the_dataset_s_order(data):
    net = resnet()
    features, labels = extract_features(net, data)
    torch.testing.assert_close(features, expected(net, Tuples()))
    assert labels.tolist() == [i % 3 for i in range(11)]


def test_nothing_is_disturbed(simclr):
    simclr.neck.eval()  # a mixture of flags, as frozen stages give
    flags = {name: m.training for name, m in simclr.named_modules()}
    state = {k: v.clone() for k, v in simclr.state_dict().items()}
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    wanted = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    features, _ = extract_features(simclr, RandomImages())
    assert not features.requires_grad
    assert (torch.rand(1), np.random.rand(), random.random()) == wanted
    assert {n: m.training for n, m in simclr.named_modules()} == flags
    assert all(torch.equal(v, state[k]) for k, v in simclr.state_dict().items())
    assert all(p.grad is None for p in simclr.parameters())
    assert torch.is_grad_enabled()


def test_an_error_restores_everything_too():
    net = resnet()
    net.train()  # which returns nothing in mmpretrain
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    with pytest.raises(ZeroDivisionError), preserved_rng(), frozen(net):
        torch.rand(1), 1 / 0
    assert net.training and torch.rand(1) == wanted


def test_tokens_of_a_vit():
    data = RandomImages(5)
    tokens = vit(out_type='raw')
    tokens.eval()
    with torch.no_grad():
        raw = tokens(data.pixels.float())[0]
    assert raw.shape == (5, 5, 12)  # class token and 2 x 2 patches
    for out_type in ('raw', 'cls_token', 'avg_featmap', 'featmap'):
        net = vit(out_type=out_type)
        for pool in ('auto', 'cls', 'avg', 'last'):
            features, _ = extract_features(net, Tuples(5), pool)
            assert net.out_type == out_type
            if pool == 'cls' or pool == 'auto' and out_type in ('raw', 'cls_token'):
                torch.testing.assert_close(features, raw[:, 0])
            elif pool != 'last':
                average = raw[:, 1:].mean(1)
                if out_type == 'avg_featmap':  # mmpretrain normalizes again
                    average = net.ln2(average).detach()
                torch.testing.assert_close(features, average)
        if out_type == 'raw':
            torch.testing.assert_close(features, raw.flatten(1))


def test_mae_s_encoder_does_not_mask():
    net, data = vit(MAEViT), Tuples(5)
    net.init_weights()
    one, _ = extract_features(net, data)
    two, _ = extract_features(net, data)
    assert torch.equal(one, two) and one.shape == (5, 12)
    net.eval()
    with torch.no_grad():
        tokens = net(data.pixels.float(), mask=None)[-1]
    torch.testing.assert_close(one, tokens[:, 0])


def test_timm_s_transformer_gives_its_class_token():
    timm = pytest.importorskip('timm')
    net = timm.create_model(
        'vit_tiny_patch16_224', img_size=32, embed_dim=12, depth=1, num_heads=2, num_classes=3
    ).eval()
    data = Tuples(5)
    features, _ = extract_features(net, data)
    with torch.no_grad():
        tokens = net.forward_features(data.pixels.float())
    torch.testing.assert_close(features, tokens[:, 0])
    average, _ = extract_features(net, data, 'avg')
    torch.testing.assert_close(average, tokens[:, 1:].mean(1))


def test_pooling():
    rng = torch.Generator().manual_seed(0)
    fmap = torch.rand(2, 5, 3, 4, generator=rng)
    tokens = torch.rand(2, 7, 5, generator=rng)
    assert torch.allclose(pool_output((tokens, fmap)), fmap.mean((2, 3)))
    assert pool_output(fmap, 'last').shape == (2, 60)
    assert torch.equal(pool_output([tokens], 'auto', 2), tokens[:, 0])
    assert torch.equal(pool_output(tokens, 'avg', 2), tokens[:, 2:].mean(1))
    assert torch.equal(pool_output(tokens, 'auto'), tokens.mean(1))
    assert pool_output(tokens[:, 0].bfloat16(), 'cls').dtype == torch.float32
    for out in (fmap, tokens):
        with pytest.raises(ValueError, match="use pool='avg'"):
            pool_output(out, 'cls')
    with pytest.raises(ValueError, match="did you mean 'avg'"):
        pool_output(fmap, 'average')


class Momentum(nn.Module):
    """Any model with a second backbone."""

    def __init__(self):
        super().__init__()
        self.backbone = resnet()
        self.teacher = nn.Sequential(resnet(), nn.Linear(2, 2))


def test_the_teacher_is_the_other_backbone():
    model = Momentum()
    assert find_backbone_module(model) is model.backbone
    assert find_backbone_module(model, 'teacher') is model.teacher[0]
    features, _ = extract_features(model, Tuples(), branch='teacher')
    torch.testing.assert_close(features, expected(model.teacher[0], Tuples()))


def test_the_teacher_of_this_library_follows_before_it_is_measured():
    from mssl_plugins.models.momentum import MomentumTeacher

    model = Momentum()
    model.teacher = MomentumTeacher(nn.Sequential(model.backbone), 0.9)
    for p in model.backbone.parameters():
        nn.init.constant_(p, 0.1)  # initialized after the copy was made
    one, _ = extract_features(model, Tuples(), branch='teacher')
    two, _ = extract_features(model, Tuples())
    assert torch.equal(one, two)


def test_bfloat16_is_near():
    net = resnet()
    exact, _ = extract_features(net, Tuples())
    near, _ = extract_features(net, Tuples(), dtype=torch.bfloat16)
    assert near.dtype == torch.float32 and not torch.equal(near, exact)
    torch.testing.assert_close(near, exact, rtol=0.1, atol=0.1)


def test_raw_pixels():
    data = Tuples()
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    )  # ImageNet's
    features, _ = extract_features(Pixels(), data)
    torch.testing.assert_close(features, ((data.pixels - mean) / std).flatten(1))
    large = Tuples(2, 128)
    features, _ = extract_features(Pixels([0.0] * 3, [1.0] * 3, size=64), large)
    blocks = large.pixels.float().view(2, 3, 64, 2, 64, 2).mean((3, 5))
    torch.testing.assert_close(features, blocks.flatten(1))


def test_missing_labels_are_minus_one():
    features, labels = extract_features(Pixels(), RandomImages(4, labeled=False))
    assert labels.tolist() == [-1] * 4


class Stream(IterableDataset):
    """Has no length."""


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match='has no teacher'):
        extract_features(resnet(), Tuples(), branch='teacher')
    with pytest.raises(ValueError, match="did you mean 'teacher'"):
        extract_features(resnet(), Tuples(), branch='techer')
    with pytest.raises(ValueError, match="did you mean 'auto'"):
        extract_features(resnet(), Tuples(), 'autto')
    with pytest.raises(ValueError, match='0 samples are too few'):
        extract_features(resnet(), Tuples(0))
    with pytest.raises(TypeError, match='Stream'):
        make_loader(Stream())
    with pytest.raises(ValueError, match="did you mean 'batch_size'"):
        make_loader(dict(dataset=Tuples(), batchsize=3))


def test_two_processes_share_the_work_and_equal_one(tmp_path):
    seen = []

    class Counted(Tuples):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    def work():
        seen.clear()
        loader = dict(dataset=Counted(), batch_size=2)
        return (*extract_features(resnet(), loader), seen)

    one = work()
    two = in_two_processes(work, tmp_path)
    for features, labels, _ in two:
        torch.testing.assert_close(features, one[0])
        assert torch.equal(labels, one[1])
    # None twice, none left out.
    assert two[0][2] + two[1][2] == list(range(11))


def test_raw_pixels_are_seen_as_a_network_sees_them():
    """Normalized by the config's figures, of the model or beside it."""
    from mmengine.config import Config

    data = Tuples(3)
    own = {'mean': [MEAN] * 3, 'std': [STD] * 3}
    expected_pixels = ((data.pixels.float() - MEAN) / STD).flatten(1)
    for cfg in ({'model': {'data_preprocessor': own}}, {'model': {}, 'data_preprocessor': own}):
        features, _ = extract_features(Pixels.of_config(Config(cfg)), data)
        torch.testing.assert_close(features, expected_pixels)
