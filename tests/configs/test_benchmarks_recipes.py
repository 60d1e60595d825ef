"""Every number of the papers' protocol tables against the shipped configs."""

from pathlib import Path

import pytest

from helpers.configs import resolved
from mssl_plugins import catalogue
from mssl_plugins.evaluation.probes import recipe_of
from mssl_plugins.evaluation.protocols import OTHER_DATA, PROTOCOLS

FOLDER = Path(__file__).parents[2] / 'configs/benchmarks/classification'
NAMES = sorted(p.stem for p in FOLDER.glob('*.py'))


def load(name):
    return resolved(FOLDER / f'{name}.py')


def transforms(cfg):
    return {t.type.split('.')[-1]: t for t in cfg.train_dataloader.dataset.pipeline}


def cosine(cfg, epochs, warmup):
    """Cosine to 0 after so many epochs of warm-up, or none."""
    schedules = list(cfg.param_scheduler)
    if warmup:
        first = schedules.pop(0)
        assert first.type == 'LinearLR' and first.end == warmup
    (last,) = schedules
    assert last.type == 'CosineAnnealingLR' and last.get('begin', 0) == warmup
    assert last.T_max == epochs - warmup and last.convert_to_iter_based
    assert cfg.train_cfg.max_epochs == epochs


def steps(cfg, epochs, milestones):
    (only,) = cfg.param_scheduler
    assert only.type == 'MultiStepLR' and only.milestones == milestones
    assert only.gamma == 0.1 and cfg.train_cfg.max_epochs == epochs


def base_lr(cfg):
    """For a batch of 256: lr = base lr x batch / 256."""
    return cfg.optim_wrapper.optimizer.lr * 256 / cfg.auto_scale_lr.base_batch_size


# ------------------------------------------------------------------- linear
def test_mst_section_4_knn():
    cfg = load('vit-s16_knn-mst_in1k')
    hook = cfg.default_hooks.knn
    assert list(hook.k) == [10, 20, 100, 200] and hook.temperature == 0.07
    assert hook.pool == 'cls' and hook.begin == 0 and cfg.train_cfg.max_epochs == 0


def test_mst_section_5_common_probe():
    cfg = load('vit-s16_8xb128-linear-mst-coslr-100e_in1k')
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'SGD' and optimizer.momentum == 0.9
    assert optimizer.weight_decay == 0 and base_lr(cfg) == pytest.approx(0.00024)
    assert cfg.auto_scale_lr.base_batch_size == 1024
    cosine(cfg, 100, 0)
    assert cfg.model.features == 'auto'  # the class token of the last layer
    assert set(transforms(cfg)) == {'RandomResizedCrop', 'RandomFlip', 'PackInputs'}


@pytest.mark.parametrize('data', ['in1k', 'in100'])
def test_mask_guided_table_3_dino_linear(data):
    cfg = load(
        'vit-s16_'
        + dict(
            in1k='8xb32-linear-dino-coslr-100e_in1k', in100='1xb256-linear-dino-coslr-100e_in100'
        )[data]
    )
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'SGD' and optimizer.momentum == 0.9
    assert base_lr(cfg) == pytest.approx(1e-3) and optimizer.weight_decay == 0
    assert cfg.auto_scale_lr.base_batch_size == 256
    cosine(cfg, 100, 0)
    assert cfg.model.features == 'blocks4' and cfg.model.head.in_channels == 4 * 384
    assert set(transforms(cfg)) == {'RandomResizedCrop', 'RandomFlip', 'PackInputs'}


