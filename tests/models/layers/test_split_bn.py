"""SplitBN against BatchNorm of each part, in both memory layouts."""

import pytest
import torch
from torch import nn

from mssl_plugins.models.layers.split_bn import SplitBatchNorm2d


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('splits', [2, 4])
def test_parts_are_normalized_by_themselves(layout, splits):
    torch.manual_seed(0)
    norm = SplitBatchNorm2d(3, num_splits=splits).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
    x = torch.randn(8, 3, 5, 4, dtype=torch.double).to(memory_format=layout).requires_grad_()
    y = norm(x)
    expected, means, variances = [], [], []
    for part in x.detach().chunk(splits):
        single = nn.BatchNorm2d(3).double()
        with torch.no_grad():
            single.weight.copy_(norm.weight)
            single.bias.copy_(norm.bias)
        expected.append(single(part))
        means.append(single.running_mean)
        variances.append(single.running_var)
    assert torch.allclose(y, torch.cat(expected))
    assert torch.allclose(norm.running_mean, torch.stack(means).mean(0))
    assert torch.allclose(norm.running_var, torch.stack(variances).mean(0))
    assert norm.num_batches_tracked == 1
    assert torch.autograd.gradcheck(norm, (x,))


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    'dtype, affine, trained',
    [
        (torch.float32, True, True),
        (torch.bfloat16, True, True),  # of autocast, with float32 weights
        (torch.float32, True, False),
        (torch.float32, False, False),
    ],
)
def test_compiled_it_gives_the_same_in_the_same_layout(layout, dtype, affine, trained):
    """Outputs, statistics, and the gradients that torch derives of each BatchNorm."""
    torch._dynamo.reset()
    found, graphs = [], []

    def backend(graph, inputs):
        graphs.append(graph.code)
        return torch._dynamo.lookup_backend('aot_eager')(graph, inputs)

    for compiled in (False, True):
        torch.manual_seed(0)
        norm = SplitBatchNorm2d(3, num_splits=4, affine=affine).requires_grad_(trained)
        if affine:
            nn.init.uniform_(norm.weight, 0.5, 1.5)
        x = torch.randn(8, 3, 5, 4).to(dtype, memory_format=layout).requires_grad_()
        out = (torch.compile(norm, backend=backend, fullgraph=True) if compiled else norm)(x)
        (out * torch.rand_like(out)).sum().backward()
        gradients = [p.grad for p in norm.parameters() if trained]
        found.append((out, x.grad, *gradients, *norm.buffers()))
    torch.testing.assert_close(*found)
    assert found[0][0].stride() == found[1][0].stride()
    one_operator = affine and layout == torch.channels_last
    assert ['split_batch_norm' in graph for graph in graphs] == [one_operator]
