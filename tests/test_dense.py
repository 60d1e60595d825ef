"""Detection and segmentation with the real mmdet and mmseg, scored by pycocotools."""

import json
import math
import multiprocessing
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmseg', reason='needs mmseg: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')

from mmpretrain.models import ResNet

from helpers.tools import tool
from mssl_plugins.checkpoints.loading import load_backbone
from mssl_plugins.datasets.dense_layouts import (
    MIN_BOX_SIDE,
    unpack_bccd,
    unpack_camvid,
    write_scenes,
)
from mssl_plugins.datasets.scenes import Scenes
from mssl_plugins.engine.hooks.load_backbone_hook import load_pretrained
from mssl_plugins.engine.layer_decay import LayerDecayConstructor
from mssl_plugins.models.backbones import SmallImageResNet, ViT, ViTDet
from mssl_plugins.models.backbones.vitdet import relative_table
from mssl_plugins.models.heads import Res5
from mssl_plugins.models.necks import SimpleFeaturePyramid

ROOT = Path(__file__).parents[1]
ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
SMALL = dict(depth=18, stem_channels=8, base_channels=8)


def vitdet(**kwargs):
    return ViTDet(
        ARCH, **{**dict(img_size=32, patch_size=4, window_size=3, global_blocks=1), **kwargs}
    )


def plain(**kwargs):
    return ViT(
        ARCH, **{**dict(img_size=32, patch_size=4, out_type='featmap', final_norm=False), **kwargs}
    )


