"""Registers, rotary positions and SwiGLU in timm's and the authors' forms; what does not fit."""

import re

import pytest
import timm
import torch
from mmengine.registry import init_default_scope

from mssl_plugins.checkpoints.loading import load_backbone
from mssl_plugins.checkpoints.reader import read
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.models.backbones import ViT, ViTDet
from mssl_plugins.models.readout import read_layers

DIM, HEADS, SIDE = 96, 3, 4  # patches a side
SMALL = dict(embed_dim=DIM, depth=2, num_heads=HEADS, num_classes=0)
#: timm's name, its arguments, the patch, and what builds the same here
FORMS = dict(
    registers=(
        'vit_small_patch14_reg4_dinov2',
        dict(dynamic_img_size=True),
        14,
        dict(registers=4),
    ),
    giant=(
        'vit_giant_patch14_dinov2',
        dict(dynamic_img_size=True, mlp_ratio=128 / 96),
        14,
        dict(layer_cfgs=dict(ffn_type='swiglu')),
    ),
    dinov3=('vit_small_patch16_dinov3', {}, 16, dict(registers=4, rope=dict(base=100.0))),
    dinov3_biased=('vit_small_patch16_dinov3_qkvb', {}, 16, dict(registers=4, rope=dict())),
    dinov3_plus=(
        'vit_small_plus_patch16_dinov3_qkvb',
        {},
        16,
        dict(registers=4, rope=dict(), layer_cfgs=dict(ffn_type='swiglu')),
    ),
)


def shaken(net, seed=0):
    """Every parameter off its default: scales, biases, tokens."""
    torch.manual_seed(seed)
    for name, p in net.named_parameters():
        p.data += (0.3 if 'gamma' in name else 0.1) * torch.randn_like(p)
    return net.eval()


def close(found, wanted):
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() / wanted.abs().max() < 1e-5
    assert (wanted[0] - wanted[1]).abs().max() > 0.01  # and they tell images apart


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """For each form timm's network, its file and a config that builds ours."""
    folder = tmp_path_factory.mktemp('forms')

    def make(form, **changes):
        name, args, patch, ours = FORMS[form]
        net = shaken(timm.create_model(name, **{**SMALL, **args}, img_size=SIDE * patch))
        path = folder / f'{form}.pth'
        torch.save(net.state_dict(), path)
        hidden = 64 if form == 'giant' else net.blocks[0].mlp.fc2.in_features
        arch = dict(embed_dims=DIM, num_layers=2, num_heads=HEADS, feedforward_channels=hidden)
        given = dict(
            arch=arch,
            img_size=SIDE * patch,
            patch_size=patch,
            layer_scale_init_value=1e-5,
            qkv_bias=net.blocks[0].attn.qkv.bias is not None
            or getattr(net.blocks[0].attn, 'q_bias', None) is not None,
            norm_cfg=dict(type='LN', eps=1e-5 if 'rope' in ours else 1e-6),
            **ours,
        )
        config = folder / f'{form}.py'
        config.write_text(f'model = dict(backbone=dict(type="mssl_plugins.ViT", **{given!r}))\n')
        return net, path, config, given

    return make


def published(net, form):
    """timm's weights as DINOv2's and DINOv3's authors name them."""
    state, own = net.state_dict(), {}
    for key, value in state.items():
        key = key.replace('gamma_1', 'ls1.gamma').replace('gamma_2', 'ls2.gamma')
        key = key.replace('mlp.fc1_g', 'mlp.w1').replace('mlp.fc1_x', 'mlp.w2')
        if form == 'dinov3_plus':
            key = key.replace('mlp.fc2', 'mlp.w3')
        if form == 'giant':
            key = key.replace('mlp.fc1', 'mlp.w12').replace('mlp.fc2', 'mlp.w3')
        own[key] = value
    if form in ('registers', 'giant'):
        if form == 'registers':  # the class token has a position there
            place = torch.randn(1, 1, DIM)
            own['register_tokens'] = own.pop('reg_token')
            own['cls_token'] = own['cls_token'] - place
            own['pos_embed'] = torch.cat([place, own['pos_embed']], 1)
        return {**own, 'mask_token': torch.ones(1, DIM)}
    own['storage_tokens'] = own.pop('reg_token')
    for key in [k for k in own if k.endswith('q_bias')]:
        q, v = own.pop(key), own.pop(key.replace('q_bias', 'v_bias'))
        name = key.replace('q_bias', 'qkv.bias')
        own[name] = torch.cat([q, torch.ones_like(q), v])  # the mask takes the ones off
        own[name + '_mask'] = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(DIM)
    n = DIM // HEADS // 4
    return {
        **own,
        'rope_embed.periods': 100 ** (torch.arange(n) / n),
        'mask_token': torch.ones(1, DIM),
        'local_cls_norm.weight': torch.ones(DIM),
        'local_cls_norm.bias': torch.ones(DIM),
    }


