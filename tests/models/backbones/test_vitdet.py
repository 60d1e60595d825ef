"""ViTDet's backbone against loops over tokens in float64, and what it refuses."""

import math
import re

import pytest
import torch
from torch import nn

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmseg', reason='needs mmseg: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')
from helpers.dense import plain, randomize, save, vitdet
from mssl_plugins.checkpoints.loading import load_backbone
from mssl_plugins.engine.hooks.load_backbone_hook import load_pretrained
from mssl_plugins.models.backbones.vitdet import relative_table


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


def test_missing_key_of_a_vit_stops(tmp_path):
    state = {
        f'backbone.{k}': v for k, v in plain().state_dict().items() if k != 'layers.1.ln2.bias'
    }
    torch.save(dict(state_dict=state), tmp_path / 'c.pth')
    with pytest.raises(ValueError, match='missing: layers.1.ln2.bias'):
        load_pretrained(nn.ModuleDict(dict(backbone=vitdet())), tmp_path / 'c.pth')
