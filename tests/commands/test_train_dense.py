"""Detection and segmentation trained with the real mmdet and mmseg, scored by pycocotools."""

import json
import multiprocessing
import re

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmseg', reason='needs mmseg: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')
from helpers.dense import SMALL, plain, randomize, save, write_every_layout
from helpers.paths import ROOT
from mssl_plugins.models.backbones import SmallImageResNet, ViT


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_every_layout(tmp_path_factory.mktemp('dense'))


def _train(folder, argv):
    import os

    from helpers import forked

    os.chdir(folder)
    forked.train(argv, folder / 'output.txt', folder)


def train(folder, *argv):
    """``tools/train.py ARGUMENTS`` in a fork, which has mmdet and mmseg already."""
    process = multiprocessing.get_context('fork').Process(
        target=_train, args=(folder, [str(a) for a in argv])
    )
    process.start()
    process.join(300)
    text = (folder / 'output.txt').read_text()
    return process.exitcode, text


def scalars(work_dir):
    values = {}
    for file in work_dir.glob('*/vis_data/scalars.json'):
        for line in file.read_text().splitlines():
            values.update(json.loads(line))
    return values


SHORT = [
    'train_cfg.max_iters=3',
    'train_cfg.val_interval=3',
    'default_hooks.logger.interval=1',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0',
    'default_hooks.checkpoint.interval=3',
]
RUNS = [
    (
        'faster-rcnn_r18-c4_1xb4-200i_scenes-voc',
        'resnet',
        [
            'coco/bbox_mAP',
            'coco/bbox_mAP_75',
            'pascal_voc/mAP',
            'pascal_voc/AP50',
            'pascal_voc/AP75',
        ],
        ['model.test_cfg.rcnn.score_thr=0.0'],
    ),
    (
        'vitdet_vit-mini_1xb4-200i_scenes-coco',
        'vit',
        ['coco/bbox_mAP', 'coco/segm_mAP', 'coco/segm_mAP_50'],
        ['model.test_cfg.rcnn.score_thr=0.0'],
    ),
    ('upernet_vit-mini_1xb4-200i_scenes-seg', 'vit', ['mIoU', 'mAcc'], []),
]


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    """Checkpoints as this library writes them, of the small configs' backbones."""
    folder = tmp_path_factory.mktemp('pretrained')
    resnet = SmallImageResNet(18, pool=False, stem_stride=2, stem_channels=16, base_channels=16)
    vit = ViT(
        dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=32,
        patch_size=4,
    )
    return dict(resnet=save(resnet, folder / 'resnet.pth'), vit=save(vit, folder / 'vit.pth'))


@pytest.mark.parametrize('name, family, figures, options', RUNS, ids=[r[0] for r in RUNS])
def test_trains_and_is_scored(scenes, pretrained, name, family, figures, options):
    status, text = train(
        scenes,
        name,
        '--work-dir',
        scenes / name,
        '--cfg-options',
        *SHORT,
        f'default_hooks.backbone.checkpoint={pretrained[family]}',
        *options,
    )
    assert status == 0, text[-3000:]
    found = scalars(scenes / name)
    assert all(0 <= found[f] <= 100 for f in figures), found
    assert np.isfinite(found.get('loss', np.nan)) and (scenes / name / 'iter_3.pth').exists()
    report = re.search(r'(\d+) keys matched, (\d+) missing.*?, (\d+) unexpected', text)
    matched, missing, unexpected = map(int, report.groups())
    keys = torch.load(pretrained[family], weights_only=True)['state_dict']
    if family == 'resnet':
        assert (matched, missing, unexpected) == (len(keys), 0, 0)
        assert 'the last stage went into roi_head.shared_head' in text
    else:  # class token and final norm are left out; relative positions are new
        assert (matched, unexpected) == (len(keys) - 3, 3)
        assert missing == 2 * 4
    assert 'bbox' not in figures[0] or 'DONE' in text  # pycocotools' own words


