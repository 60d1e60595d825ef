"""Every number of MixMask's supplement, Tables 1-3, against the shipped configs."""
from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'


def load(name, folder='mixmask'):
    return Config.fromfile(CONFIGS / folder / f'{name}.py')


SMALL = ('cifar100', 'tiny')
VARIANTS = ('', 'mixmask_', 'mixmask-unmix_')


def small(base):
    for data in SMALL:
        for variant in VARIANTS:
            yield data, variant, load(f'{variant}{base}_resnet18_{data}_1000e')


def check_mixing(variant, cfg):
    mixing = cfg.model.get('mixing')
    assert (mixing is None) == (variant == '')
    if variant == 'mixmask-unmix_':
        assert mixing.mode == 'both' and mixing.unmix_prob == 0.50
    if mixing:
        assert mixing.pattern == 'block' and mixing.ratio == 0.5


def check_common(cfg):
    assert cfg.model.backbone.depth == 18
    assert cfg.train_dataloader.batch_size == 512
    assert cfg.train_cfg.max_epochs == 1000
    assert cfg.default_hooks.knn.k == 200 and cfg.default_hooks.knn.temperature == 0.1
    assert cfg.default_hooks.knn.interval == 1


def view(cfg):
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert [t.type for t in pipeline] == ['mssl_plugins.Views', 'mssl_plugins.PackViews']
    group, = pipeline[0].views
    assert group.num == 2
    return group


def test_table1_moco():
    for data, variant, cfg in small('moco'):
        check_common(cfg), check_mixing(variant, cfg)
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', 0.06, 0.90)
        assert optimizer.weight_decay == 5e-4
        assert cfg.model.feat_dim == cfg.model.neck.out_channels == 128
        assert cfg.model.momentum == 0.99
        assert cfg.model.queue_len == 4096
        assert cfg.model.head.temperature == 0.10
        assert cfg.model.neck.type.endswith('LinearNeck')
        assert cfg.model.backbone.norm_cfg == dict(type='mssl_plugins.SplitBN', num_splits=8)
        schedule, = cfg.param_scheduler
        assert schedule.type == 'CosineAnnealingLR' and schedule.T_max == 1000
        assert view(cfg).grey == 0.2 and 'blur' not in view(cfg)
        assert view(cfg).jitter == dict(brightness=.4, contrast=.4, saturation=.4, hue=.1, p=.8)


@pytest.mark.parametrize('base', ['simclr', 'byol'])
def test_table1_simclr_and_byol(base):
    for data, variant, cfg in small(base):
        check_common(cfg), check_mixing(variant, cfg)
        optimizer = cfg.optim_wrapper.optimizer
        assert optimizer.type == 'Adam' and optimizer.weight_decay == 1e-6
        assert optimizer.lr == dict(cifar100=0.003, tiny=0.002)[data]
        embedding = dict(cifar100=64, tiny=128)[data]
        assert cfg.model.neck.num_layers == 2 and cfg.model.neck.hid_channels == 1024
        assert cfg.model.neck.out_channels == embedding
        schedule, = cfg.param_scheduler
        assert schedule.milestones == [950, 975] and schedule.gamma == 0.2
        assert view(cfg).grey == 0.1
        pooled = cfg.model.backbone.type == 'mssl_plugins.SmallImageResNet'
        assert pooled == (data == 'tiny')
        if base == 'byol':
            assert cfg.model.momentum == 0.99
            moved, = cfg.default_hooks.schedule.schedules
            assert (moved.target, moved.start, moved.end, moved.curve) == (
                'target_net.momentum', 0.99, 1.0, 'cosine')
            assert cfg.model.head.predictor.in_channels == embedding
            assert cfg.model.head.predictor.out_channels == embedding
        else:
            assert cfg.model.head.temperature == 0.5