def randomize(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def save(backbone, path, prefix='backbone.', **extra):
    torch.save(
        dict(state_dict={**{prefix + k: v for k, v in backbone.state_dict().items()}, **extra}),
        path,
    )
    return path


# ------------------------------------------------------------------- backbone
@pytest.mark.parametrize(
    'size, grid', [((32, 32), (8, 8)), ((24, 40), (6, 10)), ((33, 41), (9, 11))]
)
def test_maps_of_any_size(size, grid):
    net = vitdet(out_indices=[0, 2])
    maps = net(torch.randn(2, 3, *size))
    assert [tuple(m.shape) for m in maps] == [(2, 16, *grid)] * 2
    assert net.global_blocks == (2,) and [b.attn.window for b in net.layers] == [3, 3, 0]


def by_loops(attention, x, grid):
    """Windowed attention with relative positions, token by token in float64."""
    rows, columns = grid
    side = [attention.window or n for n in grid]
    side = [min(s, n) for s, n in zip(side, grid)]
    heads, width = attention.num_heads, attention.head_dims
    tables = [
        relative_table(t, s) for t, s in zip((attention.rel_pos_h, attention.rel_pos_w), side)
    ]
    q, k, v = attention.qkv(x[0]).view(rows, columns, 3, heads, width).unbind(2)
    out = torch.zeros(rows, columns, heads, width, dtype=x.dtype)
    places = [(r, c) for r in range(rows) for c in range(columns)]
    for r, c in places:
        inside = [
            (i, j)
            for i, j in places
            if i // side[0] == r // side[0] and j // side[1] == c // side[1]
        ]
        for h in range(heads):
            logits = []
            for i, j in inside:
                bias = (
                    q[r, c, h] @ tables[0][r % side[0], i % side[0]]
                    + q[r, c, h] @ tables[1][c % side[1], j % side[1]]
                )
                logits.append(q[r, c, h] @ k[i, j, h] / math.sqrt(width) + bias)
            weights = torch.stack(logits).softmax(0)
            out[r, c, h] = sum(w * v[i, j, h] for w, (i, j) in zip(weights, inside))
    return attention.proj(out.view(1, rows * columns, -1))


@pytest.mark.parametrize('window, grid', [(3, (5, 7)), (2, (4, 4)), (0, (3, 5)), (9, (4, 5))])
def test_attention_equals_plain_loops(window, grid):
    attention = (
        randomize(vitdet(window_size=window or 1, global_blocks=0 if window else 3))
        .layers[0]
        .attn.double()
    )
    x = torch.randn(1, grid[0] * grid[1], 16, dtype=torch.float64)
    with torch.no_grad():
        assert attention.window == window
        torch.testing.assert_close(attention(x, grid), by_loops(attention, x, grid))


def test_a_window_as_large_as_the_map_is_global():
    everywhere = randomize(vitdet(window_size=0))
    everywhere.train(False)
    for window in (8, 20):
        inside = vitdet(window_size=window, global_blocks=0)
        state = everywhere.state_dict()
        # the same 15 distances, the outer ones of a larger table never used
        for name, value in state.items():
            if name.endswith(('rel_pos_h', 'rel_pos_w')):
                wide = torch.full((2 * window - 1, value.shape[1]), 9.0)
                wide[window - 8 : window + 7] = value
                state[name] = wide
        inside.load_state_dict(state)
        inside.train(False)
        x = torch.randn(1, 3, 32, 32)
        if window == 20:  # linear resizing would mix the outer ones in: keep the map's own
            for layer, other in zip(inside.layers, everywhere.layers):
                layer.attn.rel_pos_h, layer.attn.rel_pos_w = (
                    other.attn.rel_pos_h,
                    other.attn.rel_pos_w,
                )
        torch.testing.assert_close(inside(x)[0], everywhere(x)[0], rtol=1e-4, atol=1e-4)


def test_padding_of_a_window_changes_nothing():
    """A map of 4 x 4 in windows of 3: the second windows see what lies in the map."""
    net = randomize(vitdet()).layers[0].attn
    x = torch.randn(2, 16, 16)
    out = net(x, (4, 4))
    moved = x.clone()
    moved.view(2, 4, 4, 16)[:, :3, :3] += 1  # the first window
    again = net(moved, (4, 4)).view(2, 4, 4, 16)
    out = out.view(2, 4, 4, 16)
    assert torch.equal(again[:, 3], out[:, 3]) and torch.equal(again[:, :, 3], out[:, :, 3])
    assert not torch.allclose(again[:, :3, :3], out[:, :3, :3])


def test_bfloat16_keeps_the_padding_out():
    attention, x = randomize(vitdet()).layers[0].attn, torch.randn(1, 16, 16)
    with torch.no_grad():
        exact = attention(x, (4, 4))
        with torch.autocast('cpu', torch.bfloat16):
            coarse = attention(x, (4, 4))
    assert coarse.dtype == torch.bfloat16
    assert (coarse - exact).abs().max() < 0.05 * exact.abs().max()


def test_relative_table():
    table = torch.arange(5.0)[:, None]  # distances -2 .. 2 of 3 places
    assert relative_table(table, 3)[..., 0].tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]
    wide = relative_table(table, 5)[..., 0]  # 9 distances
    assert wide.shape == (5, 5) and wide[0, 0] == 2 and wide[4, 0] == 4 and wide[0, 4] == 0


def test_drop_path_drops_an_image_and_not_a_window():
    net = vitdet(drop_path_rate=0.9, global_blocks=0)
    attention = net.layers[-1].attn
    out = attention.train()(torch.randn(64, 64, 16), (8, 8)).flatten(1)
    dropped = out.abs().amax(1) == 0
    assert 40 < dropped.sum() < 64
    assert (out[~dropped] != 0).float().mean() > 0.99


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(global_blocks=[3]), '0 .. 2'),
        (dict(global_blocks=4), '0 .. 3'),
        (dict(window_size=-1), 'at least 0'),
        (dict(with_cls_token=True), 'with_cls_token'),
    ],
)
def test_mistakes_in_the_backbone(kwargs, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        vitdet(**kwargs)


def test_pyramid():
    neck = SimpleFeaturePyramid(16, 8)
    maps = neck((torch.randn(1, 16, 4, 6),))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (8, 16, 24),
        (8, 8, 12),
        (8, 4, 6),
        (8, 2, 3),
        (8, 1, 2),
    ]
    assert torch.equal(maps[4], maps[3][:, :, ::2, ::2])
    with pytest.raises(ValueError, match='scale'):
        SimpleFeaturePyramid(16, scales=(3,))


