"""Exported backbones compute the same in the library that they are for."""

import hashlib
import json
import os
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmengine.config import Config
from torch import nn

from helpers.hugging_face import ABSENT, PYTHON, run_there
from mssl_plugins.checkpoints.architecture import model_in
from mssl_plugins.checkpoints.loading import load_backbone
from mssl_plugins.checkpoints.reader import METADATA, default_branch, for_model, read
from mssl_plugins.export import TARGETS, export
from mssl_plugins.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
timm = pytest.importorskip('timm')
os.environ['HF_HUB_OFFLINE'] = '1'


def vit(dim=48, heads=3, hidden=96, **kwargs):
    return dict(
        type='mssl_plugins.ViT',
        img_size=32,
        patch_size=8,
        mask_token=True,
        arch=dict(embed_dims=dim, num_layers=2, num_heads=heads, feedforward_channels=hidden),
        **kwargs,
    )


def resnet(kind='mmpretrain.ResNet', depth=18, **kwargs):
    return dict(
        type=kind, depth=depth, norm_cfg=dict(type='BN'), zero_init_residual=False, **kwargs
    )


ALL = tuple(TARGETS)
OPENMMLAB = ('mmpretrain', 'mmdet', 'mmseg')
NEWER = {'mmpretrain', 'mmdet', 'timm', 'hf'}
SWIGLU = dict(layer_scale_init_value=0.1, layer_cfgs=dict(ffn_type='swiglu'))
ROPE = dict(layer_scale_init_value=0.1, rope=dict(base=50.0), norm_cfg=dict(type='LN', eps=1e-5))
SPLIT = dict(norm_cfg=dict(type='mssl_plugins.SplitBN', num_splits=2))
# name: (backbone, side of the images in px, targets that have it)
CASES = dict(
    vit=(vit(drop_path_rate=0.1, antialias=False), 32, ALL),
    vit_odd=(vit(54, 2, 83), 32, set(ALL) - {'mmseg'}),  # MLP of no whole multiple
    vit_unbiased=(vit(qkv_bias=False), 32, ALL),
    vit_eps=(vit(norm_cfg=dict(type='LN', eps=1e-3)), 32, {*OPENMMLAB, 'hf', 'detectron2'}),
    vit_average=(
        vit(with_cls_token=False, out_type='avg_featmap', final_norm=False),
        32,
        {'mmpretrain', 'mmdet', 'timm'},
    ),
    vit_no_class=(
        vit(with_cls_token=False, out_type='raw'),
        32,
        {*OPENMMLAB, 'timm', 'detectron2'},
    ),
    vit_scaled=(vit(layer_scale_init_value=0.1), 32, NEWER),
    dinov2=(vit(registers=4, layer_scale_init_value=0.1), 32, NEWER),
    dinov2_giant=(vit(hidden=64, registers=2, **SWIGLU), 32, NEWER),
    swiglu=(vit(hidden=64, **SWIGLU), 32, NEWER),
    swiglu_odd=(vit(hidden=61, **SWIGLU), 32, {'mmpretrain', 'mmdet', 'timm'}),
    dinov3=(vit(registers=4, qkv_bias=False, **ROPE), 32, NEWER),
    dinov3_plus=(vit(hidden=61, registers=4, qkv_bias=False, **{**ROPE, **SWIGLU}), 32, NEWER),
    dinov3_biased=(vit(registers=4, **ROPE), 32, {'mmpretrain', 'mmdet', 'hf'}),
    vit_normed=(vit(pre_norm=True), 32, {*OPENMMLAB, 'timm'}),
    vit_wide=(dict(vit(), img_size=(32, 48)), (32, 48), {*OPENMMLAB, 'timm', 'hf'}),
    deit_tiny_14=(
        dict(type='mssl_plugins.ViT', arch='deit-tiny', img_size=56, patch_size=14),
        56,
        ALL,
    ),
    deit_tiny_4=(
        dict(type='mmpretrain.VisionTransformer', arch='deit-t', img_size=32, patch_size=4),
        32,
        ALL,
    ),
    resnet18=(resnet(), 64, ALL),
    resnet50=(resnet(depth=50, frozen_stages=1, norm_eval=True), 64, ALL),
    resnet18_narrow=(resnet(base_channels=16, stem_channels=8), 64, {*OPENMMLAB, 'hf'}),
    resnet50_caffe=(
        resnet(depth=50, style='caffe', base_channels=16),
        64,
        {*OPENMMLAB, 'hf', 'detectron2'},
    ),
    resnet18_deep_stem=(resnet('mmpretrain.ResNetV1d', base_channels=16), 64, OPENMMLAB),
    resnet_cifar={**resnet('mmpretrain.ResNet_CIFAR', base_channels=16), **SPLIT},
    resnet_small=resnet(
        'mssl_plugins.SmallImageResNet',
        pool=False,
        stem_stride=2,
        stem_channels=16,
        base_channels=16,
        strides=(1, 2, 2, 1),
    ),
)
CASES.update({k: (v, 32, OPENMMLAB) for k, v in CASES.items() if isinstance(v, dict)})


