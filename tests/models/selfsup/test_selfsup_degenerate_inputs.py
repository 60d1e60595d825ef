"""Every method on images that say nothing, and on wide ones: finite losses, usable gradients."""

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope

from helpers.paths import ROOT
from mssl_plugins.engine.hooks.clip_hook import ClipEachHook
from mssl_plugins.models.layers.unit import unit
from mssl_plugins.registry import MODELS, TRANSFORMS

BATCH = 8
NAMES = [
    'dino/dino_vit-mini',
    'dino/dino-bn_vit-mini',
    'mst/mst_vit-mini',
    'mst/mst-random_vit-mini',
    'ibot/ibot_vit-mini',
    'mae/mae_vit-mini',
    'asl/asl_vit-mini',
    'asl/asl-branches_vit-mini',
    'maskco/maskco_resnet18',
    'mask_guided/mask-guided_dino_vit-mini',
    'mask_guided/mask-guided_mae_vit-mini',
    *(
        f'mixmask/{mix}{base}_resnet18'
        for base in ('moco', 'simclr', 'byol', 'simsiam')
        for mix in ('', 'mixmask_')
    ),
]
IMAGES = dict(
    black=lambda i: np.zeros((32, 32, 3), np.uint8),
    constant=lambda i: np.full((32, 32, 3), (200, 30, 90), np.uint8),
    identical=lambda i: np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8),
)


def views(cfg, image):
    """A batch as the recipe's own transform makes it, segments (one for all) given."""
    pipeline = Compose(
        [
            TRANSFORMS.build(step)
            for step in cfg.train_dataloader.dataset.pipeline
            if step.type != 'mssl_plugins.LoadSegments'
        ]
    )
    segments = np.zeros((32, 32), np.uint16)
    return default_collate(
        [
            pipeline(dict(img=image(i), segments=segments, sample_idx=i, img_shape=(32, 32)))
            for i in range(BATCH)
        ]
    )


@pytest.fixture(scope='module', params=NAMES)
def recipe(request):
    init_default_scope('mmpretrain')
    paths = ROOT.glob(f'configs/{request.param}_1xb*-coslr-*e_cifar10.py')
    configs = [Config.fromfile(str(path)) for path in paths]
    return min(configs, key=lambda cfg: cfg.train_cfg.max_epochs)  # the one of CPU size


@pytest.mark.parametrize('kind', IMAGES)
def test_losses_and_gradients_are_finite(recipe, kind):
    model = MODELS.build(recipe.model)
    model.init_weights()
    steps(model.train(), views(recipe, IMAGES[kind]))


def test_views_that_are_not_square(recipe):
    """Every method trains on views of twice the width; MaskCo says that it does not."""
    widen(recipe.model)
    transform = recipe.train_dataloader.dataset.pipeline
    for step in transform:
        for group in step.get('views', ()):
            group.update(size=(group['size'], 2 * group['size']), crop='random_resized')
    rng = np.random.default_rng(0)
    noise = lambda i: rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)  # noqa: E731
    if recipe.model.type == 'mssl_plugins.MaskCo':
        with pytest.raises(ValueError, match='MaskCo takes square views, got size='):
            views(recipe, noise)
        return
    model = MODELS.build(recipe.model)
    model.init_weights()
    steps(model.train(), views(recipe, noise))


def widen(node):
    """Networks that are built for a size are built for twice the width."""
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, (dict, list)):
            widen(value)
    if isinstance(node, dict) and isinstance(node.get('img_size'), int):
        node['img_size'] = (node['img_size'], 2 * node['img_size'])
    if isinstance(node, dict) and 'num_patches' in node:
        side = int(node['num_patches'] ** 0.5)
        node['num_patches'] = (side, 2 * side)


@pytest.mark.parametrize('target', ['image', 'masked'])
@pytest.mark.parametrize('kind', IMAGES)
def test_all_patches_masked(target, kind):
    recipe = Config.fromfile(
        str(ROOT / 'configs/mst/mst-random_vit-mini_1xb64-coslr-6e_cifar10.py')
    )
    recipe.model.update(q=1.0, p=1.0, target=target)
    model = MODELS.build(recipe.model)
    model.init_weights()
    losses = steps(model.train(), views(recipe, IMAGES[kind]))
    assert losses['masked'] == 1


def steps(model, data):
    """Two steps, the first without clipping; gradients far beyond the usual are none."""
    for module in model.modules():
        if hasattr(module, 'sync'):
            module.sync()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for clipped in (False, True):
        if clipped:
            optimizer.register_step_pre_hook(ClipEachHook()._clip)
        optimizer.zero_grad()
        loss, log = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients and all(value.isfinite().all() for value in log.values())
        assert all(g.isfinite().all() and g.abs().max() < 1e4 for g in gradients)
        optimizer.step()
        assert all(p.isfinite().all() for p in model.parameters())
    return log


def test_unit_is_normalize_but_for_vectors_without_a_direction():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(5, 7, generator=g, dtype=torch.float64)
    x[1] *= 1e-3
    expected, inputs = [], x.clone().requires_grad_()
    for row in inputs:
        expected.append(row / sum(v * v for v in row).sqrt())
    weight = torch.randn(5, 7, generator=g, dtype=torch.float64)
    (torch.stack(expected) * weight).sum().backward()
    ours = x.clone().requires_grad_()
    (unit(ours) * weight).sum().backward()
    assert torch.allclose(unit(x), torch.stack(expected), atol=0, rtol=1e-12)
    assert torch.allclose(ours.grad, inputs.grad, atol=1e-12, rtol=1e-9)
    for scale in (0.0, 1e-9):
        nothing = (x * scale).requires_grad_()
        (unit(nothing) * weight).sum().backward()
        assert (nothing.grad == 0).all() and unit(nothing).isfinite().all()
