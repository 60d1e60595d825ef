"""The dense benchmarks' configs: they build at full size, and hold the papers' numbers."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope

from mssl_plugins.config import read_config
from mssl_plugins.engine.hooks.load_backbone_hook import load_pretrained

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmseg', reason='needs mmseg: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')

from helpers.configs import resolved

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / 'configs/benchmarks/detection').glob('*.py')) + sorted(
    (ROOT / 'configs/benchmarks/segmentation').glob('*.py')
)
VOC, COCO1, COCO2 = (
    'faster-rcnn_r50-c4_8xb2-24k_voc0712',
    'mask-rcnn_r50-c4_8xb2-1x_coco',
    'mask-rcnn_r50-c4_8xb2-2x_coco',
)
OWN_C4 = tuple(
    f'{detector}_{backbone}-c4_8xb2-1x_own-{layout}'
    for detector, layout in (('faster-rcnn', 'voc'), ('mask-rcnn', 'coco'))
    for backbone in ('r18', 'r50')
)
OWN = tuple(p.stem for p in PATHS if '_own-' in p.stem)
#: the photo recipes of each network
PHOTOS = {
    'r18': 'photos/mocov2',
    'r50': 'mocov2_resnet50_photos',
    't16': 'photos/mae',
    's16': 'mae_vit-s16_photos',
}
VITDET = ('vitdet_vit-b16_16xb4-100e_coco', 'vitdet_vit-l16_16xb4-100e_coco')
UPERNET = ('upernet_vit-b16_8xb2-100e_ade20k', 'upernet_vit-l16_8xb2-100e_ade20k')


def load(name):
    return resolved(next(p for p in PATHS if p.stem == name))


def build(cfg, monkeypatch):
    # mmpretrain reads numbers from a linspace, which a meta tensor has none of
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        return MODELS.build(cfg.model)


def groups(cfg, model):
    """name of each parameter -> (learning rate, weight decay), as the optimizer has them."""
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(p): n for n, p in model.named_parameters()}
    found = {
        names[id(p)]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    assert set(found) == set(names.values())  # none is left out
    return found


# ---------------------------------------------------------------------- all
@pytest.mark.parametrize('path', PATHS, ids=lambda p: p.stem)
def test_builds_at_full_size(path, monkeypatch):
    cfg = resolved(path)
    model = build(cfg, monkeypatch)
    assert all(p.is_meta for p in model.parameters())
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.collate_fn.type == 'pseudo_collate'
    assert cfg.test_dataloader == cfg.val_dataloader and cfg.test_evaluator == cfg.val_evaluator
    hook = cfg.default_hooks.backbone
    assert hook.type == 'mssl_plugins.LoadBackboneHook' and hook.checkpoint == ''


@pytest.mark.parametrize('path', PATHS, ids=lambda p: p.stem)
def test_length_and_header(path):
    cfg = resolved(path)
    length = cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters
    assert length == cfg.catalogue.get('iterations', cfg.catalogue.epochs)
    if cfg.train_cfg.type == 'IterBasedTrainLoop':
        assert cfg.log_processor.by_epoch is False
        assert cfg.default_hooks.checkpoint.by_epoch is False
        assert cfg.train_dataloader.sampler.type == 'InfiniteSampler'
        assert max(s.get('end', 0) for s in cfg.param_scheduler) in (0, 100, 1000, length)
    head = path.read_text().split('\n_base_')[0]
    assert 'tools/train.py' in head and f'/{path.name}' in head
    depth = 0
    files = [path]
    while files:  # bases of bases
        depth += 1
        files = (
            [
                (f.parent / b).resolve()
                for f in files
                for b in re.findall(
                    r"'([\w./-]+\.py)'",
                    re.search(r'_base_ = (\[.*?\]|[^\n]*)', f.read_text(), re.S)[1],
                )
                if (f.parent / b).exists()
            ]
            if any('_base_ =' in f.read_text() for f in files)
            else []
        )
        files = [f for f in files if '_base_ =' in f.read_text()]
    assert depth <= 2


@pytest.mark.parametrize(
    'name, images',
    [
        (VOC, 5011 + 11540),
        (COCO1, 117266),
        (COCO2, 117266),
        ('setr-pup_vit-s16_8xb1-80k_cityscapes', 2975),
    ],
)
def test_length_in_epochs_is_that_of_the_iterations(name, images):
    cfg = load(name)
    epochs = cfg.catalogue.iterations * cfg.auto_scale_lr.base_batch_size / images
    assert cfg.catalogue.epochs == int(epochs)


# ---------------------------------------------------- MaskCo A.3, MixMask 2
@pytest.mark.parametrize(
    'name, iterations, steps, warmup, shorter',
    [
        (VOC, 24000, [18000, 22000], 100, range(480, 801, 32)),
        (COCO1, 90000, [60000, 80000], 1000, range(640, 801, 32)),
        (COCO2, 180000, [120000, 160000], 1000, range(640, 801, 32)),
    ],
)
def test_c4_schedule(name, iterations, steps, warmup, shorter):
    cfg = load(name)
    assert cfg.train_cfg.max_iters == iterations
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
    warm, decay = cfg.param_scheduler
    assert warm.type == 'LinearLR' and warm.end == warmup and not warm.by_epoch
    assert decay.milestones == steps and decay.gamma == 0.1 and not decay.by_epoch
    assert cfg.auto_scale_lr.base_batch_size == 16 and cfg.train_dataloader.batch_size == 2
    resize = next(t for t in cfg.train_pipeline if t.type == 'RandomChoiceResize')
    assert [min(s) for s in resize.scales] == list(shorter)
    assert min(next(t for t in cfg.test_pipeline if t.type == 'Resize').scale) == 800


@pytest.mark.parametrize('name', [VOC, COCO1, COCO2])
def test_c4_network(name, monkeypatch):
    """SyncBN, nothing frozen, an extra norm after res5, Detectron2's numbers for C4."""
    cfg = load(name)
    model = build(cfg, monkeypatch)
    head = model.roi_head.shared_head
    assert type(head).__name__ == 'Res5' and isinstance(head.norm, torch.nn.SyncBatchNorm)
    assert head.norm.num_features == 2048
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    assert [n for n, _ in model.backbone.named_children() if n.startswith('layer')] == [
        'layer1',
        'layer2',
        'layer3',
    ]
    rpn, rcnn = cfg.model.train_cfg.rpn_proposal, cfg.model.train_cfg.rcnn
    assert (rpn.nms_pre, rpn.max_per_img) == (12000, 2000)
    assert (cfg.model.test_cfg.rpn.nms_pre, cfg.model.test_cfg.rpn.max_per_img) == (6000, 1000)
    assert (rcnn.sampler.num, rcnn.sampler.pos_fraction) == (512, 0.25)
    anchors = cfg.model.rpn_head.anchor_generator
    assert [s * anchors.strides[0] for s in anchors['scales']] == [32, 64, 128, 256, 512]
    classes = 20 if name == VOC else 80
    assert cfg.model.roi_head.bbox_head.num_classes == classes
    assert cfg.model.type == ('FasterRCNN' if name == VOC else 'MaskRCNN')