@pytest.mark.parametrize('own', [False, True], ids=['timm', 'own'])
@pytest.mark.parametrize('form', FORMS)
@torch.no_grad()
def test_features_are_theirs(made, form, own, tmp_path):
    """At the weights' own and at other sizes, not square ones among them."""
    net, path, config, given = made(form)
    if own:
        path = tmp_path / 'own.pth'
        torch.save(published(net, form), path)
    init_default_scope('mmpretrain')
    found = FrozenBackbone(str(path), config=str(config))
    assert found.native == given['img_size']
    assert found.config.get('registers', 0) == given.get('registers', 0)
    backbone, patch, extra = found.model.backbone, given['patch_size'], net.num_prefix_tokens
    loaded = ViT(**given)
    backbone.eval(), loaded.eval()
    report = load_backbone(loaded, path)
    assert set(report.missing) <= {'rope.periods'}
    for rows, columns in ((SIDE, SIDE), (6, 3), (2, 5)):
        x = torch.randn(2, 3, rows * patch, columns * patch)
        wanted = net.forward_features(x)
        kinds = read_layers(backbone, x, ['cls', 'patches', 'avg'])
        close(kinds['cls'], wanted[:, 0])
        close(kinds['patches'].view(2, rows * columns, DIM), wanted[:, extra:])
        close(kinds['avg'], wanted[:, extra:].mean(1))
        close(loaded.forward_tokens(x), torch.cat([wanted[:, :1], wanted[:, extra:]], 1))


