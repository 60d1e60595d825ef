"""Every number of iBOT's README and defaults against the shipped configs."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from helpers.configs import resolved
from helpers.paths import ROOT
from mssl_plugins.engine.hooks.schedule_hook import Schedule
from mssl_plugins.registry import MODELS

CONFIGS = ROOT / 'configs/ibot'
LARGE = dict(
    s=('ibot_vit-s16_16xb64-coslr-800e_in1k', 800, 'deit-small', 384, False),
    b=('ibot_vit-b16_16xb64-coslr-400e_in1k', 400, 'base', 768, True),
)
# rate at batch 256, last rate, where crops part, epochs of warm-up, of a frozen layer, clipping
NUMBERS = dict(s=(5e-4, 1e-6, 0.25, 30, 1, 3.0), b=(7.5e-4, 2e-6, 0.32, 50, 3, 0.3))


@pytest.mark.parametrize('size', LARGE)
def test_the_readmes_command(size):
    """Batch 1024, 2 x 224 and 10 x 96 px, 8,192 prototypes, ratios {0, 0.3 +- 0.2}."""
    name, epochs, arch, width, fixed = LARGE[size]
    lr, last, part, warmth, frozen, clip = NUMBERS[size]
    cfg = resolved(CONFIGS / f'{name}.py')
    model = cfg.model
    assert model.type == 'mssl_plugins.IBOT' and cfg.train_cfg.max_epochs == epochs
    assert (model.backbone.arch, model.backbone.patch_size) == (arch, 16)
    assert model.backbone.mask_token and model.backbone.drop_path_rate == 0.1
    head = model.head
    assert (head.in_channels, head.out_channels, head.hidden_channels) == (width, 8192, 2048)
    assert (head.bottleneck_channels, head.num_layers, head.use_bn) == (256, 3, False)
    assert head.norm_last_layer is fixed
    assert (model.ratios, model.spread) == ([0.0, 0.3], [0.0, 0.2])
    assert (model.strategy, model.lambda1, model.lambda2) == ('block', 1, 1)
    for criterion in (model.criterion, model.patch_criterion):
        assert (criterion.student_temp, criterion.teacher_temp) == (0.1, 0.04)
        assert criterion.center_momentum == 0.9
    assert cfg.train_dataloader.batch_size == 64 and cfg.auto_scale_lr.base_batch_size == 1024
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.lr == pytest.approx(lr * 1024 / 256) and optimizer.weight_decay == 0.04
    warm, cosine = cfg.param_scheduler
    assert warm.end == cosine.begin == 10 and cosine.end == epochs and cosine.eta_min == last
    views = cfg.train_dataloader.dataset.pipeline[0].views
    assert [(v.get('num', 1), v.size, tuple(v.scale)) for v in views] == [
        (1, 224, (part, 1)),
        (1, 224, (part, 1)),
        (10, 96, (0.05, part)),
    ]
    assert [v.blur.p for v in views] == [1, 0.1, 0.5] and views[1].solarize.p == 0.2
    moving = {
        s.target: s
        for hook in cfg.default_hooks.values()
        if hook.type == 'mssl_plugins.ScheduleHook'
        for s in hook.schedules
    }
    assert (moving['teacher.momentum'].start, moving['teacher.momentum'].end) == (0.996, 1)
    assert moving['optimizer.weight_decay'].end == 0.4
    for target in ('criterion.teacher_temp', 'patch_criterion.teacher_temp'):
        temp = Schedule(**moving[target])
        values = [temp.value(10 * e + 7, 10, 10 * epochs) for e in range(epochs)]
        wanted = np.concatenate([np.linspace(0.04, 0.07, warmth), np.full(epochs - warmth, 0.07)])
        assert values == pytest.approx(wanted)
    hooks = cfg.default_hooks
    assert (hooks.last_layer.names, hooks.last_layer.length) == ('head.last_layer', frozen)
    assert hooks.clip.max_norm == clip and hooks.teacher.type == 'mssl_plugins.TeacherHook'


@pytest.mark.parametrize('file', sorted(CONFIGS.glob('*.py')), ids=lambda f: f.stem)
def test_a_step_of_every_config(file):
    """Built as shipped but for depth; one step gives finite losses and gradients to all."""
    cfg = resolved(file)
    init_default_scope('mmpretrain')
    spec = cfg.model
    if isinstance(spec.backbone.arch, str):
        spec.backbone.arch = dict(
            embed_dims=spec.head.in_channels,
            num_layers=1,
            num_heads=2,
            feedforward_channels=64,
        )
        spec.backbone.drop_path_rate = 0.0
    torch.manual_seed(0)
    model = MODELS.build(spec)
    model.init_weights()
    size = spec.backbone.img_size
    x = [torch.randn(2, 3, size, size) for _ in range(2)] + [
        torch.randn(2, 3, size // 2, size // 2)
    ]
    torch.manual_seed(1)
    losses = model.loss([v[..., : v.shape[-1] // 16 * 16, : v.shape[-1] // 16 * 16] for v in x])
    assert float(losses['masked']) > 0
    total = losses['loss_dino'] + losses['loss_patch']
    assert torch.isfinite(total)
    total.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
