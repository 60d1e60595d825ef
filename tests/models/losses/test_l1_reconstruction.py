"""The L1 reconstruction loss against loops over pixels."""

import pytest
import torch

from mssl_plugins.models.losses.l1_reconstruction import l1_reconstruction_loss


def test_every_pixel_in_float64():
    a, b = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    mask = torch.rand(2, 1, 4, 5) < 0.4
    total = covered = 0.0
    for n in range(2):
        for y in range(4):
            for x in range(5):
                d = sum(abs(float(a[n, c, y, x] - b[n, c, y, x])) for c in range(3))
                total += d
                covered += d * bool(mask[n, 0, y, x])
    for reduction, parts, masked_parts in (
        ('pixel', 40, int(mask.sum())),
        ('mean', 120, 3 * int(mask.sum())),
        ('image', 2, 2),
    ):
        assert float(l1_reconstruction_loss(a, b, None, reduction)) == pytest.approx(total / parts)
        assert float(l1_reconstruction_loss(a, b, mask, reduction)) == pytest.approx(
            covered / masked_parts
        )
    assert float(l1_reconstruction_loss(a, b, torch.zeros_like(mask))) == 0
    with pytest.raises(ValueError, match="did you mean 'pixel'"):
        l1_reconstruction_loss(a, b, reduction='pixels')