@torch.no_grad()
def test_periods_come_from_the_file(made, tmp_path):
    """DINOv3's own files hold them; other ones turn patches by other angles."""
    net, _, config, _ = made('dinov3')
    state = published(net, 'dinov3')
    init_default_scope('mmpretrain')
    torch.save(state, tmp_path / 'a.pth')
    state['rope_embed.periods'] = 30 ** (torch.arange(8) / 8)
    torch.save(state, tmp_path / 'b.pth')
    config = tmp_path / 'no_config.py'
    config.write_text('')
    x, found = torch.randn(2, 3, 64, 64), []
    for name in 'ab':
        frozen = FrozenBackbone(str(tmp_path / f'{name}.pth'))  # heads by the periods
        frozen.model.eval()
        found.append((frozen.config, read_layers(frozen.model.backbone, x, ['cls'])['cls']))
    assert [c['rope']['base'] for c, _ in found] == pytest.approx([100, 30], abs=1e-3)
    assert [c['arch']['num_heads'] for c, _ in found] == [HEADS] * 2
    close(found[0][1], net.forward_features(x)[:, 0])
    assert (found[0][1] - found[1][1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    'name, heads',
    [('vit_small_patch16_dinov3', 6), ('vit_huge_plus_patch16_dinov3', 20)],
)
def test_heads_of_the_published_sizes(name, heads, tmp_path):
    with torch.device('meta'):
        net = timm.create_model(name, num_classes=0)
    state = {k: torch.zeros(1).expand(v.shape) for k, v in net.state_dict().items()}
    torch.save(state, tmp_path / 'net.pth')
    found = read(tmp_path / 'net.pth').config
    assert found['arch']['num_heads'] == heads and found['norm_cfg']['eps'] == 1e-5
    assert found['rope'] == dict(base=100.0) and found['qkv_bias'] is False


@pytest.mark.parametrize(
    'form, change, words',
    [
        ('registers', dict(registers=0), 'have 4 register tokens, this network has 0.*registers=4'),
        ('registers', dict(registers=2), 'have 4 register tokens, this network has 2'),
        ('giant', dict(registers=3), 'have 0 register tokens, this network has 3'),
        ('giant', dict(layer_cfgs={}), 'have a SwiGLU MLP, .*layer_cfgs=dict'),
        ('registers', dict(layer_cfgs=dict(ffn_type='swiglu')), 'network has a SwiGLU MLP'),
        ('registers', dict(layer_scale_init_value=0.0), 'have layer scale, .*1e-5'),
        ('dinov3', dict(rope=None), 'have rotary positions, .*build it with rope=dict'),
        ('registers', dict(rope=dict()), 'network has rotary positions, the weights have not'),
    ],
)
def test_a_part_that_does_not_fit_is_named(made, form, change, words):
    _, path, _, given = made(form)
    with pytest.raises(ValueError, match=words):
        load_backbone(ViT(**{**given, **change}), path)


def test_a_detector_leaves_registers_out(made):
    """Windows have no place for them, as for the class token."""
    _, path, _, given = made('dinov3')
    given = {k: v for k, v in given.items() if k != 'registers'}
    net = ViTDet(**given, window_size=2, global_blocks=1, rel_pos=False)
    report = load_backbone(net, path)
    assert report.missing == ['rope.periods']
    assert sorted(report.unexpected) == ['cls_token', 'ln1.bias', 'ln1.weight', 'register_tokens']
    with pytest.raises(ValueError, match='ViTDet has registers=0, got 4'):
        ViTDet(**given, registers=4)


@torch.no_grad()
def test_a_detectors_windows_keep_their_places(made):
    """Tokens are turned by their place in the whole map, windows or not."""
    _, path, config, given = made('dinov3_biased')
    weights = read(path, config=str(config)).weights
    given = {k: v for k, v in given.items() if k != 'registers'}

    def loaded(net):
        net.load_state_dict({k: weights[k] for k in net.state_dict()})
        net.eval()
        return net

    plain = loaded(ViT(**given, with_cls_token=False, out_type='featmap', final_norm=False))
    x, windows = torch.randn(2, 3, 64, 96), torch.arange(24).view(4, 6) % 6 // 4  # columns 4 + 2
    apart = windows.flatten()[:, None] != windows.flatten()
    relation = torch.zeros(24, 24).masked_fill(apart, -torch.inf)[None, None]
    for window, args in ((0, {}), (6, {}), (4, dict(relation=relation))):
        net = loaded(ViTDet(**given, rel_pos=False, global_blocks=0, window_size=window))
        close(net(x)[-1].flatten(2).transpose(1, 2), plain.forward_tokens(x, **args))
    assert (plain.forward_tokens(x, relation=relation) - plain.forward_tokens(x)).abs().max() > 0.01


@pytest.mark.parametrize(
    'keys, words',
    [
        (dict(rope_freqs='rope.freqs'), r'learned rotary frequencies, .*\(rope.freqs\)'),
        (dict(norm='cls_norm.weight'), r'a norm of its own for the class token'),
        (dict(q='blocks.0.attn.q_norm.weight'), 'norms of queries and keys'),
    ],
)
def test_unknown_parts_are_named(made, keys, words, tmp_path):
    state = made('dinov3')[0].state_dict()
    torch.save({**state, **{k: torch.ones(4) for k in keys.values()}}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=words + '.*DINOv2 and DINOv3 are read'):
        read(tmp_path / 'other.pth')


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda s: s.pop('reg_token'), 'no register tokens: of its networks only DINOv3'),
        (lambda s: s.update(pos_embed=torch.ones(1, 16, DIM)), 'with position embeddings: of'),
    ],
)
def test_other_evas_are_refused(made, change, words, tmp_path):
    state = made('dinov3')[0].state_dict()
    change(state)
    torch.save(state, tmp_path / 'eva.pth')
    with pytest.raises(ValueError, match=words):
        read(tmp_path / 'eva.pth')


def test_a_config_of_other_parts_is_refused(made, tmp_path):
    _, path, config, given = made('dinov3')
    for change in (dict(registers=2), dict(registers=0)):
        config.write_text(
            f'model = dict(backbone=dict(type="mssl_plugins.ViT", **{dict(given, **change)!r}))\n'
        )
        with pytest.raises(ValueError, match=re.escape(f'has {change["registers"]} registers')):
            read(path, config=str(config))