@pytest.mark.parametrize(
    'name, epochs',
    [
        ('vit-b16_8xb2048-linear-mae-coslr-90e_in1k', 90),
        ('vit-b16_8xb2048-linear-mae-coslr-90e_in100', 90),
        ('vit-b16_8xb2048-linear-mae-coslr-200e_in1k', 200),
        ('vit-s4_1xb16384-linear-asl-coslr-90e_cifar10', 90),
        ('vit-s4_1xb16384-linear-asl-coslr-90e_cifar100', 90),
    ],
)
def test_mask_guided_table_4_and_asl_table_1_mae_linear(name, epochs):
    cfg = load(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'mmpretrain.LARS' and optimizer.momentum == 0.9
    assert base_lr(cfg) == pytest.approx(0.1) and optimizer.weight_decay == 0
    assert optimizer.lr == pytest.approx(6.4)  # ASL, section 3.1
    assert cfg.auto_scale_lr.base_batch_size == 16384
    cosine(cfg, epochs, 10)
    assert cfg.model.neck.type == 'mmpretrain.ClsBatchNormNeck' and not cfg.model.neck.affine
    assert cfg.model.neck.input_features == cfg.model.head.in_channels
    # Table 1 crops and does not flip; CIFAR's crop is the padded one
    crop = 'RandomResizedCrop' if '-mae-' in name else 'RandomCrop'
    assert list(transforms(cfg)) == [crop, 'PackInputs']


@pytest.mark.parametrize('name', [n for n in NAMES if '-moco-' in n])
def test_mixmask_table_2_linear(name):
    cfg = load(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', 30, 0.9)
    assert optimizer.weight_decay == 0 and cfg.auto_scale_lr.base_batch_size == 256
    steps(cfg, 100, [60, 80])
    assert cfg.model.features == 'avg'


def test_maskco_a3_multilayer():
    cfg = load('resnet50_8xb32-multilayer-maskco-steplr-90e_in1k')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ('SGD', 0.9, 1e-4)
    assert optimizer.lr == 0.01 and optimizer.nesterov  # 0.1 is printed: see the config
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size * 8 == 32 * 8
    steps(cfg, 90, [30, 60])
    assert cfg.model.features == ['conv1', 'conv2', 'conv3', 'conv4', 'conv5']
    assert cfg.model.head.in_channels == [9216, 9216, 8192, 9216, 8192]
    assert cfg.val_evaluator.type == 'mssl_plugins.LayerAccuracy'
    # the transforms of that configuration, in its order
    named = transforms(cfg)
    assert list(named) == [
        'RandomResizedCrop',
        'RandomFlip',
        'ColorJitter',
        'Lighting',
        'PackInputs',
    ]
    assert named['RandomResizedCrop'].interpolation == 'bilinear'
    jitter, lighting = named['ColorJitter'], named['Lighting']
    assert jitter.type == 'mssl_plugins.ColorJitter' and lighting.type == 'mssl_plugins.Lighting'
    strengths = [jitter[key] for key in ('brightness', 'contrast', 'saturation', 'hue')]
    assert strengths == [0.4, 0.4, 0.4, 0] and jitter.get('p', 1) == 1 and lighting.std == 0.1
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.pipeline[0].interpolation == 'bilinear'


# -------------------------------------------------------------- fine-tuning
def check_finetuning(cfg, batch, lr, decay, drop_path, erasing, mixed):
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'AdamW' and optimizer.weight_decay == 0.05
    assert cfg.auto_scale_lr.base_batch_size == batch and base_lr(cfg) == pytest.approx(lr)
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == decay
    cosine(cfg, 100, 5)
    steps = transforms(cfg)
    rand = steps['RandAugment']
    assert (rand.magnitude_level, rand.magnitude_std, rand.num_policies) == (9, 0.5, 2)
    assert ('RandomErasing' in steps) == bool(erasing)
    if erasing:
        assert steps['RandomErasing'].erase_prob == erasing
    loss = cfg.model.head.loss
    assert loss.type.endswith('LabelSmoothLoss') and loss.label_smooth_val == 0.1
    augments = cfg.model.get('train_cfg', {}).get('augments', [])
    assert [(a.type, a.alpha) for a in augments] == (
        [('Mixup', 0.8), ('CutMix', 1.0)] if mixed else []
    )
    assert cfg.model.backbone.drop_path_rate == drop_path


@pytest.mark.parametrize('data', ['in1k', 'in100'])
def test_mask_guided_table_5_dino(data):
    cfg = load(
        'vit-s16_'
        + dict(
            in1k='4xb64-finetune-100-dino-coslr-100e_in1k',
            in100='1xb256-finetune-100-dino-coslr-100e_in100',
        )[data]
    )
    check_finetuning(cfg, 256, 1e-4, 0.65, 0.1, 0.25, True)
    assert tuple(cfg.optim_wrapper.optimizer.betas) == (0.9, 0.999)


@pytest.mark.parametrize(
    'name, beta',
    [
        (
            'vit-b16_8xb128-finetune-100-mae-coslr-100e_in100',
            0.95,
        ),  # mask-guided attention, Table 6
        ('vit-b16_8xb128-finetune-100-mae-coslr-100e_in1k', 0.999),  # ASL, Table 2
        ('vit-s4_1xb1024-finetune-100-asl-coslr-100e_cifar10', 0.999),
        ('vit-s4_1xb1024-finetune-100-asl-coslr-100e_cifar100', 0.999),
    ],
)
def test_mask_guided_table_6_and_asl_table_2_mae(name, beta):
    cfg = load(name)
    check_finetuning(cfg, 1024, 1e-3, 0.75, 0.1, None, True)
    assert tuple(cfg.optim_wrapper.optimizer.betas) == (0.9, beta)
    assert cfg.model.backbone.out_type == 'avg_featmap'


@pytest.mark.parametrize('backbone', ['vit-s16', 'vit-b16'])
@pytest.mark.parametrize('data', ['in1k', 'in100'])
@pytest.mark.parametrize(
    'labels, lr, drop_path, erasing, mixed',
    [(1, 5e-5, 0, None, False), (10, 2.5e-4, 0.1, 0.25, True)],
)
def test_semi_vit(backbone, data, labels, lr, drop_path, erasing, mixed):
    cfg = load(f'{backbone}_8xb64-finetune-{labels}-semivit-coslr-100e_{data}')
    check_finetuning(cfg, 512, lr, 0.65, drop_path, erasing, mixed)
    assert f'{labels}percent' in cfg.train_dataloader.dataset.list_file
    assert 'list_file' not in cfg.val_dataloader.dataset


@pytest.mark.parametrize(
    'labels, stem, classifier', [('1', 0.002, 0.5), ('10', 0.002, 0.5), ('100', 0.001, 0.05)]
)
def test_mixmask_table_3(labels, stem, classifier):
    cfg = load(f'resnet50_4xb64-finetune-{labels}-mixmask-steplr-20e_in1k')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', stem, 0.9)
    assert optimizer.weight_decay == 0 and cfg.auto_scale_lr.base_batch_size == 256
    multiplier = cfg.optim_wrapper.paramwise_cfg.custom_keys['head.'].lr_mult
    assert stem * multiplier == pytest.approx(classifier)
    steps(cfg, 20, [12, 16])


# ------------------------------------------------------------------ the rest
@pytest.mark.parametrize('name', NAMES)
def test_config_is_whole(name):
    cfg = load(name)
    classes = cfg.model.head.num_classes
    assert cfg.data_preprocessor.num_classes == classes
    assert (
        classes
        == dict(imagenet=1000, imagenet100=100, cifar10=10, cifar100=100, tiny_imagenet=200)[
            cfg.catalogue.data
        ]
    )
    assert (
        cfg.auto_scale_lr.base_batch_size % cfg.train_dataloader.batch_size == 0
        if 'auto_scale_lr' in cfg
        else cfg.train_cfg.max_epochs == 0
    )
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        assert loader.dataset.type == 'mssl_plugins.LabelledImages'
        assert ('classes' in loader.dataset) == name.endswith('_in100')
    assert (cfg.train_dataloader.dataset.split, cfg.val_dataloader.dataset.split) == (
        'train',
        'val',
    )
    if 'linear' in name or 'multilayer' in name:
        assert cfg.model.type == 'mssl_plugins.ProbeClassifier'  # frozen


def test_protocols_name_shipped_configs():
    shipped = {e['name'] for e in catalogue.configs()}
    for protocol in PROTOCOLS.values():
        if protocol.kind in OTHER_DATA:  # no config: the numbers stand in the code
            assert set(protocol.configs.values()) == {None}
            continue
        assert set(protocol.configs.values()) <= shipped
        for name in protocol.configs.values():
            if protocol.kind in ('probe', 'layers'):
                recipe = recipe_of(load(name))
                cfg = load(name)
                assert recipe.lr == cfg.optim_wrapper.optimizer.lr
                assert recipe.epochs == cfg.train_cfg.max_epochs
    lars = recipe_of(load('vit-b16_8xb2048-linear-mae-coslr-90e_in1k'))
    assert lars.optimizer == 'LARS' and lars.warmup == 10 and lars.batch_norm
    maskco = recipe_of(load('resnet50_8xb32-multilayer-maskco-steplr-90e_in1k'))
    assert maskco.nesterov and maskco.milestones == (30, 60) and maskco.batch_norm
    assert recipe_of(load('vit-s16_8xb128-linear-mst-coslr-100e_in1k')).batch_norm is None
