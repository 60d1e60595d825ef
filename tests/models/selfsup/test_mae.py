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
from mssl_plugins.models.masking import random_keep, token_indices
from mssl_plugins.models.selfsup.mae import patchify, take, unpatchify
from mssl_plugins.registry import MODELS


@pytest.mark.parametrize('norm_pix', [True, False])
def test_loss_is_the_masked_patches_squared_error(norm_pix):
    model, x = build(norm_pix=norm_pix), images()
    torch.manual_seed(5)
    loss = model.loss([x])['loss_mae']
    torch.manual_seed(5)
    keep, masked = model.draw(x)
    expected = slow_loss(slow_prediction(model, x, keep, masked), x, masked, norm_pix)
    assert abs(loss.item() - expected) < 1e-10


def test_gradients_are_those_of_mmpretrains_decoder():
    model, x = build(), images()
    torch.manual_seed(5)
    model.loss([x])['loss_mae'].backward()
    grads = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    keep, masked = model.draw(x)
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
        num_patches=LENGTH, patch_size=PATCH, embed_dim=DIM, decoder_embed_dim=WIDTH,
        decoder_depth=2, decoder_num_heads=2)
    theirs = {**{f'backbone.{k}': v for k, v in vit.state_dict().items()},
              **{f'neck.{k}': v for k, v in decoder.state_dict().items()}}
    assert {k: v.shape for k, v in theirs.items()} == {
        k: v.shape for k, v in model.items() if not k.startswith('data_preprocessor.')}


def test_position_embeddings_are_sines_that_stay():
    model = build()
    place = build_2d_sincos_position_embedding(GRID, DIM, cls_token=True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=.1)
    model.loss([images()])['loss_mae'].backward()
    optimizer.step()
    assert torch.equal(model.backbone.pos_embed, place.double())
    assert torch.equal(model.neck.decoder_pos_embed,
                       build_2d_sincos_position_embedding(GRID, WIDTH, cls_token=True).double())


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
            cut = x[b, :, r:r + PATCH, c:c + PATCH].permute(1, 2, 0).flatten()
            assert torch.equal(patches[b, i], cut)
    assert torch.equal(unpatchify(patches, PATCH, (GRID, GRID)), x)


@pytest.mark.parametrize('length, ratio, unit, kept', [
    (196, .75, 1, 49), (64, .75, 1, 16), (784, .75, 2, 196), (10, .9, 1, 1), (16, .5, 2, 8)])
def test_masks_keep_equally_many(length, ratio, unit, kept):
    keep, mask = random_keep(50, length, ratio, unit)
    assert mask.dtype == torch.bool and keep.shape == (50, kept)
    for row, where in zip(mask, keep):
        assert where.tolist() == [i for i in range(length) if not row[i]]
    if unit > 1:
        side = math.isqrt(length)
        cells = mask.view(50, side // unit, unit, side // unit, unit).transpose(2, 3).flatten(3)
        assert (cells.all(-1) | ~cells.any(-1)).all()


def test_masks_are_uniform_and_follow_the_seed():
    torch.manual_seed(3)
    first = random_keep(20000, 16, .75)[1]
    torch.manual_seed(3)
    assert torch.equal(first, random_keep(20000, 16, .75)[1])
    # 5 standard deviations of a share of 20,000
    assert (first.double().mean(0) - .75).abs().max() < 5 * math.sqrt(.75 * .25 / 20000)
    assert (token_indices(first, 12).numpy() == np.stack([np.flatnonzero(m) for m in first])).all()


@pytest.mark.parametrize('length, ratio, unit', [(16, 0., 1), (16, 1., 1), (16, .99, 1),
                                                 (15, .5, 2), (25, .5, 2), (16, .5, 0)])
def test_impossible_masks_are_refused(length, ratio, unit):
    with pytest.raises(ValueError, match='mask'):
        random_keep(1, length, ratio, unit)


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
    assert abs(mixed - plain) < .02 * plain


def test_reconstruction_shows_the_image_where_it_was_seen():
    model, x = build(), images()
    torch.manual_seed(5)
    picture, mask = model.reconstruct([x])
    torch.manual_seed(5)
    keep, masked = model.draw(x)
    assert mask.shape == (B, 1, SIZE, SIZE) and mask.dtype == torch.bool
    assert mask.double().mean() == .75
    assert torch.equal(picture.where(~mask, x), x)
    # masked patches carry the true mean and deviation of the prediction's unit
    true, guess = (take(patchify(p, PATCH), masked) for p in (x, picture))
    var, mean = torch.var_mean(true, -1, keepdim=True)
    expected = take(slow_prediction(model, x, keep, masked), masked)
    torch.testing.assert_close((guess - mean) / (var + 1e-6).sqrt(), expected)


def test_picture_of_a_reconstruction():
    from mssl_plugins.visualization.reconstruction import picture
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 2, SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.zeros((2, SIZE, SIZE), bool)
    mask[:, :PATCH] = True
    tile, gap, head = 5 * SIZE, 6, 22
    sheet = picture(a, mask, b, tile=tile)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (head + 2 * (tile + gap) + gap, 4 * (tile + gap) + gap, 3)

    def cell(row, column):  # back to one pixel a pixel
        y, x = head + gap + row * (tile + gap), gap + column * (tile + gap)
        return sheet[y:y + tile, x:x + tile][2::5, 2::5]

    for row in range(2):
        assert (cell(row, 0) == a[row]).all()
        assert (cell(row, 1)[PATCH:] == a[row, PATCH:]).all() and (cell(row, 1)[:PATCH] == 128).all()
        assert (cell(row, 2) == b[row]).all()
        assert (cell(row, 3) == np.where(mask[row, ..., None], b[row], a[row])).all()
    with pytest.raises(ValueError, match='one shape'):
        picture(a, mask, b[:1])
