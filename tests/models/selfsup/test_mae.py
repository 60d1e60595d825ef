"""MAE against mmpretrain's decoder and loops over patches and pixels."""

import math

import numpy as np
import pytest
import torch
from mmpretrain.models import MAEPretrainDecoder, VisionTransformer
from mmpretrain.models.utils import build_2d_sincos_position_embedding

from helpers.mae import (
    ARCH,
    DIM,
    GRID,
    LENGTH,
    PATCH,
    SIZE,
    WIDTH,
    B,
    build,
    config,
    images,
    slow_loss,
    slow_prediction,
)
from mssl_plugins.models.layers.patches import patchify, take, unpatchify
from mssl_plugins.models.masking import random_keep, token_indices
from mssl_plugins.registry import MODELS


@pytest.mark.parametrize('norm_pix', [True, False])
def test_loss_is_the_masked_patches_squared_error(norm_pix):
    model, x = build(norm_pix=norm_pix), images()
    torch.manual_seed(5)
    loss = model.loss([x])['loss_mae']
    torch.manual_seed(5)
    keep, masked = model.sample_mask(x)
    expected = slow_loss(slow_prediction(model, x, keep, masked), x, masked, norm_pix)
    assert abs(loss.item() - expected) < 1e-10


def test_gradients_are_those_of_mmpretrains_decoder():
    model, x = build(), images()
    torch.manual_seed(5)
    model.loss([x])['loss_mae'].backward()
    grads = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    keep, masked = model.sample_mask(x)
    prediction = take(slow_prediction(model, x, keep, masked), masked)
    (prediction - model.target(x, masked)).pow(2).mean().backward()
    slow = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    assert set(grads) == set(slow)
    for key in grads:
        torch.testing.assert_close(grads[key], slow[key])


def test_keys_are_mmpretrains():
    model = build().state_dict()
    vit = VisionTransformer(arch=ARCH, img_size=SIZE, patch_size=PATCH, out_type='raw')
    decoder = MAEPretrainDecoder(
        num_patches=LENGTH,
        patch_size=PATCH,
        embed_dim=DIM,
        decoder_embed_dim=WIDTH,
        decoder_depth=2,
        decoder_num_heads=2,
    )
    theirs = {
        **{f'backbone.{k}': v for k, v in vit.state_dict().items()},
        **{f'neck.{k}': v for k, v in decoder.state_dict().items()},
    }
    assert {k: v.shape for k, v in theirs.items()} == {
        k: v.shape for k, v in model.items() if not k.startswith('data_preprocessor.')
    }


