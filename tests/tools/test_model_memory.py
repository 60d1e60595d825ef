"""tools/model_memory.py: what is computed without data is what a model holds."""

import sys

import pytest
import torch

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
import model_memory


@pytest.mark.parametrize('method', model_memory.METHODS)
def test_what_a_small_model_holds(method):
    kept = {n: model_memory.count(method, 'small', 1, n, False) for n in (1, 2)}
    model = model_memory.build(method, 'small')
    teacher = sum(p.numel() for p in getattr(model, 'teacher', torch.nn.Module()).parameters())
    trained = sum(4 * p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad) - teacher
    assert kept[1].teacher == 4 * teacher and kept[1].trained == 4 * (trained + frozen)
    assert kept[1].gathered == 0 < kept[2].gathered
    assert kept[2].trained == pytest.approx(kept[1].trained / 2, rel=5e-3)  # odd numbers of rows
    assert kept[1].activations == kept[2].activations > 2 * kept[1].recomputed > 0
