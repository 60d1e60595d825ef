"""What stands in the place of masked tokens."""

import torch

from mssl_plugins.models.replacement import bert_replacement


def test_bert_replaces_80_10_10():
    patches = torch.arange(400 * 50.0).view(400, 50, 1) + 1
    mask = torch.ones(400, 50, dtype=torch.bool)
    out = bert_replacement(patches, mask, torch.full((1, 1, 1), -1.0))
    token, kept = (out == -1), (out == patches)
    other = ~token & ~kept
    for share, expected in ((token, 0.8), (kept, 0.1), (other, 0.1)):
        assert abs(float(share.double().mean()) - expected) < 0.012
    donors = out[other].unique()
    assert 1 <= donors.min() and donors.max() <= 400 * 50 and len(donors) > 1500