def test_a_linear_probe_moves_nothing_but_its_head(scenes, pretrained):
    name = 'linear_vit-mini_1xb4-200i_scenes-seg'
    work = scenes / name
    status, text = train(
        scenes,
        name,
        '--work-dir',
        work,
        '--cfg-options',
        *SHORT,
        f'default_hooks.backbone.checkpoint={pretrained["vit"]}',
    )
    assert status == 0, text[-3000:]
    before = torch.load(pretrained['vit'], weights_only=True)['state_dict']
    assert f'{len(before)} keys matched, 0 missing, 0 unexpected' in text
    found = scalars(work)
    assert np.isfinite(found['loss']) and 0 <= found['mIoU'] <= 100
    state = torch.load(work / 'iter_3.pth', weights_only=True)['state_dict']
    assert all(torch.equal(state[key], value) for key, value in before.items())
    rest = {k for k in state if not k.startswith('backbone.')}
    assert rest == {
        *(f'neck.norm.{k}' for k in ('weight', 'bias', 'running_mean', 'running_var')),
        'neck.norm.num_batches_tracked',
        'decode_head.conv_seg.weight',
        'decode_head.conv_seg.bias',
    }
    assert (
        int(state['neck.norm.num_batches_tracked']) == 3 and state['neck.norm.running_mean'].any()
    )

    # the trained network's logits are the formula of the last block's normed tokens
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    cfg = Config.fromfile(ROOT / f'configs/benchmarks/segmentation/{name}.py')
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.load_state_dict(state)
    model.train(False)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits = model.decode_head(model.extract_feat(x))
        tokens = model.backbone.forward_tokens(x)[0, 1:].double()
    get = {k: v.double() for k, v in state.items()}
    for i in (0, 17, 255):
        z = (tokens[i] - get['neck.norm.running_mean']) / (
            get['neck.norm.running_var'] + 1e-5
        ) ** 0.5
        z = z * get['neck.norm.weight'] + get['neck.norm.bias']
        wanted = (
            get['decode_head.conv_seg.weight'][:, :, 0, 0] @ z + get['decode_head.conv_seg.bias']
        )
        assert (logits[0, :, i // 16, i % 16] - wanted).abs().max() < 1e-4


def test_a_run_stops_at_the_wrong_checkpoint(scenes, pretrained):
    status, text = train(
        scenes,
        RUNS[0][0],
        '--work-dir',
        scenes / 'wrong',
        '--cfg-options',
        *SHORT,
        f'default_hooks.backbone.checkpoint={pretrained["vit"]}',
    )
    assert status == 2 and 'missing: conv1.weight' in text and not (scenes / 'wrong').exists()


PLAIN = """
import sys, torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, MODELS
from mmengine.structures import PixelData

def losses(path, data):
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        model.init_weights()
        given = torch.load(cfg.model.backbone.init_cfg.checkpoint, weights_only=True)['state_dict']
        for key, value in model.backbone.state_dict().items():
            assert torch.equal(value, given['backbone.' + key]), key
        total, values = model.parse_losses(
            model(**model.data_preprocessor(data(), True), mode='loss'))
    total.backward()
    assert torch.isfinite(total) and any(p.grad is not None for p in model.backbone.parameters())
    return sorted(values)

def boxes():
    from mmdet.testing import demo_mm_inputs
    return demo_mm_inputs(2, image_shapes=[[3, 64, 64]] * 2, num_items=[2, 2], num_classes=80)

def maps():
    from mmseg.structures import SegDataSample
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 4, (1, 32, 32))))] * 2
    return dict(inputs=[torch.randint(0, 256, (3, 32, 32))] * 2, data_samples=samples)

print('mmdet', losses(sys.argv[1] + '/det.py', boxes))
print('mmseg', losses(sys.argv[1] + '/seg.py', maps))
"""
DET = """
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(_delete_=True, type='mssl_plugins.SmallImageResNet', depth=18, stem_channels=8,
                  base_channels=8, out_indices=(0, 1, 2, 3), norm_cfg=dict(type='BN'),
                  init_cfg=dict(type='Pretrained', checkpoint={!r}, prefix='backbone.')),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(bbox_roi_extractor=dict(out_channels=8),
                  bbox_head=dict(in_channels=8, fc_out_channels=16)))
"""
SEG = """
default_scope = 'mmseg'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32)),
    backbone=dict(type='mssl_plugins.ViT', img_size=32, patch_size=4, out_type='featmap',
                  out_indices=[0, 1, 2], final_norm=False,
                  arch=dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32),
                  init_cfg=dict(type='Pretrained', checkpoint={!r}, prefix='backbone.')),
    decode_head=dict(type='FCNHead', in_channels=16, in_index=2, channels=8, num_classes=4,
                     norm_cfg=dict(type='BN'),
                     loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
"""


def test_backbones_work_inside_plain_configs(tmp_path, run_python):
    """A user's own configs: the prefix is all it takes, and ``init_cfg`` loads our checkpoint."""
    for text, name, net in ((DET, 'det', SmallImageResNet(**SMALL)), (SEG, 'seg', plain())):
        path = save(randomize(net), tmp_path / f'{name}.pth')
        (tmp_path / f'{name}.py').write_text(text.format(str(path)))
    done = run_python('-c', PLAIN, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "mmdet ['acc', 'loss'" in done.stdout and "mmseg ['decode.acc_seg'" in done.stdout


def test_images_of_many_sizes_are_not_stacked(tmp_path):
    from mssl_plugins.run_config import build_run_config

    path = tmp_path / 'plain.py'
    path.write_text("_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'")
    cfg = build_run_config(str(path))
    assert cfg.train_dataloader.get('collate_fn', {}).get('type') != 'default_collate'


@pytest.mark.parametrize(
    'project, config',
    [
        ('mmdet', 'vitdet_vit-mini_1xb4-200i_scenes-coco'),
        ('mmseg', 'upernet_vit-mini_1xb4-200i_camvid'),
    ],
)
def test_without_the_project_one_line_says_what_to_install(monkeypatch, project, config):
    import importlib.util

    from mssl_plugins import errors
    from mssl_plugins.run_config import build_run_config

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name, *a: None if name == project else found(name, *a)
    )
    with pytest.raises(errors.UserError, match=rf'{project} is not installed: pip install .*dense'):
        build_run_config(config)