def test_position_embeddings_are_sines_that_stay():
    model = build()
    place = build_2d_sincos_position_embedding(GRID, DIM, cls_token=True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.loss([images()])['loss_mae'].backward()
    optimizer.step()
    assert torch.equal(model.backbone.pos_embed, place.double())
    assert torch.equal(
        model.neck.decoder_pos_embed,
        build_2d_sincos_position_embedding(GRID, WIDTH, cls_token=True).double(),
    )


# --------------------------------------------------------- grids of any shape
def slow_code(index, dim):
    """Sines, then cosines, of one coordinate at dim / 4 frequencies."""
    frequencies = [1 / 10000 ** (i / (dim // 4)) for i in range(dim // 4)]
    return [math.sin(index * f) for f in frequencies] + [math.cos(index * f) for f in frequencies]


@pytest.mark.parametrize('grid', [(4, 4), (2, 8), (4, 8), (8, 2), (1, 3)])
def test_every_token_has_the_code_of_its_row_and_of_its_column(grid):
    h, w = grid
    vit = dict(
        type='mssl_plugins.ViT', arch=ARCH, img_size=(h * PATCH, w * PATCH), patch_size=PATCH
    )
    neck = dict(config()['neck'], num_patches=grid)
    model = MODELS.build(dict(config(), backbone=vit, neck=neck, mask_ratio=0.5))
    model.init_weights()
    for table, dim in ((model.backbone.pos_embed, DIM), (model.neck.decoder_pos_embed, WIDTH)):
        assert table.shape == (1, 1 + h * w, dim) and not table.requires_grad
        assert (table[0, 0] == 0).all()
        for row in range(h):
            for column in range(w):
                code = slow_code(row, dim) + slow_code(column, dim)
                assert table[0, 1 + row * w + column].tolist() == pytest.approx(code, abs=1e-6)


@pytest.mark.parametrize('grid', [(2, 8), (4, 8)])
def test_a_wide_model_is_that_of_loops(grid):
    """Loss, masked images and mask of a grid that is no square."""
    h, w = grid
    cfg = config(mask_unit=2)
    cfg['backbone']['img_size'] = (h * PATCH, w * PATCH)
    cfg['neck']['num_patches'] = grid
    model = MODELS.build(cfg)
    model.init_weights()
    model.double()
    x = torch.randn(B, 3, h * PATCH, w * PATCH, dtype=torch.float64)
    torch.manual_seed(5)
    loss = model.loss([x])['loss_mae']
    torch.manual_seed(5)
    keep, masked = model.sample_mask(x)
    prediction = slow_prediction(model, x, keep, masked)
    assert abs(loss.item() - slow_loss(prediction, x, masked, columns=w)) < 1e-10
    torch.manual_seed(5)
    shown, mask = model.reconstruct([x])
    assert shown.shape == x.shape and torch.equal(shown.where(~mask, x), x)
    for b in range(B):
        for i in range(h * w):
            r, c = (v * PATCH for v in divmod(i, w))
            assert (mask[b, 0, r : r + PATCH, c : c + PATCH] == (i in masked[b].tolist())).all()


def test_a_decoder_of_another_grid_is_refused():
    cfg = config()
    cfg['backbone']['img_size'] = (2 * PATCH, 8 * PATCH)  # as many patches as 4 x 4
    with pytest.raises(ValueError, match=r'4 x 4 patches.*2 x 8.*num_patches=\(2, 8\)'):
        MODELS.build(cfg)
    with pytest.raises(ValueError, match='num_patches=32 is no square'):
        MODELS.build(dict(cfg['neck'], num_patches=32))


def test_masked_positions_stay_float32_under_autocast():
    """bfloat16 keeps 8 bits of a sine; the positions need not be rounded to it."""
    model, seen = build().float(), []
    model.neck.decoder_blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = images().float()
    torch.manual_seed(5)
    keep, masked = model.sample_mask(x)
    tokens = torch.randn(B, 1 + keep.shape[1], DIM)
    with torch.autocast('cpu', torch.bfloat16):
        model.neck(tokens, keep, masked)
    pos_embed = model.neck.decoder_pos_embed[0]
    for b in range(B):
        for i, m in enumerate(masked[b].tolist()):
            hidden = model.neck.mask_token[0, 0] + pos_embed[1 + m]
            assert torch.equal(seen[0][b, 1 + keep.shape[1] + i], hidden)


def test_a_pretrained_backbone_is_kept(tmp_path):
    first = build().backbone
    first.patch_embed.projection.weight.data.fill_(3)
    torch.save(first.state_dict(), tmp_path / 'vit.pth')
    cfg = config()
    cfg['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth'))
    model = MODELS.build(cfg)
    model.init_weights()
    assert (model.backbone.patch_embed.projection.weight == 3).all()
    model.init_weights()  # a second call changes nothing, as in MMEngine
    assert (model.backbone.patch_embed.projection.weight == 3).all()


def test_patches_are_cut_row_by_row_and_put_back():
    x = images()
    patches = patchify(x, PATCH)
    for b in range(B):
        for i in range(LENGTH):
            r, c = (v * PATCH for v in divmod(i, GRID))
            cut = x[b, :, r : r + PATCH, c : c + PATCH].permute(1, 2, 0).flatten()
            assert torch.equal(patches[b, i], cut)
    assert torch.equal(unpatchify(patches, PATCH, (GRID, GRID)), x)


@pytest.mark.parametrize(
    'grid, ratio, unit, kept',
    [
        ((14, 14), 0.75, 1, 49),
        ((8, 8), 0.75, 1, 16),
        ((28, 28), 0.75, 2, 196),
        ((2, 5), 0.9, 1, 1),
        ((4, 4), 0.5, 2, 8),
        ((2, 8), 0.5, 2, 8),
        ((6, 4), 0.5, 2, 12),
    ],
)
def test_masks_keep_equally_many(grid, ratio, unit, kept):
    keep, mask = random_keep(50, grid, ratio, unit)
    assert mask.dtype == torch.bool and keep.shape == (50, kept)
    for row, where in zip(mask, keep):
        assert where.tolist() == [i for i in range(len(row)) if not row[i]]
    if unit > 1:
        h, w = grid
        cells = mask.view(50, h // unit, unit, w // unit, unit).transpose(2, 3).flatten(3)
        assert (cells.all(-1) | ~cells.any(-1)).all()


def test_masks_are_uniform_and_follow_the_seed():
    torch.manual_seed(3)
    first = random_keep(20000, (4, 4), 0.75)[1]
    torch.manual_seed(3)
    assert torch.equal(first, random_keep(20000, (4, 4), 0.75)[1])
    # 5 standard deviations of a fraction of 20,000
    assert (first.double().mean(0) - 0.75).abs().max() < 5 * math.sqrt(0.75 * 0.25 / 20000)
    assert (token_indices(first, 12).numpy() == np.stack([np.flatnonzero(m) for m in first])).all()


@pytest.mark.parametrize(
    'grid, ratio, unit',
    [
        ((4, 4), 0.0, 1),
        ((4, 4), 1.0, 1),
        ((4, 4), 0.99, 1),
        ((3, 5), 0.5, 2),
        ((5, 5), 0.5, 2),
        ((4, 4), 0.5, 0),
        ((4, 5), 0.5, 2),
    ],
)
def test_impossible_masks_are_refused(grid, ratio, unit):
    with pytest.raises(ValueError, match='mask'):
        random_keep(1, grid, ratio, unit)


def test_wrong_use_is_named():
    model = build()
    with pytest.raises(ValueError, match='takes 1 view, got 2'):
        model.loss([images(), images()])
    with pytest.raises(ValueError, match='built for 8 x 8 px'):
        model.loss([images()[..., 2:]])
    cfg = config()
    cfg['neck']['num_patches'] = 196
    with pytest.raises(ValueError, match='num_patches=16, patch_size=2, embed_dim=16'):
        MODELS.build(cfg)


def test_loss_is_float32_under_autocast():
    model, x = build().float(), images().float()
    with torch.autocast('cpu', torch.bfloat16):
        torch.manual_seed(5)
        mixed = model.loss([x])['loss_mae']
    torch.manual_seed(5)
    plain = model.loss([x])['loss_mae']
    assert mixed.dtype == torch.float32
    assert abs(mixed - plain) < 0.02 * plain


def test_reconstruction_shows_the_image_where_it_was_seen():
    model, x = build(), images()
    torch.manual_seed(5)
    image, mask = model.reconstruct([x])
    torch.manual_seed(5)
    keep, masked = model.sample_mask(x)
    assert mask.shape == (B, 1, SIZE, SIZE) and mask.dtype == torch.bool
    assert mask.double().mean() == 0.75
    assert torch.equal(image.where(~mask, x), x)
    # masked patches carry the true mean and deviation of the prediction's unit
    true, guess = (take(patchify(p, PATCH), masked) for p in (x, image))
    var, mean = torch.var_mean(true, -1, keepdim=True)
    expected = take(slow_prediction(model, x, keep, masked), masked)
    torch.testing.assert_close((guess - mean) / (var + 1e-6).sqrt(), expected)


def test_image_of_a_reconstruction():
    from mssl_plugins.visualization.reconstruction import figure

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 2, SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.zeros((2, SIZE, SIZE), bool)
    mask[:, :PATCH] = True
    tile, gap, head = 5 * SIZE, 6, 22
    sheet = figure(a, mask, b, tile=tile)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (head + 2 * (tile + gap) + gap, 4 * (tile + gap) + gap, 3)

    def cell(row, column):  # back to one pixel a pixel
        y, x = head + gap + row * (tile + gap), gap + column * (tile + gap)
        return sheet[y : y + tile, x : x + tile][2::5, 2::5]

    for row in range(2):
        assert (cell(row, 0) == a[row]).all()
        assert (cell(row, 1)[PATCH:] == a[row, PATCH:]).all() and (
            cell(row, 1)[:PATCH] == 128
        ).all()
        assert (cell(row, 2) == b[row]).all()
        assert (cell(row, 3) == np.where(mask[row, ..., None], b[row], a[row])).all()
    with pytest.raises(ValueError, match='one shape'):
        figure(a, mask, b[:1])