@torch.no_grad()
def shaken(net, seed=0):
    """Weights of which each counts, statistics that are not the default."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in net.named_parameters():
        if p.ndim < 4:  # convolutions are random already
            p += (0.1 if p.ndim > 1 else 0.2) * torch.randn(p.shape, generator=generator)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean += 0.3 * torch.randn(module.running_mean.shape, generator=generator)
            module.running_var *= 0.5 + torch.rand(module.running_var.shape, generator=generator)
            module.num_batches_tracked += 7
    net.eval()
    return net


def save(path, config, state, **meta):
    cfg = Config(dict(model=config, data_preprocessor=None, default_scope='mmpretrain'))
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, **meta), state_dict=state), path)
    return path


@torch.no_grad()
def features(net, x):
    """Tokens (B, N, C) of a ViT, the last map of a ResNet."""
    if hasattr(net, 'patch_embed'):
        net.out_type = 'raw'
    return net(x)[-1]


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """For each case a checkpoint, images and their features, made once."""
    folder, known = tmp_path_factory.mktemp('checkpoints'), {}

    def make(name):
        if name not in known:
            backbone, side, _ = CASES[name]
            torch.manual_seed(0)
            net = shaken(MODELS.build(backbone))
            state = {f'backbone.{k}': v.clone() for k, v in net.state_dict().items()}
            model = dict(
                type='mssl_plugins.MAE',
                backbone=backbone,
                data_preprocessor=dict(
                    type='mssl_plugins.ViewPreprocessor', mean=[100.0, 110.0, 120.0], std=[50.0] * 3
                ),
            )
            path = save(folder / f'{name}.pth', model, {**state, 'neck.a': torch.ones(2)})
            x = torch.randn(2, 3, *((side, side) if isinstance(side, int) else side))
            known[name] = path, x, features(net, x)
        return known[name]

    return make


def close(found, wanted):
    assert found.shape == wanted.shape
    scale = wanted.abs().max().clamp(min=1)
    assert (found - wanted).abs().max() / scale < 1e-5
    assert wanted.std() > 0.05  # and they tell inputs apart
    assert (wanted[0] - wanted[1]).abs().max() > 1e-3


# ------------------------------------------------ each target's own library
def openmmlab(out, done, **kwargs):
    model = {**done['model'], **kwargs}
    model['init_cfg'] = dict(model['init_cfg'], checkpoint=f'{out}/{done["weights"]}')
    torch.manual_seed(5)
    net = MODELS.build(model)
    net.init_weights()
    net.train(False)
    return net


def tokens(out):
    """(B, C, h, w) and (B, C) as tokens (B, 1 + L, C)."""
    maps, cls = out if isinstance(out, (list, tuple)) else (out, None)
    flat = maps.flatten(2).transpose(1, 2)
    return flat if cls is None else torch.cat([cls[:, None], flat], 1)


def in_mmpretrain(out, done, x, wanted):
    close(features(openmmlab(out, done), x), wanted)


def in_mmdet(out, done, x, wanted):
    pytest.importorskip('mmdet.models')
    net = openmmlab(out, done)
    if hasattr(net, 'patch_embed'):  # the map has no class token
        close(tokens(net(x)[-1]), wanted[:, -net(x)[-1][0, 0].numel() :])
    else:
        assert (
            net.__module__.startswith('mmdet.')
            or 'stem_stride' in done['model']
            or done['model']['type'] in ('mmpretrain.ResNet_CIFAR', 'mmpretrain.ResNetV1d')
        )
        close(net(x)[-1], wanted)


def in_mmseg(out, done, x, wanted):
    pytest.importorskip('mmseg.models')
    if done['model']['type'] == 'mmseg.VisionTransformer':
        cls = done['model']['with_cls_token']
        close(tokens(openmmlab(out, done, output_cls_token=cls)(x)[-1]), wanted)
    else:
        close(openmmlab(out, done)(x)[-1], wanted)


def in_timm(out, done, x, wanted):
    net = timm.create_model(f'local-dir:{out}', pretrained=True).eval()
    assert net.pretrained_cfg['mean'] == [v / 255 for v in (100.0, 110.0, 120.0)]
    found = net.forward_features(x)
    others = found.shape[1] - wanted.shape[1] if wanted.ndim == 3 else 0  # registers
    if others:
        assert others == done['architecture']['registers']
        found = torch.cat([found[:, :1], found[:, 1 + others :]], 1)
    close(found, wanted)
    assert net(x).shape == (2, done['model']['num_features'])


def in_torchvision(out, done, x, wanted):
    scope = dict(torchvision=torchvision, torch=torch)
    exec(done['load'].replace('OUT', str(out)), scope)  # the very line that is printed
    net = scope['m'].eval()
    if wanted.ndim == 4:
        net.avgpool = nn.Identity()
        close(net(x), wanted.flatten(1))
    else:
        close(net(x), wanted[:, 0])


def in_detectron2(out, done, x, wanted):
    file = torch.load(out / done['weights'], weights_only=True)
    assert file['matching_heuristics'] is True and file['__author__'] == 'mssl_plugins'
    if wanted.ndim == 4:
        close(d2_resnet(file['model'], x, **done['model']['RESNETS']), wanted)
    else:
        found = d2_vit(file['model'], x, **done['model']['ViT'])
        assert not any(k.startswith('norm.') for k in file['model'])  # its ViT ends before
        ours = read(done['checkpoint']).weights
        norm = [ours[f'ln1.{k}'] for k in ('weight', 'bias')]
        eps = done['model']['ViT']['norm_eps']
        close(F.layer_norm(found, found.shape[-1:], *norm, eps), wanted)


LIBRARIES = dict(
    mmpretrain=in_mmpretrain,
    mmdet=in_mmdet,
    mmseg=in_mmseg,
    timm=in_timm,
    torchvision=in_torchvision,
    detectron2=in_detectron2,
)


def d2_resnet(
    weights, x, DEPTH, STRIDE_IN_1X1, STEM_OUT_CHANNELS, RES2_OUT_CHANNELS, WIDTH_PER_GROUP=64
):
    """Detectron2's ResNet written out: stem, res2-res5, conv + norm, shortcut."""
    left = set(weights)

    def conv(name, x, stride=1):
        weight = weights[f'{name}.weight']
        norm = [
            weights[f'{name}.norm.{k}'] for k in ('running_mean', 'running_var', 'weight', 'bias')
        ]
        left.difference_update(
            [
                f'{name}.weight',
                *(f'{name}.norm.{k}' for k in ('running_mean', 'running_var', 'weight', 'bias')),
            ]
        )
        return F.batch_norm(F.conv2d(x, weight, None, stride, weight.shape[-1] // 2), *norm)

    x = F.max_pool2d(conv('stem.conv1', x, 2).relu(), 3, 2, 1)
    assert x.shape[1] == STEM_OUT_CHANNELS
    blocks = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[DEPTH]
    for stage, count in enumerate(blocks):
        for block in range(count):
            name, stride = f'res{stage + 2}.{block}', 2 if stage and not block else 1
            first, second = (stride, 1) if DEPTH < 50 or STRIDE_IN_1X1 else (1, stride)
            y = conv(f'{name}.conv2', conv(f'{name}.conv1', x, first).relu(), second)
            if DEPTH >= 50:
                assert y.shape[1] == WIDTH_PER_GROUP * 2**stage
                y = conv(f'{name}.conv3', y.relu())
            shortcut = f'{name}.shortcut.weight' in weights
            x = (y + (conv(f'{name}.shortcut', x, stride) if shortcut else x)).relu()
        assert x.shape[1] == RES2_OUT_CHANNELS * 2**stage
    assert not left
    return x


def d2_vit(
    weights,
    x,
    patch_size,
    embed_dim,
    depth,
    num_heads,
    mlp_ratio,
    qkv_bias,
    norm_eps,
    pretrain_img_size,
    pretrain_use_cls_token,
):
    """ViTDet's ViT written out, global attention, at the size of pre-training."""
    x = F.conv2d(
        x, weights['patch_embed.proj.weight'], weights['patch_embed.proj.bias'], patch_size
    )
    x = x.flatten(2).transpose(1, 2)
    assert x.shape[1] == (pretrain_img_size // patch_size) ** 2
    positions = weights['pos_embed'][:, int(pretrain_use_cls_token) :]
    x = x + positions
    cls = weights.get('cls_token')
    if cls is not None:  # d2 leaves it away; with it the features can be compared
        x = torch.cat([(cls + weights['pos_embed'][:, :1]).expand(len(x), 1, -1), x], 1)

    def part(name, kind, x):
        weight, bias = weights[f'{name}.weight'], weights.get(f'{name}.bias')
        if kind == 'norm':
            return F.layer_norm(x, (embed_dim,), weight, bias, norm_eps)
        return F.linear(x, weight, bias)

    for i in range(depth):
        y = part(f'blocks.{i}.attn.qkv', 'linear', part(f'blocks.{i}.norm1', 'norm', x))
        q, k, v = y.unflatten(2, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
        x = x + part(f'blocks.{i}.attn.proj', 'linear', (a @ v).transpose(1, 2).flatten(2))
        y = part(f'blocks.{i}.mlp.fc1', 'linear', part(f'blocks.{i}.norm2', 'norm', x))
        assert y.shape[-1] == round(embed_dim * mlp_ratio)
        x = x + part(f'blocks.{i}.mlp.fc2', 'linear', F.gelu(y))
    assert qkv_bias == ('blocks.0.attn.qkv.bias' in weights)
    return x


@pytest.mark.parametrize('target', LIBRARIES)
@pytest.mark.parametrize('name', CASES)
@torch.no_grad()
def test_features_survive(made, tmp_path, name, target):
    path, x, wanted = made(name)
    out = tmp_path / 'out'
    if target not in CASES[name][2]:
        with pytest.raises(ValueError, match=f'{target} has no such network: .*--to mmpretrain'):
            export(path, target, out)
        assert not any(tmp_path.iterdir())
        return
    done = export(path, target, out)
    if name == 'vit_average':  # the norm after pooling is no part of the tokens
        if target == 'timm':
            net = timm.create_model(f'local-dir:{out}', pretrained=True).eval()
            ours = shaken(MODELS.build(CASES[name][0]))
            load_backbone(ours, path)
            return close(net(x), ours(x)[-1])
    LIBRARIES[target](out, dict(done, checkpoint=path), x, wanted)


HF = """
import json, sys, torch, transformers
for folder in sys.argv[1:]:
    case = torch.load(f'{folder}.pt', weights_only=True)
    kind = json.load(open(f'{folder}/config.json'))['architectures'][0]
    extra = dict(add_pooling_layer=False) if kind == 'ViTModel' else {}
    net, info = getattr(transformers, kind).from_pretrained(
        folder, output_loading_info=True, **extra)
    assert not any(info.values()), info
    assert type(transformers.AutoModel.from_pretrained(folder)) is type(net)
    images = transformers.AutoImageProcessor.from_pretrained(folder)
    assert abs(images.image_mean[2] - 120 / 255) < 1e-6
    with torch.no_grad():
        found = net.eval()(case['x']).last_hidden_state
    registers = getattr(net.config, 'num_register_tokens', 0)
    if registers:
        found = torch.cat([found[:, :1], found[:, 1 + registers:]], 1)
    assert found.shape == case['wanted'].shape
    error = (found - case['wanted']).abs().max() / case['wanted'].abs().max().clamp(min=1)
    print(json.dumps([folder, float(error)]))
"""


def test_features_survive_in_transformers(made, tmp_path):
    """In a process, and where tools/test.sh was, an environment of its own:
    with transformers 5 MMPretrain cannot be imported."""
    if not PYTHON.exists():
        pytest.skip(ABSENT)
    folders = []
    for name, (_, _, targets) in CASES.items():
        path, x, wanted = made(name)
        out = tmp_path / name
        if 'hf' in targets:
            export(path, 'hf', out)
            torch.save(dict(x=x, wanted=wanted), f'{out}.pt')
            folders.append(str(out))
        else:
            with pytest.raises(ValueError, match='hf has no such network: .*--to mmpretrain'):
                export(path, 'hf', out)
    errors = dict(map(json.loads, run_there(HF, *folders).splitlines()))
    assert list(errors) == folders and max(errors.values()) < 1e-5


# ------------------------------------------------------------- and back again
@pytest.mark.parametrize(
    'name, target',
    [
        *(('vit', target) for target in TARGETS if target != 'detectron2'),
        ('vit_no_class', 'mmseg'),
        ('vit_wide', 'timm'),
        *((name, target) for name in ('dinov3', 'dinov3_plus') for target in sorted(NEWER)),
        ('dinov2_giant', 'hf'),  # timm adds the class token's position to it
        ('dinov3_biased', 'hf'),
        *(('resnet18', target) for target in ('timm', 'torchvision', 'detectron2')),
        ('resnet18_narrow', 'mmdet'),
        ('resnet18_narrow', 'hf'),
        ('resnet_small', 'mmseg'),
    ],
)
def test_what_went_out_comes_in(made, tmp_path, name, target):
    path = made(name)[0]
    there, back = tmp_path / 'there', tmp_path / 'back'
    export(path, target, there)
    done = export(there, 'mmpretrain', back)
    first, last = read(path), read(back)
    assert done['architecture'] == first.config == last.config
    for key, value in first.weights.items():
        if target != 'detectron2' or not key.endswith('num_batches_tracked'):
            assert torch.equal(last.weights[key], value), key
    assert last.weights.keys() <= first.weights.keys()
    assert done['source'] == dict(first.source, branch='student', through=target)
    assert last.mean == [100.0, 110.0, 120.0]


def dino_published(net):
    head = {'head.mlp.0.weight': torch.ones(2)}
    other = {k: torch.zeros_like(v) for k, v in net.state_dict().items()}
    return dict(
        student={
            f'module.{k}': v
            for k, v in {**{f'backbone.{k}': v for k, v in other.items()}, **head}.items()
        },
        teacher={**{f'backbone.{k}': v for k, v in net.state_dict().items()}, **head},
        epoch=3,
    )


PUBLISHED = dict(
    timm=lambda net: net.state_dict(),  # and the backbones of DINO and MAE
    dino_full=dino_published,
    mae=lambda net: dict(
        model={
            **net.state_dict(),
            'mask_token': torch.ones(1, 1, 2),
            'decoder_embed.weight': torch.ones(2, 2),
            'decoder_blocks.0.norm1.weight': torch.ones(2),
        }
    ),
    ibot=lambda net: dict(state_dict={**net.state_dict(), 'masked_embed': torch.ones(1, 2)}),
    moco=lambda net: dict(
        state_dict={
            f'module.{name}.{k}': v * scale
            for name, scale in (('encoder_q', 1), ('encoder_k', 0))
            for k, v in net.state_dict().items()
        }
    ),
)


@pytest.mark.parametrize(
    'kind, layout',
    [
        *(('vit_tiny_patch16_224', name) for name in ('timm', 'dino_full', 'mae', 'ibot')),
        *(('resnet18', name) for name in ('timm', 'moco')),
    ],
)
@torch.no_grad()
def test_published_weights_come_in(tmp_path, kind, layout):
    kwargs = dict(img_size=32) if 'vit' in kind else {}
    theirs = shaken(timm.create_model(kind, num_classes=7, **kwargs))
    path, x = tmp_path / 'published.pth', torch.randn(2, 3, 32, 32)
    torch.save(PUBLISHED[layout](theirs), path)
    wanted = theirs.forward_features(x)

    done = export(path, 'mmpretrain', tmp_path / 'out')
    in_mmpretrain(tmp_path / 'out', done, x, wanted)
    branch = 'teacher' if layout == 'dino_full' else 'student'
    assert done['source']['branch'] == branch

    model = dict(done['architecture'])
    ours = MODELS.build(dict(model, type='mssl_plugins.ViT') if 'vit' in kind else model)
    report = load_backbone(ours, path, branch)
    ours.train(False)
    close(features(ours, x), wanted)
    assert report.missing == []


def command(monkeypatch, capsys, *args):
    """Status and words of `python tools/export.py ARGUMENTS`."""
    tool = ROOT / 'tools/export.py'
    with monkeypatch.context() as m:
        m.setattr(sys, 'argv', [str(tool), *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(tool), run_name='__main__')
    return end.value.code, capsys.readouterr()


def test_training_starts_from_published_weights(tiny_config, train, tmp_path, monkeypatch, capsys):
    """`load_from` takes them as they are; what was trained goes out by command."""
    torch.manual_seed(1)
    tiny = dict(resnet(base_channels=4, stem_channels=4))
    net = shaken(MODELS.build(tiny))
    start = save(
        tmp_path / 'start.pth',
        dict(type='MoCo', backbone=tiny),
        {f'backbone.{k}': v for k, v in net.state_dict().items()},
    )
    export(start, 'hf', tmp_path / 'hf')
    config = tiny_config("""
        train_cfg.update(max_epochs=1)
        optim_wrapper['optimizer'].update(lr=0., momentum=0.)
        """)
    text = config.read_text() + f'\nload_from = {str(tmp_path / "hf/model.safetensors")!r}\n'
    config.write_text(text)
    status, said = train(config, '--work-dir', tmp_path / 'run')
    assert status == 0, said
    trained = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)['state_dict']
    for key, value in net.state_dict().items():
        if 'running' not in key and 'tracked' not in key:  # the learning rate is 0
            assert torch.equal(trained[f'backbone.{key}'], value), key
            assert torch.equal(trained[f'encoder_k.module.0.{key}'], value), key

    status, said = command(
        monkeypatch,
        capsys,
        tmp_path / 'run/epoch_1.pth',
        '--to',
        'mmseg',
        tmp_path / 'mmseg',
        '--branch',
        'teacher',
    )
    assert status == 0 and said.err == ''
    line = f"init_cfg = dict(type='Pretrained', checkpoint='{tmp_path}/mmseg/backbone.pth')"
    assert line in said.out and 'teacher of MoCo' in said.out
    metadata = json.loads((tmp_path / 'mmseg' / METADATA).read_text())
    assert metadata['source']['branch'] == 'teacher' and metadata['source']['epoch'] == 1
    assert 'base_channels=4' in metadata['source']['config']
    weights = torch.load(tmp_path / 'mmseg/backbone.pth', weights_only=True)['state_dict']
    assert torch.equal(weights['bn1.running_mean'], trained['encoder_k.module.0.bn1.running_mean'])


# --------------------------------------------------------- branches and methods
DINO = dict(
    type='mssl_plugins.DINO',
    backbone=vit(),
    head=dict(
        type='mssl_plugins.DINOHead',
        in_channels=48,
        out_channels=8,
        hidden_channels=8,
        bottleneck_channels=4,
    ),
)
MOCO = dict(
    type='mssl_plugins.MoCo',
    queue_len=8,
    feat_dim=4,
    backbone=resnet(base_channels=4, stem_channels=4),
    neck=dict(
        type='mmpretrain.MoCoV2Neck',
        in_channels=32,
        hid_channels=8,
        out_channels=4,
        with_avg_pool=True,
    ),
    head=dict(type='mmpretrain.ContrastiveHead', loss=dict(type='mmpretrain.CrossEntropyLoss')),
)


def trained(tmp_path, config, **kwargs):
    """A checkpoint of a model whose teacher has moved off its student."""
    model = shaken(MODELS.build(config))
    for name, buffer in model.named_buffers():
        if name.endswith('.steps'):
            buffer += 1
    return model, save(tmp_path / 'model.pth', config, model.state_dict(), **kwargs)


@pytest.mark.parametrize(
    'config, default, teacher',
    [(DINO, 'teacher', 'teacher.module.backbone.'), (MOCO, 'student', 'encoder_k.module.0.')],
)
def test_branches(tmp_path, config, default, teacher):
    model, path = trained(tmp_path, config, epoch=4, iter=17)
    state = model.state_dict()
    for branch in ('student', 'teacher', None):
        found = read(path, branch)
        prefix = 'backbone.' if (branch or default) == 'student' else teacher
        assert found.source['branch'] == (branch or default)
        for key, value in found.weights.items():
            assert torch.equal(value, state[prefix + key]), key
        assert not any(k.startswith(('mask_token', 'head', 'neck')) for k in found.weights)
    done = export(path, 'timm' if config is DINO else 'hf', tmp_path / 'out')
    source = done['source']
    assert source['method'] == config['type'].split('.')[-1]
    assert (source['epoch'], source['iter']) == (4, 17)
    assert source['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source['file'] == 'model.pth'
    assert model_in(source['config'])['model']['backbone']['type'] == config['backbone']['type']
    assert (tmp_path / 'out' / done['weights']).is_file()


def test_whose_weights_a_model_starts_from(tmp_path):
    own = MODELS.build(DINO).state_dict()
    theirs = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, mlp_ratio=2
    )
    found = for_model(dino_published(shaken(theirs)), own)  # the teacher's
    for key, value in found.items():
        assert key.startswith('backbone.') and own[key].shape == value.shape
    assert found['backbone.ln1.weight'].equal(theirs.norm.weight)
    assert {f'backbone.{k}' for k in MODELS.build(DINO).backbone.state_dict()} - set(found) == {
        'backbone.mask_token'
    }
    assert for_model(dict(state_dict={f'module.{k}': v for k, v in own.items()}), own) is None
    assert for_model(dict(state_dict={'a.weight': torch.ones(1)}), own) is None
    assert for_model(dict(epoch=3), own) is None


def test_a_missing_norm_is_missed(made, tmp_path):
    """Detectron2's ViT ends without one: what it has is no whole ViT of ours."""
    export(made('vit')[0], 'detectron2', tmp_path / 'd2')
    with pytest.raises(ValueError, match='missing: ln1.weight, ln1.bias'):
        export(tmp_path / 'd2', 'mmpretrain', tmp_path / 'out')


def test_default_branches():
    assert default_branch({}, 'MST') == default_branch({}, 'DINO') == 'teacher'
    assert {default_branch({}, m) for m in ('MAE', 'ASL', 'BYOL', 'MaskCo', 'SimSiam', None)} == {
        'student'
    }


def test_a_teacher_that_never_moved_is_refused(tmp_path):
    model = MODELS.build(DINO)
    path = save(tmp_path / 'new.pth', DINO, model.state_dict())
    with pytest.raises(ValueError, match='was never updated: take --branch student'):
        export(path, 'timm', tmp_path / 'out')
    export(path, 'timm', tmp_path / 'out', 'student')


def test_masks_that_are_needed_are_named(tmp_path):
    """Phase 1 says so; the student of phase 2 goes out."""
    phase1 = dict(
        DINO, type='mssl_plugins.MaskGuidedDINO', backbone=vit(mask_bias=dict(positive=True))
    )
    path = trained(tmp_path, phase1)[1]
    for target in TARGETS:
        with pytest.raises(ValueError, match=r'phase 1 .*masks .*mask_bias.a.0.*\(phase 2\)'):
            export(path, target, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()

    phase2 = dict(
        DINO, type='mssl_plugins.MaskGuidedDINODistill', teacher=dict(checkpoint=str(path))
    )
    model = shaken(MODELS.build(phase2))
    second = save(tmp_path / 'phase2.pth', phase2, model.state_dict())
    x = torch.randn(2, 3, 32, 32)
    done = export(second, 'timm', tmp_path / 'out')
    assert done['source']['branch'] == 'student'
    net = timm.create_model(f'local-dir:{tmp_path / "out"}', pretrained=True).eval()
    with torch.no_grad():
        close(net.forward_features(x), model.backbone.forward_tokens(x))
    with pytest.raises(ValueError, match='phase 1'):
        export(second, 'timm', tmp_path / 'x', 'teacher')

    for key, value in (state := torch.load(path)['state_dict']).items():
        if 'mask_bias' in key:
            value.zero_()  # as long as it is, f is the plain ViT
    export(save(path, phase1, state), 'timm', tmp_path / 'zero')


# ---------------------------------------------------------------- wrong inputs
def test_wrong_names(made, tmp_path, monkeypatch, capsys):
    path = made('vit')[0]
    status, said = command(monkeypatch, capsys, path, '--to', 'timmm', tmp_path / 'out')
    assert status and said.err.count('\n') == 1 and "did you mean 'timm'" in said.err
    with pytest.raises(ValueError, match="unknown target 'timmm'.*did you mean 'timm'"):
        export(path, 'timmm', tmp_path / 'out')
    with pytest.raises(ValueError, match="unknown branch 'techer'.*did you mean 'teacher'"):
        export(path, 'timm', tmp_path / 'out', 'techer')
    with pytest.raises(ValueError, match='no teacher backbone'):
        export(path, 'timm', tmp_path / 'out', 'teacher')
    with pytest.raises(FileNotFoundError, match='no such checkpoint'):
        export(tmp_path / 'nothing.pth', 'timm', tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='no model.safetensors and no backbone.pth'):
        export(tmp_path / 'empty', 'timm', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda s: {'neck.fc.weight': torch.ones(2)}, 'no ViT and no ResNet: the keys are'),
        (lambda s: {}, 'holds no weights'),
        (
            lambda s: {k: v for k, v in s.items() if 'layers.1.ln2' not in k},
            'missing: layers.1.ln2.weight',
        ),
        (lambda s: {**s, 'backbone.reg_token': torch.ones(2)}, 'unexpected: reg_token'),
        (
            lambda s: {**s, 'backbone.layers.1.ln2.bias': torch.ones(3)},
            r'another shape: layers.1.ln2.bias \(3,\) instead of \(48,\)',
        ),
    ],
)
def test_what_is_no_backbone_is_said(made, tmp_path, change, message):
    checkpoint = torch.load(made('vit')[0], weights_only=True)
    checkpoint['state_dict'] = change(checkpoint['state_dict'])
    torch.save(checkpoint, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=message):
        export(tmp_path / 'a.pth', 'timm', tmp_path / 'out')
    assert os.listdir(tmp_path) == ['a.pth']


def test_what_the_weights_do_not_tell_is_asked_for(made, tmp_path):
    checkpoint = torch.load(made('vit')[0], weights_only=True)
    torch.save(checkpoint['state_dict'], tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match='no standard number of heads.*--config'):
        export(tmp_path / 'bare.pth', 'mmpretrain', tmp_path / 'out')
    (tmp_path / 'c.py').write_text(checkpoint['meta']['cfg'])
    done = export(
        tmp_path / 'bare.pth', 'mmpretrain', tmp_path / 'out', config=str(tmp_path / 'c.py')
    )
    assert done['architecture'] == read(made('vit')[0]).config
    other = checkpoint['meta']['cfg'].replace('embed_dims=48', 'embed_dims=96')
    (tmp_path / 'c.py').write_text(other)
    with pytest.raises(ValueError, match='another one than the weights.*96 instead of 48'):
        export(tmp_path / 'bare.pth', 'timm', tmp_path / 'o', config=str(tmp_path / 'c.py'))
    small = torch.load(made('resnet_small')[0], weights_only=True)['state_dict']
    torch.save(small, tmp_path / 'small.pth')
    with pytest.raises(ValueError, match='another stem than 7 x 7.*--config'):
        export(tmp_path / 'small.pth', 'mmpretrain', tmp_path / 'o')
    with pytest.raises(ValueError, match="is a mmpretrain.Swin.*weights are a ViT's"):
        checkpoint['meta']['cfg'] = "model = dict(backbone=dict(type='mmpretrain.Swin'))"
        torch.save(checkpoint, tmp_path / 'swin.pth')
        export(tmp_path / 'swin.pth', 'timm', tmp_path / 'o')


def test_a_config_in_a_checkpoint_is_not_run(tmp_path):
    trap = f"model = dict(backbone=open({str(tmp_path / 'made')!r}, 'w'))"
    with pytest.raises(ValueError, match='cannot be read: name one with --config'):
        model_in(trap)
    assert not (tmp_path / 'made').exists()
    assert model_in('x = f()\nmodel = dict(a=[-1, (2.5, None)], b={"c.d": True})') == dict(
        model=dict(a=[-1, [2.5, None]], b={'c.d': True})
    )


def test_a_folder_is_complete_or_not_there(made, tmp_path, monkeypatch):
    path, out = made('vit')[0], tmp_path / 'out'
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.txt').write_text('')
    with pytest.raises(ValueError, match='exists and is no export'):
        export(path, 'timm', tmp_path / 'mine', overwrite=True)
    export(path, 'timm', out)
    assert len({(out / name).stat().st_mode for name in os.listdir(out)}) == 1
    with pytest.raises(ValueError, match='export already.*--overwrite'):
        export(path, 'hf', out)

    def full(*args, **kwargs):
        raise OSError('No space left on device')

    with monkeypatch.context() as m:
        m.setattr(torch, 'save', full)
        for place in (out, tmp_path / 'new'):
            with pytest.raises(OSError, match='No space'):
                export(path, 'mmseg', place, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ['mine', 'out']
    assert json.loads((out / METADATA).read_text())['target'] == 'timm'
    export(path, 'mmseg', out, overwrite=True)
    assert sorted(os.listdir(out)) == ['backbone.pth', METADATA]
    assert sorted(os.listdir(tmp_path)) == ['mine', 'out']


def test_the_page_shows_what_there_is():
    page = (ROOT / 'docs/export.md').read_text()
    source = (ROOT / 'mssl_plugins/commands/export.py').read_text()
    shown = [
        line
        for line in page.replace('\\\n', ' ').splitlines()
        if line.startswith('python tools/export.py')
    ]
    assert {shlex.split(line)[shlex.split(line).index('--to') + 1] for line in shown} == set(ALL)
    for line in shown:
        for word in shlex.split(line)[2:]:
            assert not word.startswith('--') or f"'{word}'" in source, line