def test_table1_simsiam():
    for data, variant, cfg in small('simsiam'):
        check_common(cfg), check_mixing(variant, cfg)
        optimizer = cfg.optim_wrapper.optimizer
        assert cfg.base_lr == 0.03  # the table's; for a batch of 256
        assert (optimizer.type, optimizer.momentum) == ('SGD', 0.90)
        assert optimizer.lr == pytest.approx(0.03 * 512 / 256)
        assert optimizer.weight_decay == 5e-4
        assert cfg.model.neck.out_channels == 128 and cfg.model.neck.num_layers == 2
        assert cfg.model.head.predictor.hid_channels == 512
        warm, cosine = cfg.param_scheduler
        assert warm.end == 10 and cosine.begin == 10 and cosine.end == 1000
        assert cfg.default_hooks.predictor_lr.fix_pred_lr
        assert cfg.default_hooks.predictor_lr.lr == optimizer.lr


@pytest.mark.parametrize('name, mode, epochs', [
    ('mocov2_resnet50_in1k_200e', None, 200),
    ('mixmask_mocov2_resnet50_in1k_200e', 'mixmask', 200),
    ('mixmask_mocov2_resnet50_in1k_800e', 'mixmask', 800),
    ('mixmask-unmix_mocov2_resnet50_in1k_200e', 'both', 200),
    ('mixmask-unmix_mocov2_resnet50_in1k_800e', 'both', 800),
    ('unmix_mocov2_resnet50_in1k_200e', 'unmix', 200),
])
def test_table2_pretraining(name, mode, epochs):
    cfg = load(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert cfg.model.backbone.depth == 50
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', 0.03, 0.90)
    assert optimizer.weight_decay == 1e-4  # the table prints 0: see the config
    assert cfg.auto_scale_lr.base_batch_size == 256
    assert cfg.train_dataloader.batch_size * 4 == 256  # on the paper's 4 GPUs
    assert cfg.train_cfg.max_epochs == epochs
    schedule, = cfg.param_scheduler
    assert schedule.type == 'CosineAnnealingLR' and schedule.T_max == epochs
    assert cfg.model.feat_dim == cfg.model.neck.out_channels == 128
    assert cfg.model.momentum == 0.999
    assert cfg.model.queue_len == 65536
    assert cfg.model.head.temperature == 0.2
    mixing = cfg.model.get('mixing')
    assert (mixing and mixing.mode) == mode
    if mode in ('mixmask', 'both'):
        assert mixing.pattern == 'block' and mixing.grid == 8 and mixing.ratio == 0.5
    if mode in ('unmix', 'both'):
        assert mixing.unmix_prob == 0.5
    group = view(cfg)
    assert group.size == 224 and tuple(group.scale) == (0.2, 1.0) and group.grey == 0.2
    assert group.jitter == dict(brightness=.4, contrast=.4, saturation=.4, hue=.1, p=.8)
    assert tuple(group.blur.sigma) == (0.1, 2.0) and group.blur.p == 0.5 and group.flip == 0.5


def test_table2_linear_probe():
    cfg = load('resnet50_linear_in1k_moco', 'benchmarks/classification')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', 30, 0.90)
    assert optimizer.weight_decay == 0
    assert cfg.train_cfg.max_epochs == 100
    schedule, = cfg.param_scheduler
    assert schedule.milestones == [60, 80] and schedule.gamma == 0.1
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size * 4 == 256
    assert cfg.model.backbone.depth == 50
    assert cfg.model.backbone.frozen_stages == 4 and cfg.model.backbone.norm_eval


@pytest.mark.parametrize('labels, stem, classifier', [
    ('1', .002, .5), ('10', .002, .5), ('100', .001, .05)])
def test_table3_finetuning(labels, stem, classifier):
    cfg = load(f'resnet50_finetune-{labels}_in1k_mixmask', 'benchmarks/classification')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', stem, 0.90)
    multiplier = cfg.optim_wrapper.paramwise_cfg.custom_keys['head.'].lr_mult
    assert stem * multiplier == pytest.approx(classifier)
    assert optimizer.weight_decay == 0
    assert cfg.train_cfg.max_epochs == 20
    schedule, = cfg.param_scheduler
    assert schedule.milestones == [12, 16] and schedule.gamma == 0.1
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size * 4 == 256
    assert ('percent' in cfg.train_dataloader.dataset.get('list_file', '')) == (labels != '100')