# -------------------------------------------------------------------- loading
def test_plain_weights_give_plain_features(tmp_path):
    """Global blocks and the checkpoint's own grid: the plain ViT's map; class token left out."""
    teacher = randomize(plain())
    teacher.cls_token.data.fill_(1e9)  # must not reach the map
    net = vitdet(window_size=0)
    report = load_pretrained(nn.ModuleDict(dict(backbone=net)), save(teacher, tmp_path / 'c.pth'))
    assert set(report.unexpected) == {'cls_token'}
    assert report.missing and all(k.endswith(('rel_pos_h', 'rel_pos_w')) for k in report.missing)
    own = plain(with_cls_token=False)
    state = teacher.state_dict()
    state.pop('cls_token')
    own.load_state_dict({**state, 'pos_embed': state['pos_embed'][:, 1:]})
    for size in ((32, 32), (24, 48)):
        x = torch.randn(1, 3, *size)
        own.train(False), net.train(False)
        torch.testing.assert_close(net(x)[0], own(x)[0], rtol=1e-4, atol=1e-4)


def test_positions_of_another_grid_are_resized(tmp_path):
    teacher = plain()
    slope = torch.linspace(0, 1, 8)
    teacher.pos_embed.data[:, 1:] = slope.repeat(8)[None, :, None]  # grows from left to right
    path = save(teacher, tmp_path / 'c.pth')
    net = vitdet(img_size=64)
    assert load_backbone(net, path).missing
    table = net.pos_embed.view(16, 16, 16)
    assert torch.allclose(table[0], table[7], atol=1e-6)
    assert (table[0, 1:, 0] > table[0, :-1, 0] - 1e-2).all()
    assert table[0, 0, 0] < 0.1 and table[0, -1, 0] > 0.9


def test_relative_positions_of_another_window_are_resized(tmp_path):
    net = randomize(vitdet())
    other = vitdet(window_size=5)
    report = load_backbone(other, save(net, tmp_path / 'c.pth'))
    assert not report.missing
    table, given = other.layers[0].attn.rel_pos_h, net.layers[0].attn.rel_pos_h
    assert len(table) == 9 and len(given) == 5
    torch.testing.assert_close(table[4], given[2])  # distance 0 stays


class Detector(nn.Module):
    """What the loader looks at of a C4 detector."""

    def __init__(self, backbone, **head):
        super().__init__()
        self.backbone = backbone
        self.roi_head = nn.Module()
        self.roi_head.shared_head = Res5(depth=18, base_channels=8, **head)


def three_stages():
    return SmallImageResNet(
        **SMALL, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)
    )


def test_res5_reaches_the_shared_head(tmp_path):
    whole = randomize(SmallImageResNet(**SMALL))
    path = save(whole, tmp_path / 'c.pth', **{'head.fc.weight': torch.zeros(3, 3)})
    detector = Detector(three_stages())
    fresh = detector.roi_head.shared_head.norm.weight.clone()
    report = load_pretrained(detector, path)
    assert report.missing == [] and report.unexpected == []
    assert len(report.matched) == len(whole.state_dict())
    head = detector.roi_head.shared_head
    for name, value in whole.layer4.state_dict().items():
        assert torch.equal(head.layer4.state_dict()[name], value), name
    assert torch.equal(head.norm.weight, fresh)  # the extra norm starts fresh
    # the four stages in a row are the network itself
    whole.train(False), detector.train(False)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(head.layer4(detector.backbone(x)[0]), whole(x)[0])


def test_res5_of_a_resnet50_has_its_keys():
    whole, head = ResNet(50).state_dict(), Res5()
    keys = {k for k in head.state_dict() if k.startswith('layer4')}
    assert keys == {k for k in whole if k.startswith('layer4')}
    assert all(head.state_dict()[k].shape == whole[k].shape for k in keys)
    assert head(torch.randn(1, 1024, 14, 14)).shape == (1, 2048, 7, 7)
    still = Res5(depth=18, base_channels=8, norm_eval=True).train()
    assert still.training and not still.norm.training
    with pytest.raises(ValueError, match='did you mean'):
        Res5(depth=51)


