"""Patches of images: the projection beside a convolution, and as plain loops."""

import pytest
import torch
from torch import nn

from mssl_plugins.models.layers.patches import PatchProjection


def pair(**kwargs):
    """A projection and a convolution with the same weights, float64."""
    ours, plain = (cls(2, 5, **kwargs).double() for cls in (PatchProjection, nn.Conv2d))
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def test_each_patch_is_multiplied_by_the_weight():
    torch.manual_seed(0)
    ours = PatchProjection(2, 5, 4, 4).double()
    x = torch.randn(3, 2, 8, 12, dtype=torch.float64)
    y = ours(x)
    assert y.shape == (3, 5, 2, 3)
    for b in range(3):
        for row in range(2):
            for column in range(3):
                patch = x[b, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                for out in range(5):
                    expected = (ours.weight[out] * patch).sum() + ours.bias[out]
                    torch.testing.assert_close(y[b, out, row, column], expected)


@pytest.mark.parametrize(
    'kwargs, size',
    [
        (dict(kernel_size=4, stride=4), (8, 12)),
        (dict(kernel_size=4, stride=4, bias=False), (8, 8)),
        (dict(kernel_size=4, stride=4), (9, 11)),  # the convolution leaves out the rest
        (dict(kernel_size=4, stride=2), (8, 12)),  # patches overlap
        (dict(kernel_size=4, stride=4, padding=2), (8, 12)),
        (dict(kernel_size=4, stride=4, dilation=2), (16, 16)),
        (dict(kernel_size=(2, 4), stride=(2, 4)), (8, 12)),
    ],
)
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_output_and_gradients_are_those_of_a_convolution(kwargs, size, layout):
    torch.manual_seed(0)
    ours, plain = pair(**kwargs)
    x = torch.randn(3, 2, *size, dtype=torch.float64).to(memory_format=layout)
    seen = []
    for layer in (ours, plain):
        given = x.clone().requires_grad_()
        y = layer(given)
        (y * torch.arange(y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        seen.append([y, given.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*seen):
        torch.testing.assert_close(a, b)


def test_it_is_a_product_where_patches_lie_side_by_side(monkeypatch):
    monkeypatch.setattr(nn.Conv2d, 'forward', lambda self, x: pytest.fail('a convolution'))
    assert PatchProjection(3, 8, 4, 4)(torch.zeros(1, 3, 8, 8)).shape == (1, 8, 2, 2)
    with torch.autocast('cpu', torch.bfloat16):
        assert PatchProjection(3, 8, 4, 4)(torch.zeros(1, 3, 8, 8)).dtype == torch.bfloat16
