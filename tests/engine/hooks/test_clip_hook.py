"""Gradients are clipped parameter by parameter."""

import torch
from torch import nn

from mssl_plugins.registry import HOOKS


def test_clip_measures_each_parameter():
    a, b, c = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    optimizer = torch.optim.SGD([dict(params=[a]), dict(params=[b, c])], lr=1.0)
    a.grad, b.grad = torch.tensor([30.0, 40.0]), torch.tensor([0.3, 0.4])
    hook = HOOKS.build(dict(type='mssl_plugins.ClipEachHook'))
    run = type('R', (), dict(optim_wrapper=type('O', (), dict(optimizer=optimizer))))
    hook.before_train(run)
    optimizer.step()
    torch.testing.assert_close(a.detach(), torch.tensor([-1.8, -2.4]))  # norm 50 -> 3
    torch.testing.assert_close(b.detach(), torch.tensor([-0.3, -0.4]))
    hook.after_train(run)
    a.grad = torch.tensor([30.0, 40.0])
    optimizer.step()
    assert float(a[0].detach()) < -30