@pytest.mark.parametrize('lost', ['layer4.1.bn2.weight', 'layer1.0.conv1.weight'])
def test_any_missing_key_stops(tmp_path, lost):
    whole = SmallImageResNet(**SMALL)
    state = {f'backbone.{k}': v for k, v in whole.state_dict().items() if k != lost}
    torch.save(dict(state_dict=state), tmp_path / 'c.pth')
    with pytest.raises(ValueError, match=f'missing: {re.escape(lost)}'):
        load_pretrained(Detector(three_stages()), tmp_path / 'c.pth')
    with pytest.raises(TypeError, match='no backbone'):
        load_pretrained(nn.Linear(1, 1), tmp_path / 'c.pth')


def test_missing_key_of_a_vit_stops(tmp_path):
    state = {
        f'backbone.{k}': v for k, v in plain().state_dict().items() if k != 'layers.1.ln2.bias'
    }
    torch.save(dict(state_dict=state), tmp_path / 'c.pth')
    with pytest.raises(ValueError, match='missing: layers.1.ln2.bias'):
        load_pretrained(nn.ModuleDict(dict(backbone=vitdet())), tmp_path / 'c.pth')


# ---------------------------------------------------------------- layer decay
def test_layer_decay():
    model = nn.ModuleDict(dict(backbone=vitdet(), head=nn.Linear(16, 4)))
    wrapper = LayerDecayConstructor(
        dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1)),
        dict(
            layer_decay_rate=0.5,
            norm_decay_mult=0.0,
            flat_decay_mult=0.0,
            custom_keys={k: dict(decay_mult=0.0) for k in ('pos_embed', 'rel_pos')},
        ),
    )(model)
    groups = {id(g['params'][0]): g for g in wrapper.optimizer.param_groups}
    for name, parameter in model.named_parameters():
        group = groups[id(parameter)]
        if name.startswith('backbone.layers.'):
            depth = int(name.split('.')[2]) + 1
        else:
            depth = 4 if name.startswith('head.') else 0
        assert group['lr'] == 0.5 ** (4 - depth), name
        free = parameter.ndim == 1 or 'pos_embed' in name or 'rel_pos' in name
        assert group['weight_decay'] == (0 if free else 0.1), name
    with pytest.raises(TypeError, match='get_layer_depth'):
        LayerDecayConstructor(dict(optimizer=dict(type='SGD', lr=1.0)), dict(layer_decay_rate=0.5))(
            nn.ModuleDict(dict(head=nn.Linear(1, 1)))
        )


# ----------------------------------------------------------------------- data
@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """The folder data/ with 8 + 4 scenes in each layout."""
    folder = tmp_path_factory.mktemp('dense')
    for layout in ('coco', 'voc', 'seg'):
        write_scenes(folder / 'data' / f'scenes-{layout}', layout, (8, 4))
    return folder


def test_layouts_hold_the_scenes(scenes):
    from mmdet.datasets import CocoDataset, XMLDataset
    from mmseg.datasets import BaseSegDataset
    from pycocotools.coco import COCO

    source = Scenes(
        split='test', length=4, size=64, objects=(1, 3), scale=(0.3, 0.6), num_classes=4
    )
    classes = source.metainfo['classes']
    data = scenes / 'data'
    coco = CocoDataset(
        ann_file='annotations/val.json',
        data_root=str(data / 'scenes-coco'),
        data_prefix=dict(img='val/'),
        metainfo=dict(classes=classes),
        test_mode=True,
    )
    voc = XMLDataset(
        ann_file='ImageSets/Main/val.txt',
        data_root=str(data / 'scenes-voc'),
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=classes),
        test_mode=True,
    )
    seg = BaseSegDataset(
        data_root=str(data / 'scenes-seg'),
        data_prefix=dict(img_path='img/val', seg_map_path='ann/val'),
        metainfo=dict(classes=('none', *classes)),
    )
    api = COCO(str(data / 'scenes-coco/annotations/val.json'))
    for i, scene in enumerate(source):
        large = (scene['gt_bboxes'][:, 2:] - scene['gt_bboxes'][:, :2]).min(1) >= MIN_BOX_SIDE
        boxes, labels = scene['gt_bboxes'][large], scene['gt_bboxes_labels'][large]
        for data, inclusive in ((coco, 0), (voc, 1)):
            given = data.get_data_info(i)['instances']
            assert [g['bbox_label'] for g in given] == labels.tolist()
            # VOC's last pixel is inside, and mmdet keeps that
            shown = np.array([g['bbox'] for g in given]) + [0, 0, inclusive, inclusive]
            assert np.array_equal(shown, boxes)
        masks = [api.annToMask(a) for a in api.loadAnns(api.getAnnIds(imgIds=i))]
        assert np.array_equal(masks, scene['gt_masks'][large])
        import cv2

        labels = cv2.imread(seg.get_data_info(i)['seg_map_path'], cv2.IMREAD_UNCHANGED)
        assert np.array_equal(labels > 0, scene['gt_masks'].any(0))
        assert set(np.unique(labels)) <= {0, *(scene['gt_bboxes_labels'] + 1)}


