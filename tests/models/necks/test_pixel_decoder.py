"""The pixel decoder: its stages, its cost, the plain chain of layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mssl_plugins.models.necks.pixel_decoder import PixelDecoder


@pytest.mark.parametrize('patch, stages', [(16, 4), (8, 3), (4, 2)])
def test_stages_follow_from_the_patch(patch, stages):
    decoder = PixelDecoder(6, patch)
    assert [s[0].out_channels for s in decoder.stages] == [256, 128, 64, 32][:stages]
    assert decoder(torch.randn(2, 6, 6), (2, 3)).shape == (2, 3, 2 * patch, 3 * patch)


def test_cost_of_the_decoder():
    """The specification counts about 0.8 G multiply-adds at 224 px."""
    decoder, macs = PixelDecoder(384, 16), []
    for m in decoder.modules():
        if isinstance(m, nn.Conv2d):
            m.register_forward_hook(
                lambda m, a, out: macs.append(out.numel() * m.in_channels * m.kernel_size[0] ** 2)
            )
    decoder(torch.randn(1, 196, 384), (14, 14))
    assert 0.75e9 < sum(macs) < 0.9e9


def test_decoder_is_the_plain_chain():
    decoder = PixelDecoder(5, 4, widths=(8, 6)).double()
    nn.init.uniform_(decoder.to_pixels.bias)
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    x = torch.zeros(2, 5, 2, 3, dtype=torch.float64)
    for i in range(6):
        x[:, :, i // 3, i % 3] = tokens[:, i]
    p = dict(decoder.named_parameters())
    for s in range(2):
        x = F.conv2d(x, p[f'stages.{s}.0.weight'], padding=1)
        var, mean = torch.var_mean(x, (0, 2, 3), unbiased=False, keepdim=True)
        x = ((x - mean) / (var + 1e-5).sqrt()).clamp(min=0)
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
    expected = F.conv2d(x, p['to_pixels.weight'], p['to_pixels.bias'])
    torch.testing.assert_close(decoder(tokens, (2, 3)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('patch', [1, 14, 32])
def test_decoder_refuses_other_patches(patch):
    with pytest.raises(ValueError, match=r'allowed are \[2, 4, 8, 16\]'):
        PixelDecoder(5, patch)
