"""Linear probes on frozen features, against plain loops and scikit-learn."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.nn import functional as F

from helpers.evaluation import blobs
from mssl_plugins.evaluation.logistic import logistic_regression
from mssl_plugins.evaluation.probes import LinearProbes, Recipe, recipe_of, train_probes
from mssl_plugins.models.readout import CONVS, kinds_of, pool_map, read_layers


# ------------------------------------------------------------------- engine
def by_hand(x, y, classes, recipe, rate, seed=0, views=None):
    """One classifier, one image at a time in float64, an optimizer of torch
    or mmpretrain; batches as the engine draws them."""
    from mmpretrain.engine.optimizers import LARS

    g = torch.Generator().manual_seed(seed)
    n, d = x.shape
    start = torch.empty(d, 1, classes).normal_(0, recipe.std, generator=g)[:, 0]
    weight = nn.Parameter(start.t().double().clone())
    bias = nn.Parameter(torch.zeros(classes, dtype=torch.float64))
    batch = max(1, min(recipe.batch_size, n // 16))
    lr = rate * batch / recipe.batch_size
    if recipe.optimizer == 'LARS':
        optimizer = LARS(
            [dict(params=[weight]), dict(params=[bias], lars_exclude=True)],
            lr=lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
    else:
        optimizer = torch.optim.SGD(
            [weight, bias],
            lr=lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
        )
    norm = nn.BatchNorm1d(d, affine=False, eps=recipe.batch_norm or 1).double()
    per_epoch = -(-n // batch)
    for epoch in range(recipe.epochs):
        order = torch.randperm(n, generator=g)
        images = views[epoch % len(views)] if views else x
        for i in range(per_epoch):
            index = order[i * batch : (i + 1) * batch]
            rows = images[index].double()
            if recipe.batch_norm is not None:
                norm.train()
                rows = norm(rows)
            loss = 0
            for row, label in zip(rows, y[index]):
                scores = weight @ row + bias
                loss = loss - scores[label] + torch.logsumexp(scores, 0)
            for group in optimizer.param_groups:
                group['lr'] = lr * recipe.factor(epoch * per_epoch + i, per_epoch)
            optimizer.zero_grad()
            (loss / len(index)).backward()
            optimizer.step()
    return weight.detach(), bias.detach(), norm.eval()


@pytest.mark.parametrize(
    'recipe',
    [
        Recipe(3, 8, 0.1),
        Recipe(3, 8, 0.5, weight_decay=0.01, nesterov=True, milestones=(1, 2)),
        Recipe(4, 6, 0.5, momentum=0.0, warmup=1),
        Recipe(3, 9, 1.0, optimizer='LARS', batch_norm=1e-6, warmup=1),
        Recipe(3, 9, 1.0, optimizer='LARS', weight_decay=0.1, milestones=(2,)),
        Recipe(2, 4096, 60.0, batch_norm=1e-5),
    ],
    ids=['sgd', 'nesterov-steps', 'warmup', 'lars-bn', 'lars-decay', 'batch-larger-than-set'],
)
def test_many_rates_at_once_equal_one_at_a_time(recipe):
    x, y = blobs()
    rates = [recipe.lr * f for f in (0.1, 1, 3)]
    probes = train_probes(x, y, 4, recipe, rates)
    test = blobs(seed=1)[0]
    for i, rate in enumerate(rates):
        weight, bias, norm = by_hand(x, y, 4, recipe, rate)
        rows = norm(test.double()) if recipe.batch_norm is not None else test.double()
        expected = rows @ weight.t() + bias
        torch.testing.assert_close(
            probes.scores(test)[:, i].double(), expected, rtol=2e-4, atol=2e-4
        )


def test_views_are_taken_in_turn():
    x, y = blobs()
    views = [x, x + 0.3 * torch.randn_like(x), x.flip(1)]
    recipe = Recipe(4, 8, 0.3)
    probes = train_probes(views, y, 4, recipe)
    weight, bias, _ = by_hand(x, y, 4, recipe, 0.3, views=views)
    torch.testing.assert_close(probes.weight[:, 0].t().double(), weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(probes.bias[0].double(), bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    'recipe',
    [
        Recipe(6, 4, 2.0),
        Recipe(6, 4, 2.0, warmup=2),
        Recipe(6, 4, 2.0, milestones=(2, 4)),
        Recipe(6, 4, 2.0, milestones=(3,), warmup=2),
    ],
)
def test_schedule_is_the_runners(recipe):
    """Against MMEngine's schedulers, iteration by iteration."""
    from mmengine.optim import CosineAnnealingLR, LinearLR, MultiStepLR

    steps = 5
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    schedulers = []
    if recipe.warmup:
        schedulers.append(
            LinearLR(
                optimizer,
                start_factor=recipe.warmup_factor,
                begin=0,
                end=recipe.warmup * steps,
                by_epoch=False,
            )
        )
    if recipe.milestones:
        schedulers.append(
            MultiStepLR(
                optimizer,
                milestones=[m * steps for m in recipe.milestones],
                gamma=recipe.gamma,
                by_epoch=False,
            )
        )
    else:
        schedulers.append(
            CosineAnnealingLR(
                optimizer,
                T_max=(recipe.epochs - recipe.warmup) * steps,
                begin=recipe.warmup * steps,
                end=recipe.epochs * steps,
                by_epoch=False,
            )
        )
    for step in range(recipe.epochs * steps):
        assert optimizer.param_groups[0]['lr'] == pytest.approx(
            recipe.lr * recipe.factor(step, steps), rel=1e-4, abs=1e-9
        ), step
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