@pytest.mark.parametrize('name', [VOC, COCO1, COCO2, *OWN_C4])
def test_c4_norms_do_not_decay(name, monkeypatch):
    """Detectron2's SOLVER: WEIGHT_DECAY 1e-4, WEIGHT_DECAY_NORM 0, biases as weights."""
    cfg = load(name)
    model = build(cfg, monkeypatch)
    norms = {
        f'{n}.{part}'
        for n, m in model.named_modules()
        if isinstance(m, torch.nn.SyncBatchNorm)
        for part in ('weight', 'bias')
    }
    assert {
        'backbone.bn1.weight',
        'roi_head.shared_head.norm.bias',
        f'roi_head.shared_head.layer4.{"1.bn2" if "r18" in name else "2.bn3"}.weight',
    } <= norms
    for key, (lr, decay) in groups(cfg, model).items():
        assert lr == 0.02, key
        assert decay == (0 if key in norms else 1e-4), key


def test_voc_data_and_both_measures():
    cfg = load(VOC)
    assert [d.ann_file for d in cfg.train_dataloader.dataset.datasets] == [
        'VOC2007/ImageSets/Main/trainval.txt',
        'VOC2012/ImageSets/Main/trainval.txt',
    ]
    assert cfg.val_dataloader.dataset.ann_file == 'VOC2007/ImageSets/Main/test.txt'
    voc, coco = cfg.val_evaluator
    assert (voc.type, voc.eval_mode) == ('VOCMetric', '11points')
    assert voc.iou_thrs == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert (coco.type, coco.metric) == ('CocoMetric', 'bbox')


