"""Every pre-training number of ASL's supplement against the shipped configs."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS as ROOT_DATASETS

from helpers.configs import resolved
from mssl_plugins.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
LARGE = [
    'vit-b16_8xb512-coslr-800e_coco',
    'vit-b16_8xb512-coslr-800e_in100-coco',
    'vit-b16_8xb512-coslr-4000e_in100-coco',
    'vit-b16_8xb512-coslr-800e_in1k',
    'vit-b16_8xb512-coslr-1600e_in1k',
    'vit-b16_8xb512-coslr-800e_openimages',
    'vit-l16_8xb512-coslr-800e_in100-coco',
]
SMALL = ['vit-s4_1xb512-coslr-1600e_cifar10', 'vit-s4_1xb512-coslr-1600e_cifar100']
ASL = sorted(CONFIGS.glob('asl/*.py'))
MAE = sorted(CONFIGS.glob('mae/*.py'))


def load(method, name, variant=''):
    return resolved(CONFIGS / method / f'{method}{variant}_{name}.py')


def schedule(cfg, warmup, epochs):
    warm, cosine = cfg.param_scheduler
    assert warm.type == 'LinearLR' and (warm.begin, warm.end) == (0, warmup)
    assert cosine.type == 'CosineAnnealingLR'
    assert (cosine.begin, cosine.end, cosine.T_max) == (warmup, epochs, epochs - warmup)
    assert warm.by_epoch and cosine.by_epoch
    assert cfg.train_cfg.max_epochs == epochs == cfg.catalogue.epochs


def view(cfg):
    dataset = cfg.train_dataloader.dataset
    for part in dataset.get('datasets', [dataset]):
        views, pack = part.pipeline
        assert (views.type, pack.type) == ('mssl_plugins.Views', 'mssl_plugins.PackViews')
        (group,) = views.views
        assert group.num == 1
    return group


def mae_views(group):
    assert (group.size, group.scale, group.interpolation, group.flip) == (
        224,
        (0.2, 1),
        'bicubic',
        0.5,
    )
    return set(group) - {'num', 'size', 'scale', 'interpolation', 'flip'}


def optimizer(cfg, lr, betas):
    assert cfg.optim_wrapper.type == 'mssl_plugins.BF16OptimWrapper'
    o = cfg.optim_wrapper.optimizer
    assert (o.type, o.weight_decay, o.betas) == ('AdamW', 0.05, betas)
    assert o.lr == pytest.approx(lr, rel=1e-12)


def networks(method, cfg, dim, arch, decoder, patch, tokens):
    model = cfg.model
    assert model.type == f'mssl_plugins.{"ASL" if method == "asl" else "MAE"}'
    assert model.mask_ratio == 0.75 and model.norm_pix
    assert (model.backbone.patch_size, model.neck.num_patches) == (patch, tokens)
    with torch.device('meta'):
        built = MODELS.build(dict(model))
    a = built.backbone.arch_settings
    assert (a['num_layers'], a['embed_dims'], a['num_heads']) == arch
    assert built.grid == (tokens**0.5, tokens**0.5) == built.neck.grid
    neck = model.neck
    assert (neck.decoder_depth, neck.decoder_embed_dim, neck.decoder_num_heads) == decoder
    assert neck.embed_dim == dim
    if method == 'asl':  # the layer T: width, heads, dropout
        layer = built.layer
        assert (layer.embed_dims, layer.attn.num_heads) == (dim, 4)
        rates = {m.p for m in layer.modules() if isinstance(m, torch.nn.Dropout)}
        assert rates == {0.5} and layer.attn.attn_drop == 0  # not on attention weights: ours


@pytest.mark.parametrize('method', ['mae', 'asl'])
@pytest.mark.parametrize('name', LARGE)
def test_large_scale(method, name):
    """Section 2.1, Tables 3 and 4, section 8."""
    cfg = load(method, name)
    base, settings, _ = name.split('_')
    schedule(cfg, 40, int(settings.split('-')[-1][:-1]))
    optimizer(cfg, 1.5e-4 * 4096 / 256, (0.9, 0.95))
    assert cfg.base_lr == 1.5e-4
    assert cfg.auto_scale_lr.base_batch_size == 4096 == 8 * cfg.train_dataloader.batch_size
    assert mae_views(view(cfg)) == set()
    assert cfg.model.backbone.img_size == 224
    if base == 'vit-b16':
        networks(method, cfg, 768, (12, 768, 12), (8, 512, 16), 16, 14 * 14)
    else:
        networks(method, cfg, 1024, (24, 1024, 16), (8, 512, 16), 16, 14 * 14)
    if method == 'asl':
        assert cfg.model.get('weight', 1.0) == 1.0


@pytest.mark.parametrize('method', ['mae', 'asl'])
@pytest.mark.parametrize('name', SMALL)
def test_small_scale(method, name):
    """Section 2.2; MAE's decoder is the same."""
    cfg = load(method, name)
    schedule(cfg, 10, 1600)
    optimizer(cfg, 1e-3 * 512 / 256, (0.9, 0.999))
    assert cfg.base_lr == 1e-3
    assert cfg.train_dataloader.batch_size == 512 == cfg.auto_scale_lr.base_batch_size
    group = view(cfg)
    assert (group.size, group.crop, group.flip) == (32, 'pad', 0.5)
    assert set(group) == {'num', 'size', 'crop', 'padding', 'flip'}
    networks(method, cfg, 384, (12, 384, 6), (8, 384, 6), 4, 8 * 8)
    assert name.split('_')[-1] in cfg.train_dataloader.dataset.data_root