def test_half_precision_features_and_seed():
    x, y = blobs()
    recipe = Recipe(3, 8, 0.5)
    one = train_probes(x, y, 4, recipe)
    assert torch.equal(one.weight, train_probes(x, y, 4, recipe).weight)
    assert not torch.equal(one.weight, train_probes(x, y, 4, recipe, seed=1).weight)
    half = train_probes(x.half(), y, 4, recipe)
    torch.testing.assert_close(half.weight, one.weight, rtol=0.02, atol=0.02)
    accuracy = one.accuracy(x, y, chunk=7)[0]
    assert accuracy == pytest.approx((one.scores(x)[:, 0].argmax(1) == y).double().mean().item())


@pytest.mark.parametrize(
    'change, error',
    [
        (dict(optimizer='ADAM'), 'unknown optimizer'),
        (dict(epochs=0), 'must be positive'),
        (dict(lr=0.0), 'must be positive'),
    ],
)
def test_wrong_recipes(change, error):
    with pytest.raises(ValueError, match=error):
        Recipe(**{**dict(epochs=1, batch_size=4, lr=1.0), **change})


def test_wrong_features():
    x, y = blobs()
    recipe = Recipe(1, 8, 0.1)
    with pytest.raises(ValueError, match='3 of 160 images of the training set have no label'):
        train_probes(x, torch.cat([y[:-3], torch.full((3,), -1)]), 4, recipe)
    with pytest.raises(ValueError, match='label 3 does not fit 3 classes'):
        train_probes(x, y, 3, recipe)
    with pytest.raises(ValueError, match='NaN'):
        train_probes(x.clone().fill_(float('nan')), y, 4, recipe)
    with pytest.raises(ValueError, match=r'\(N, D\) features and N labels'):
        train_probes(x, y[:-1], 4, recipe)
    with pytest.raises(FloatingPointError, match='diverged'):
        train_probes(x * 1e20, y, 4, Recipe(5, 8, 1e30))


def test_config_with_another_schedule_is_refused():
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=2),
            auto_scale_lr=dict(base_batch_size=4),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
            model=dict(head=dict(type='x')),
            param_scheduler=[dict(type='PolyLR')],
        )
    )
    with pytest.raises(ValueError, match='PolyLR'):
        recipe_of(cfg)
    cfg.param_scheduler = []
    cfg.optim_wrapper.optimizer.betas = (0.9, 0.9)
    with pytest.raises(ValueError, match='betas'):
        recipe_of(cfg)


# ------------------------------------------------------------- scikit-learn
def sklearn_accuracy(x, y, test, test_y):
    from sklearn.linear_model import LogisticRegression

    mean, std = x.double().mean(0), x.double().std(0, unbiased=False)
    std[std < 1e-8] = 1
    model = LogisticRegression(max_iter=2000, tol=1e-5)
    model.fit(((x - mean) / std).numpy(), y.numpy())
    return model, model.score(((test - mean) / std).numpy(), test_y.numpy())


def cifar_features(real_data, split, step):
    """Every n-th image through a fixed random layer: 4 x 4 x 24 = 384 dimensions."""
    from mssl_plugins.datasets import PackedImages

    images = PackedImages(str(real_data(f'cifar10_{split}.npz')), cache=False, pipeline=[])
    index = range(0, len(images), step)
    samples = [images[i] for i in index]
    x = torch.stack([torch.from_numpy(s['img']) for s in samples]).permute(0, 3, 1, 2) / 255.0
    filters = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    filters -= filters.mean((1, 2, 3), keepdim=True)
    maps = F.conv2d(x, filters)
    maps = torch.cat([maps.relu(), (-maps).relu()], 1)
    return F.adaptive_avg_pool2d(maps, 4).flatten(1), torch.tensor([s['gt_label'] for s in samples])