# -------------------------------------------------------------- ASL 3.3, 3.4
@pytest.mark.parametrize(
    'name, arch, heads', [(VITDET[0], (768, 12), 12), (VITDET[1], (1024, 24), 16)]
)
def test_vitdet(name, arch, heads, monkeypatch):
    cfg = load(name)
    assert cfg.train_cfg == dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=10)
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=8e-5, betas=(0.9, 0.999), weight_decay=0.1
    )
    assert cfg.optim_wrapper.constructor == 'mssl_plugins.LayerDecayConstructor'
    assert cfg.auto_scale_lr.base_batch_size == 64
    warm, cosine = cfg.param_scheduler
    assert (warm.type, warm.begin, warm.end) == ('LinearLR', 0, 0.25)
    assert cosine.type == 'CosineAnnealingLR'
    assert (cosine.begin, cosine.end, cosine.T_max) == (0.25, 100, 99.75)
    jitter = next(t for t in cfg.train_pipeline if t.type == 'RandomResize')
    assert jitter.ratio_range == (0.1, 2.0) and jitter.scale == (1024, 1024)
    crop = next(t for t in cfg.train_pipeline if t.type == 'RandomCrop')
    assert crop.crop_size == (1024, 1024)
    backbone = build(cfg, monkeypatch).backbone
    assert cfg.model.backbone.drop_path_rate == 0.1
    assert (backbone.embed_dims, backbone.num_layers) == arch
    assert backbone.layers[0].attn.num_heads == heads
    windows = [layer.attn.window for layer in backbone.layers]
    quarter = arch[1] // 4
    assert windows == ([14] * (quarter - 1) + [0]) * 4  # 4 global blocks, evenly
    for layer in backbone.layers:
        side = layer.attn.window or 64
        assert layer.attn.rel_pos_h.shape == layer.attn.rel_pos_w.shape == (2 * side - 1, 64)
    assert backbone.pos_embed.shape == (1, 196, arch[0])
    assert [m.metric for m in [cfg.val_evaluator]] == [['bbox', 'segm']]


@pytest.mark.parametrize('size, rate', [('b', 0.7), ('l', 0.8)])
def test_vitdet_layer_decay_is_the_variant(size, rate, monkeypatch):
    """ASL, section 3.3, and arXiv 2111.11429 have none; ViTDet's 0.7 and 0.8 are beside it."""
    name = f'vitdet_vit-{size}16_16xb4-100e_coco'
    plain, variant = load(name), load(name.replace('vitdet', 'vitdet-layerdecay'))
    model = build(plain, monkeypatch)
    blocks = len(model.backbone.layers)
    before, after = groups(plain, model), groups(variant, model)
    assert all(lr == pytest.approx(8e-5) for lr, _ in before.values())
    for key, (lr, decay) in after.items():
        part = key.split('.')
        if part[:2] == ['backbone', 'layers']:
            power = blocks - int(part[2])
        elif part[0] == 'backbone' and part[1] in ('cls_token', 'pos_embed', 'patch_embed'):
            power = blocks + 1
        else:
            power = 0
        assert lr == pytest.approx(8e-5 * rate**power), key
        assert decay == before[key][1], key
    plain = load(name)  # building has changed the other
    changed = {k for k in plain.keys() | variant.keys() if plain.get(k) != variant.get(k)}
    assert changed - {'catalogue'} == {'optim_wrapper'}  # nothing else differs


