"""bfloat16 on the CPU: where it computes, where it is emulated, and losses in float32."""

import re

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper

from helpers.siamese import build, views
from mssl_plugins.registry import OPTIM_WRAPPERS


def test_bf16_on_the_cpu():
    model = torch.nn.Linear(4, 4)
    wrapper = OPTIM_WRAPPERS.build(
        dict(
            type='mssl_plugins.BF16OptimWrapper',
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            insist=True,  # also where the processor emulates it
        )
    )
    assert isinstance(wrapper, OptimWrapper)
    with wrapper.optim_context(model):
        out = model(torch.randn(2, 4))
        assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32


@pytest.mark.parametrize(
    'given, dtype, said',
    [
        (dict(computes=True), torch.bfloat16, ''),
        (dict(computes=True, insist=True), torch.bfloat16, ''),
        (dict(computes=False), torch.float32, r'float32: .* would emulate it'),
        (dict(computes=False, insist=True), torch.bfloat16, r'by --amp, although .* emulates'),
    ],
)
def test_float32_where_bf16_is_only_emulated(capsys, given, dtype, said):
    model = torch.nn.Linear(2, 2)
    logger = MMLogger.get_instance(f'emulation of {given}')
    wrapper = OPTIM_WRAPPERS.build(
        dict(
            type='mssl_plugins.BF16OptimWrapper',
            device_type='cpu',
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            **given,
        )
    )
    with wrapper.optim_context(model):
        assert model(torch.randn(1, 2)).dtype == dtype
    logger.handlers[0].flush()
    shown = ''.join(capsys.readouterr())
    assert re.search(said, shown) if said else 'bfloat16' not in shown


def test_losses_stay_float32_under_bf16():
    for base in ('MoCo', 'SimCLR', 'BYOL', 'SimSiam'):
        model = build(base, 'both').float()
        with torch.autocast('cpu', torch.bfloat16):
            losses = model.loss([v.float() for v in views()])
        assert all(v.dtype == torch.float32 for k, v in losses.items() if k.startswith('loss')), (
            base
        )