def test_linear_probe_equals_logistic_regression_on_cifar10(real_data):
    """Issue's bound: 0.5 points; 2,500 images to learn from, 2,000 to test."""
    x, y = cifar_features(real_data, 'train', 20)
    test, test_y = cifar_features(real_data, 'test', 5)
    assert x.shape[1] == 384
    _, expected = sklearn_accuracy(x, y, test, test_y)
    ours = logistic_regression(x, y, 10).accuracy(test, test_y)[0]
    assert abs(ours - expected) <= 0.005
    recipe = Recipe(30, 256, 0.1, batch_norm=1e-5)  # standardized, as the other's
    swept = train_probes(x, y, 10, recipe, [0.01, 0.03, 0.1]).accuracy(test, test_y)
    assert max(swept) >= expected - 0.005
    assert expected > 0.3  # ten classes: the features say something


# ----------------------------------------------------------------- features
def test_pooling_of_maskco_a3():
    """The printed kernels give about 9,000 dimensions of a ResNet-50 at 224 px."""
    widths = dict(
        conv1=(64, 112), conv2=(256, 56), conv3=(512, 28), conv4=(1024, 14), conv5=(2048, 7)
    )
    kernels = dict(
        conv1=(10, 10, 4), conv2=(16, 8, 0), conv3=(13, 5, 0), conv4=(8, 3, 0), conv5=(6, 1, 0)
    )
    sizes = []
    for name, (channels, side) in widths.items():
        x = torch.randn(1, channels, side, side)
        found = pool_map(x, name)
        assert torch.equal(found, nn.AvgPool2d(*kernels[name])(x).flatten(1))
        sizes.append(found.shape[1])
    assert sizes == [9216, 9216, 8192, 9216, 8192]
    assert pool_map(torch.randn(2, 8, 16, 16), 'conv2').shape == (2, 8 * 36)
    assert pool_map(torch.randn(2, 8, 2, 2), 'conv4').shape == (2, 8 * 4)


def tiny_vit(**kwargs):
    init_default_scope('mmpretrain')
    vit = MODELS.build(
        dict(
            type='mssl_plugins.ViT',
            img_size=16,
            patch_size=4,
            arch=dict(embed_dims=8, num_layers=5, num_heads=2, feedforward_channels=16),
            **kwargs,
        )
    )
    vit.init_weights()
    return vit


@pytest.mark.parametrize('out_type', ['cls_token', 'raw', 'featmap'])
def test_tokens_of_the_last_blocks(out_type):
    vit, x = tiny_vit(out_type=out_type), torch.randn(3, 3, 16, 16)
    assert kinds_of(vit) == ['cls', 'avg', 'blocks4']
    with torch.no_grad():
        patches, grid = vit.patch_embed(x)
        tokens, outs = vit._embed(patches, grid), []
        for layer in vit.layers:
            tokens = layer(tokens)
            outs.append(vit.ln1(tokens))
        found = read_layers(vit.eval() or vit, x, ['cls', 'avg', 'blocks4', 'blocks1', 'auto'])
    torch.testing.assert_close(found['cls'], outs[-1][:, 0])
    torch.testing.assert_close(found['auto'], found['cls'])
    torch.testing.assert_close(found['blocks1'], found['cls'])
    torch.testing.assert_close(found['avg'], outs[-1][:, 1:].mean(1))
    torch.testing.assert_close(found['blocks4'], torch.cat([o[:, 0] for o in outs[-4:]], 1))


def test_stages_of_a_resnet():
    init_default_scope('mmpretrain')
    for config, stem in (
        (dict(type='mmpretrain.ResNet', depth=18), 16),
        (dict(type='mssl_plugins.SmallImageResNet', depth=18), 32),
        (dict(type='mmpretrain.ResNetV1c', depth=18), 16),
        (dict(type='mmpretrain.ResNet_CIFAR', depth=18), 32),
    ):
        net = MODELS.build(dict(config, stem_channels=8, base_channels=8))
        net.eval()
        assert kinds_of(net) == ['avg', *CONVS]
        seen = []
        hooks = [
            getattr(net, f'layer{i}').register_forward_hook(lambda m, a, out: seen.append(out))
            for i in range(1, 5)
        ]
        with torch.no_grad():
            found = read_layers(net, torch.randn(2, 3, 32, 32), ['avg', *CONVS])
        for hook in hooks:
            hook.remove()
        torch.testing.assert_close(found['avg'], seen[-1].mean((2, 3)))
        for name, out in zip(CONVS[1:], seen):
            torch.testing.assert_close(found[name], pool_map(out, name))
        side = min(stem, 12)
        assert found['conv1'].shape == (2, 8 * side * side) and (found['conv1'] >= 0).all()
        assert not net._forward_hooks and not net.layer1._forward_hooks