def test_half_cosine_ends_at_zero():
    from mmengine.registry import PARAM_SCHEDULERS

    cfg = load(VITDET[0])
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), dict(optimizer=dict(type='SGD', lr=8e-5)))
    per_epoch = 8
    schedulers = [
        PARAM_SCHEDULERS.build(
            dict(s), default_args=dict(optimizer=wrapper, epoch_length=per_epoch)
        )
        for s in cfg.param_scheduler
    ]
    rates = []
    for _ in range(100 * per_epoch):
        rates.append(wrapper.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(8e-8) and max(rates) == pytest.approx(8e-5)
    assert rates.index(max(rates)) in (1, 2)  # a quarter of an epoch
    assert rates[2 + 399] == pytest.approx(4e-5, rel=1e-2) and rates[-1] < 1e-9


@pytest.mark.parametrize(
    'name, arch, blocks',
    [(UPERNET[0], (768, 12), [3, 5, 7, 11]), (UPERNET[1], (1024, 24), [7, 11, 15, 23])],
)
def test_upernet(name, arch, blocks, monkeypatch):
    cfg = load(name)
    assert cfg.train_cfg.max_epochs == 100 and cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.65
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert next(t for t in cfg.train_pipeline if t.type == 'RandomCrop').crop_size == (512, 512)
    assert cfg.model.data_preprocessor.size == cfg.model.test_cfg.crop_size == (512, 512)
    model = build(cfg, monkeypatch)
    assert (model.backbone.embed_dims, model.backbone.num_layers) == arch
    assert list(model.backbone.out_indices) == blocks
    assert {layer.attn.window for layer in model.backbone.layers} == {0}
    assert type(model.decode_head).__name__ == 'UPerHead' and model.decode_head.num_classes == 150


# ------------------------------------------------------------------- MST, ours
def test_msts_networks_and_that_the_protocol_is_ours(monkeypatch):
    setr, coco = load('setr-pup_vit-s16_8xb1-80k_cityscapes'), load('vitdet_vit-s16_16xb4-1x_coco')
    for cfg in (setr, coco):
        backbone = build(cfg, monkeypatch).backbone
        assert (backbone.embed_dims, backbone.num_layers) == (384, 12)
        assert backbone.layers[0].attn.num_heads == 6 and 'ours' in cfg.catalogue.paper
        assert 'another protocol' in cfg.catalogue.expected
    head = setr.model.decode_head
    assert (head.type, head.num_convs, head.up_scale, head.num_classes) == ('SETRUPHead', 4, 2, 19)


# ------------------------------------------------------------------ one's own
HEADS = {
    'faster-rcnn': ['bbox_head'],
    'mask-rcnn': ['bbox_head', 'mask_head'],
    'vitdet': ['bbox_head', 'mask_head'],
    'upernet': ['decode_head', 'auxiliary_head'],
    'linear': ['decode_head'],
}


@pytest.mark.parametrize('name', OWN)
def test_own_data_by_path_and_classes(name, monkeypatch):
    heads = HEADS[name.split('_')[0]]
    monkeypatch.setenv('OWN_DATA', '/some where/of mine')
    monkeypatch.setenv('OWN_CLASSES', "cat, hot dog,bird's nest,")
    cfg = load(name)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == '/some where/of mine'
        assert loader.dataset.metainfo.classes == ['cat', 'hot dog', "bird's nest"]
    model = cfg.model if 'decode_head' in cfg.model else cfg.model.roi_head
    assert [model[head].num_classes for head in heads] == [3] * len(heads)
    evaluator = cfg.val_evaluator
    if 'ann_file' in evaluator:
        assert evaluator.ann_file == '/some where/of mine/annotations/val.json'


@pytest.mark.parametrize('images', [24, 300])
@pytest.mark.parametrize('name', [n for n in OWN if n.startswith(('upernet', 'vitdet'))])
def test_the_warm_up_fits_a_few_images(name, images):
    """The whole rate is reached after one epoch, and the last step is near 0."""
    cfg = load(name)
    length, lr = cfg.train_cfg.max_epochs, cfg.optim_wrapper.optimizer.lr
    steps = images // cfg.train_dataloader.batch_size
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedules = []
    for given in cfg.param_scheduler:
        given = {k: v for k, v in given.items() if k not in ('type', 'convert_to_iter_based')}
        kind = PARAM_SCHEDULERS.get(cfg.param_scheduler[len(schedules)].type)
        schedules.append(kind.build_iter_from_epoch(optimizer, **given, epoch_length=steps))
    rates = []
    for _ in range(steps * length):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for schedule in schedules:
            schedule.step()
    assert rates[0] < 0.01 * lr and rates[steps // 2] > 0.2 * lr
    assert max(rates) > 0.95 * lr and rates.index(max(rates)) in range(steps - 2, steps + 2)
    assert rates[-1] < 0.01 * lr


def network(name):
    return next(key for key in (*PHOTOS, 'b16') if re.search(rf'{key[0]}(esnet)?{key[1:]}', name))


def test_every_network_of_the_photo_recipes_has_a_detector_and_a_segmentor():
    assert len(OWN) == 14
    for kind in ('own-(voc|coco)', 'own-masks'):
        assert {network(name) for name in OWN if re.search(kind, name)} == {*PHOTOS, 'b16'}


@pytest.mark.parametrize('name', [n for n in OWN if network(n) != 'b16'])
def test_weights_of_a_photo_recipe_fit(name, tmp_path):
    """Every tensor of the backbone, and of a C4 detector's res5, is found."""
    cfg = load(name)
    trained = read_config(PHOTOS[network(name)])
    backbone = MODELS.build(trained.model.backbone)
    weights = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    meta = dict(cfg=trained.pretty_text)
    torch.save(dict(state_dict=weights, meta=meta), tmp_path / 'epoch_1.pth')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    report = load_pretrained(model, tmp_path / 'epoch_1.pth')
    assert all('rel_pos' in key for key in report.missing)
    assert len(report.matched) > 0.9 * len(weights)


# ---------------------------------------------------------------------- pages
@pytest.mark.parametrize('folder', ['detection', 'segmentation'])
def test_page_names_every_config_and_links_exist(folder):
    page = ROOT / 'configs/benchmarks' / folder / 'README.md'
    text = page.read_text()
    for path in page.parent.glob('*.py'):
        assert f'`{path.stem}`' in text, path.stem
    for name in re.findall(r'`((?:faster|mask|vitdet|upernet|setr)[\w-]*_[\w-]+)`', text):
        assert name in {p.stem for p in PATHS}, name
    for target in re.findall(r'\]\(([^)#]+)\)', text):
        assert '://' in target or (page.parent / target).exists(), target
    for word in re.findall(r'(?:configs|tools)/[\w./-]+\.py', text):
        assert (ROOT / word).exists(), word


# ------------------------------------------------------------ DINOv2's probe
LINEAR = [p for p in PATHS if p.stem.startswith('linear_') and '40k' in p.stem]


@pytest.mark.parametrize('path', LINEAR, ids=lambda p: p.stem)
def test_the_linear_head_is_dinov2s(path, monkeypatch):
    """AdamW 1e-3, decay 1e-4, batch 16, 40k, warm-up 1500, linear to 0; nothing else moves."""
    cfg = resolved(path)
    model = build(cfg, monkeypatch)
    moving = {n for n, p in model.named_parameters() if p.requires_grad}
    assert moving == {
        'neck.norm.weight',
        'neck.norm.bias',
        'decode_head.conv_seg.weight',
        'decode_head.conv_seg.bias',
    }
    assert model.decode_head.conv_seg.kernel_size == (1, 1)
    assert not list(model.decode_head.convs.parameters()) and model.decode_head.dropout is None
    width = dict(vits16=384, vitb16=768, resnet18=512)
    name = path.stem.split('_')[1].replace('-', '')
    assert model.neck.norm.num_features == width.get(name, 2048)
    assert model.neck.norm.num_features == model.decode_head.conv_seg.in_channels
    classes = dict(ade20k=150, voc2012=21).get(path.stem.rsplit('_', 1)[1], 2)
    assert model.decode_head.conv_seg.out_channels == classes
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-3, 1e-4)
    warm, poly = cfg.param_scheduler
    assert (warm.start_factor, warm.end, poly.begin, poly.end) == (1e-6, 1500, 1500, 40000)
    assert (poly.power, poly.eta_min, cfg.train_cfg.max_iters) == (1.0, 0.0, 40000)
    assert cfg.train_dataloader.batch_size == 2 and cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(512, 512), stride=(341, 341))
    assert len(LINEAR) == 10