@pytest.mark.parametrize(
    'name, layout',
    [
        ('faster-rcnn_r50-c4_8xb2-1x_own-voc', 'voc'),
        ('mask-rcnn_r50-c4_8xb2-1x_own-coco', 'coco'),
        ('vitdet_vit-b16_32xb2-36e_own-coco', 'coco'),
        ('upernet_vit-b16_8xb2-100e_own-masks', 'seg'),
    ],
)
def test_a_folder_of_ones_own_is_read(scenes, monkeypatch, name, layout):
    """Path and classes in the environment; one image through the config's own transforms."""
    from mmengine.config import Config
    from mmengine.registry import DATASETS, DefaultScope

    from mssl_plugins.catalogue import find

    classes = Scenes(length=1, num_classes=4).metainfo['classes']
    classes = ('none', *classes) if layout == 'seg' else classes
    monkeypatch.setenv('OWN_DATA', str(scenes / f'data/scenes-{layout}'))
    monkeypatch.setenv('OWN_CLASSES', ', '.join(classes))
    cfg = Config.fromfile(find(name))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        parts = [DATASETS.build(cfg[f'{part}_dataloader'].dataset) for part in ('train', 'val')]
        assert [len(p) for p in parts] == [8, 4]
        for part in parts:
            assert tuple(part.metainfo['classes']) == tuple(classes)
            sample = part[0]
            assert sample['inputs'].dtype == torch.uint8
            if part is parts[1]:  # training draws the size
                assert min(sample['inputs'].shape[1:]) >= 512
            given = sample['data_samples']
            if layout == 'seg':
                assert given.gt_sem_seg.data.shape[1:] and given.gt_sem_seg.data.max() <= 4
            else:
                assert given.gt_instances.labels.max() < 4
                assert len(given.gt_instances.bboxes) == len(given.gt_instances.labels) > 0


def test_real_sets_unpack(tmp_path, real_data):
    unpack_bccd(real_data('bccd_voc.tar.gz'), tmp_path / 'bccd')
    names = (tmp_path / 'bccd/ImageSets/Main/train.txt').read_text().split()
    assert len(names) == 205 and (tmp_path / f'bccd/Annotations/{names[0]}.xml').exists()
    unpack_camvid(real_data('camvid_train.npz').parent, tmp_path / 'camvid')
    assert len(list((tmp_path / 'camvid/ann/val').glob('*.png'))) == 60
    with pytest.raises(FileNotFoundError, match='camvid_train'):
        unpack_camvid(tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match='BCCD'):
        unpack_bccd(tmp_path, tmp_path)


def test_tool_makes_a_set_and_names_the_nearest(tmp_path):
    main = tool('dense_data').main
    main(['seg', str(tmp_path / 'here'), '--train', '2', '--val', '1'])
    assert (tmp_path / 'here/img/train/00001.jpg').exists()
    with pytest.raises(ValueError, match="did you mean 'coco'"):
        main(['coc', str(tmp_path)])


# ------------------------------------------------------------------- training
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