@pytest.mark.parametrize('method', ['mae', 'asl'])
@pytest.mark.parametrize(
    'name, images, printed',
    [
        ('vit-b16_8xb512-coslr-800e_in1k', 1281167, 249),
        ('vit-b16_8xb512-coslr-1600e_in1k', 1281167, 499),
        ('vit-b16_8xb512-coslr-4000e_in100-coco', 126689 + 118287, 236),
    ],
)
def test_table3_iterations_come_out(method, name, images, printed):
    """Thousands of iterations at batch 4096 with incomplete batches dropped."""
    cfg = load(method, name)
    assert cfg.train_dataloader.drop_last
    iterations = images // cfg.auto_scale_lr.base_batch_size * cfg.train_cfg.max_epochs
    assert abs(iterations / 1000 - printed) < 1


@pytest.mark.parametrize('weight, accuracy', [(0.1, 47.0), (0.5, 48.0), (1.0, 48.6), (2.0, 47.3)])
def test_section9_weights(weight, accuracy):
    """The best, 1, is the default; its figure stands in the other configs."""
    tail = '' if weight == 1 else f'-w{weight:g}'.replace('.', '')
    cfg = load('asl', 'vit-b16_8xb512-coslr-800e_coco', tail)
    assert cfg.model.get('weight', 1.0) == weight
    if weight == 1:
        assert all(
            '(weight 1: 48.6)'
            in load('asl', 'vit-b16_8xb512-coslr-800e_coco', other).catalogue.expected
            for other in ('-w01', '-w05', '-w2')
        )
    else:
        assert f'linear {accuracy} ' in cfg.catalogue.expected
    schedule(cfg, 40, 800)


@pytest.mark.parametrize(
    'name, accuracy, added',
    [
        ('', 58.8, set()),
        ('-jitter', 57.6, {'jitter'}),
        ('-gray', 57.4, {'gray'}),
        ('-blur', 58.2, {'blur'}),
        ('-solarize', 55.8, {'solarize'}),
    ],
)
def test_table5_augmentations(name, accuracy, added):
    cfg = load('mae', 'vit-b16_8xb512-coslr-200e_in1k', name)
    schedule(cfg, 40, 200)
    assert cfg.catalogue.expected == f'ImageNet-1K linear {accuracy} (reported by ASL)'
    assert mae_views(view(cfg)) == added
    assert cfg.train_dataloader.dataset.data_root.endswith('imagenet/train')
    optimizer(cfg, 1.5e-4 * 4096 / 256, (0.9, 0.95))


@pytest.mark.parametrize(
    'method, name, words',
    [
        ('mae', 'vit-b16_8xb512-coslr-800e_in1k', 'linear 80.5, fine-tuned 92.7'),  # Table 3
        ('mae', 'vit-b16_8xb512-coslr-1600e_in1k', 'linear 85.3, fine-tuned 93.1'),
        ('asl', 'vit-b16_8xb512-coslr-4000e_in100-coco', 'linear 85.9, fine-tuned 94.2'),
        ('asl', 'vit-b16_8xb512-coslr-800e_in100-coco', 'linear 79.6, fine-tuned 92.4'),  # Table 4
        ('asl', 'vit-l16_8xb512-coslr-800e_in100-coco', 'linear 85.1, fine-tuned 93.7'),
        (
            'asl',
            'vit-b16_8xb512-coslr-800e_openimages',
            'linear 87.6, COCO 51.7 AP, ADE20K 49.7 mIoU',
        ),  # section 8
        (
            'mae',
            'vit-b16_8xb512-coslr-800e_openimages',
            'linear 83.5, COCO 49.9 AP, ADE20K 47.8 mIoU',
        ),
    ],
)
def test_tables_3_and_4_and_section_8_expectations(method, name, words):
    assert words in load(method, name).catalogue.expected


@pytest.mark.parametrize('path', ASL, ids=lambda path: path.stem)
def test_every_asl_config_has_its_mae_at_equal_iterations(path):
    asl = resolved(path)
    mae = resolved(path.parent / path.read_text().split("_base_ = '")[1].split("'")[0])
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert asl[key] == mae[key], key
    assert asl.model.neck == mae.model.neck and asl.model.backbone == mae.model.backbone


@pytest.mark.parametrize('path', ASL + MAE, ids=lambda path: path.stem)
def test_what_decays_is_what_decays_in_mae(path):
    """Its main_pretrain.py calls timm's add_weight_decay: vectors and biases
    do not decay, all else does, class and mask token included."""
    cfg = resolved(path)
    with torch.device('meta'):
        model = MODELS.build(dict(cfg.model))
    wrapper = build_optim_wrapper(model, dict(cfg.optim_wrapper, type='OptimWrapper'))
    decay = {
        id(p): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    free = {
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (len(p.shape) == 1 or name.endswith('.bias'))
    }
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert decay[id(p)] == (0 if name in free else 0.05), name
    assert free and not free & {'backbone.cls_token', 'neck.mask_token'}
    assert (
        not model.backbone.pos_embed.requires_grad
        and not model.neck.decoder_pos_embed.requires_grad
    )


def test_concatenated_image_sets_run(image_folder, tmp_path):
    """MMEngine's ConcatDataset over a labeled and an unlabeled set."""
    cfg = load('asl', 'vit-b16_8xb512-coslr-800e_in100-coco')
    first, second = cfg.train_dataloader.dataset.datasets
    (tmp_path / 'classes.txt').write_text('a\n')
    first.update(data_root=str(image_folder), classes=str(tmp_path / 'classes.txt'))
    second.update(data_root=str(image_folder))
    both = ROOT_DATASETS.build(cfg.train_dataloader.dataset)
    assert len(both) == 12 + 24
    for sample in (both[0], both[-1]):
        (view,) = sample['inputs']
        assert view.shape == (3, 224, 224) and view.dtype == torch.uint8