# --------------------------------------------------- from DINOv2 and DINOv3
SMALL = dict(embed_dims=96, num_layers=4, num_heads=3, feedforward_channels=384)
NEWER = [p for p in PATHS if '-dinov' in p.stem]


@pytest.mark.parametrize('path', NEWER, ids=lambda p: p.stem)
def test_fine_tuning_starts_from_their_weights(path, tmp_path):
    """A step of the config's model, small, from weights as timm saves them."""
    timm = pytest.importorskip('timm')
    cfg = resolved(path)
    version, args = ('dinov3_qkvb', {}) if 'dinov3' in path.stem else ('reg4_dinov2', {})
    name = f'vit_small_patch{cfg.model.backbone.patch_size if version[0] == "r" else 16}_{version}'
    net = timm.create_model(name, embed_dim=96, depth=4, num_heads=3, img_size=112, **args)
    torch.save(net.state_dict(), tmp_path / 'weights.pth')
    model = cfg.model
    model.backbone.arch, model.neck['in_channels' if model.type == 'MaskRCNN' else 'embed_dim'] = (
        SMALL,
        96,
    )
    torch.manual_seed(0)
    if model.type == 'MaskRCNN':
        from mmdet.testing import demo_mm_inputs

        model.data_preprocessor.pop('batch_augments')
        model.backbone.global_blocks = 1
        model.train_cfg.rcnn.sampler.num = 16  # of 512 boxes a step is mostly the heads'
        data = demo_mm_inputs(
            2, image_shapes=[[3, 96, 128]] * 2, num_items=[2, 2], num_classes=80, with_mask=True
        )
    else:
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        model.backbone.out_indices = [0, 1, 2, 3]
        model.decode_head.update(in_channels=[96] * 4, channels=32)
        model.auxiliary_head.update(in_channels=96, channels=32)
        for part in (model.neck, model.decode_head, model.auxiliary_head):
            part.norm_cfg = dict(type='BN')
        model.data_preprocessor.size = None
        samples = [SegDataSample(metainfo=dict(img_shape=(96, 128))) for _ in range(2)]
        for sample in samples:
            sample.gt_sem_seg = PixelData(data=torch.randint(0, 150, (1, 96, 128)))
        model.data_preprocessor.update(size_divisor=1)
        data = dict(inputs=[torch.randint(0, 256, (3, 96, 128))] * 2, data_samples=samples)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        whole = MODELS.build(model)
        whole.init_weights()
        report = load_pretrained(whole, tmp_path / 'weights.pth')
        assert all(k.endswith(('rel_pos_h', 'rel_pos_w', 'rope.periods')) for k in report.missing)
        assert torch.equal(
            whole.backbone.layers[3].attn.proj.weight, net.blocks[3].attn.proj.weight
        )
        whole.train()
        losses = whole(**whole.data_preprocessor(data, True), mode='loss')
        loss, _ = whole.parse_losses(losses)
        loss.backward()
    moved = {n for n, p in whole.backbone.named_parameters() if p.grad is not None and p.grad.any()}
    expected = {
        'layers.0.attn.qkv.weight',
        'layers.0.attn.gamma1.weight',
        'patch_embed.projection.weight',
    }
    assert expected <= moved and torch.isfinite(loss)
    if model.type != 'MaskRCNN':
        assert 'register_tokens' in moved
    assert len(NEWER) == 4