def test_features_that_a_backbone_lacks():
    init_default_scope('mmpretrain')
    net = MODELS.build(dict(type='mmpretrain.ResNet', depth=18))
    x = torch.randn(1, 3, 16, 16)
    with pytest.raises(ValueError, match="'blocks4' needs a ViT with a class token, got a ResNet"):
        read_layers(net, x, ['blocks4'])
    with pytest.raises(ValueError, match='conv3 need a ResNet, got a ViT'):
        read_layers(tiny_vit(), x, ['conv3'])
    with pytest.raises(ValueError, match='5 blocks'):
        read_layers(tiny_vit(), x, ['blocks9'])
    with pytest.raises(ValueError, match="did you mean 'blocks4'"):
        read_layers(tiny_vit(), x, ['block4'])
    plain = tiny_vit(with_cls_token=False, out_type='raw')
    assert kinds_of(plain) == ['avg']


# ------------------------------------------------------------------- frozen
def classifier(features, backbone, head, neck=None):
    init_default_scope('mmpretrain')
    return MODELS.build(
        dict(
            type='mssl_plugins.ProbeClassifier',
            features=features,
            backbone=backbone,
            head=head,
            neck=neck,
            data_preprocessor=dict(mean=[0.0] * 3, std=[1.0] * 3),
        )
    )


RESNET = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)
LINEAR = dict(
    type='mmpretrain.LinearClsHead',
    num_classes=3,
    in_channels=64,
    loss=dict(type='mmpretrain.CrossEntropyLoss'),
)


@pytest.mark.parametrize(
    'features, head, neck',
    [
        ('avg', LINEAR, None),
        ('auto', LINEAR, dict(type='mmpretrain.ClsBatchNormNeck', input_features=64)),
        (
            list(CONVS),
            dict(
                type='mssl_plugins.MultiLayerHead',
                num_classes=3,
                in_channels=[8 * 144, 8 * 36, 16 * 16, 32 * 4, 64],
            ),
            None,
        ),
    ],
)
def test_frozen_means_frozen(features, head, neck):
    from mmpretrain.structures import DataSample

    model = classifier(features, RESNET, head, neck)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    assert not any(m.training for m in model.backbone.modules()) and model.head.training
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1)
    x = torch.randn(6, 3, 32, 32)
    samples = [DataSample().set_gt_label(i % 3) for i in range(6)]
    for _ in range(3):
        losses = model.loss(x, samples)
        optimizer.zero_grad()
        sum(v for k, v in losses.items() if k.startswith('loss')).backward()
        optimizer.step()
    for key, value in model.state_dict().items():
        if key.startswith('backbone.'):  # parameters and BatchNorm statistics
            assert torch.equal(value, before[key]), key
    assert not torch.equal(
        list(model.head.parameters())[0],
        before['head.' + next(iter(dict(model.head.named_parameters())))],
    )


def test_accuracy_of_every_layer():
    from mmengine.registry import METRICS
    from mmpretrain.structures import DataSample

    dims = [8 * 144, 8 * 36, 16 * 16, 32 * 4, 64]
    model = classifier(
        list(CONVS),
        RESNET,
        dict(type='mssl_plugins.MultiLayerHead', num_classes=3, in_channels=dims),
    )
    model.eval()
    x = torch.randn(5, 3, 32, 32)
    labels = [0, 1, 2, 0, 1]
    samples = model.predict(x, [DataSample().set_gt_label(i) for i in labels])
    metric = METRICS.build(dict(type='mssl_plugins.LayerAccuracy'))
    metric.process(None, [s.to_dict() for s in samples])
    found = metric.evaluate(5)
    feats = model.extract_feat(x)
    for name, scores in zip(CONVS, model.head(feats)):
        right = [int(s.argmax()) == label for s, label in zip(scores, labels)]
        assert found[f'accuracy/{name}'] == pytest.approx(100 * sum(right) / 5)
    with pytest.raises(ValueError, match='conv2 has 7 dimensions, in_channels says 288'):
        model.head([feats[0], feats[1][:, :7], *feats[2:]])
    with pytest.raises(ValueError, match='5 layers .* need as many in_channels'):
        MODELS.build(dict(type='mssl_plugins.MultiLayerHead', num_classes=3, in_channels=[8]))


def test_probe_of_standing_features_is_a_plain_matrix():
    probe = LinearProbes(
        torch.eye(3)[:, None], torch.zeros(1, 3), torch.ones(3), torch.full((3,), 2.0)
    )
    assert torch.equal(probe.scores(torch.ones(1, 3) * 2)[0, 0], torch.full((3,), 2.0))
