"""ASL against formulas written out patch by patch in float64."""
import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.profiler import ProfilerActivity, profile

from mssl_plugins.models.losses.patch_contrast import PatchContrast, l_single
from mssl_plugins.models.masking import random_keep, token_indices
from mssl_plugins.registry import MODELS

B, L, LM, D = 5, 9, 6, 4
SIZE, PATCH = 12, 4


def data(batch=B, seed=0):
    torch.manual_seed(seed)
    mask = random_keep(batch, L, LM / L)[1]
    p, x = torch.randn(2, batch, LM, D, dtype=torch.float64)
    return p, x, token_indices(mask, LM)


def reference(p, x, masked, negatives, temperature):
    """lambda / D * mean L_single: one patch, one pseudo label at a time."""
    lam, total = temperature * D, 0.
    p, x, masked = p.tolist(), x.tolist(), masked.tolist()
    for b, row in enumerate(p):
        for i, patch in enumerate(row):
            members = []  # B of this patch
            for c, labels in enumerate(x):
                for j, label in enumerate(labels):
                    if (negatives == 'batch' or negatives == 'image' and c == b
                            or negatives == 'index' and masked[c][j] == masked[b][i]):
                        members.append(label)

            def similarity(label):
                return math.exp(-sum((s - t)**2 for s, t in zip(patch, label)) / lam)

            total -= math.log(similarity(x[b][i]) / sum(map(similarity, members)))
    return temperature * total / (B * LM)


@pytest.mark.parametrize('temperature', [0.3, 2.])
@pytest.mark.parametrize('negatives', PatchContrast.NEGATIVES)
def test_l_single_is_the_printed_formula(negatives, temperature):
    p, x, masked = data()
    loss = PatchContrast(negatives, temperature)(p, x, masked)
    assert loss.dtype == torch.float64
    assert abs(loss.item() - reference(p, x, masked, negatives, temperature)) < 1e-6


@pytest.mark.parametrize('negatives', PatchContrast.NEGATIVES)
def test_gradient_is_the_numerical_one(negatives):
    p, x, masked = data()
    contrast = PatchContrast(negatives, 0.5, chunk=4)
    assert torch.autograd.gradcheck(
        lambda p: contrast(p, x, masked), p.requires_grad_(), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize('negatives', PatchContrast.NEGATIVES)
def test_chunked_equals_unchunked(negatives):
    p, x, masked = data()
    p.requires_grad_()
    results = []
    for chunk in (None, 1, 4, 7, 10**6):
        loss = PatchContrast(negatives, 0.5, chunk=chunk)(p, x, masked)
        results.append(torch.cat([loss[None], torch.autograd.grad(loss, p)[0].flatten()]))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-12, atol=1e-12)


def test_without_other_labels_there_is_nothing_to_tell_apart():
    p, x, masked = data()
    assert PatchContrast('index')(p[:1], x[:1], masked[:1]).item() == 0


def test_gradient_is_that_of_the_squared_error_plus_repulsion():
    """Repulsion: away from the softmax-weighted mean of B, as strongly."""
    p, x, masked = data()
    p.requires_grad_()
    contrast = PatchContrast('batch', 0.5)
    own, = torch.autograd.grad(contrast(p, x, masked), p)
    mse, = torch.autograd.grad((p - x).pow(2).mean(), p)
    weight = (-torch.cdist(p.flatten(0, 1), x.flatten(0, 1)).pow(2) / (0.5 * D)).softmax(1)
    mean = (weight @ x.flatten(0, 1)).view_as(x)
    rest, = torch.autograd.grad((p - mean.detach()).pow(2).mean(), p)
    torch.testing.assert_close(own, mse - rest)


def test_loss_is_float32_under_autocast():
    p, x, masked = data()
    p, x = p.bfloat16(), x.float()
    plain = PatchContrast()(p.float(), x, masked)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = PatchContrast()(p, x, masked)
    assert mixed.dtype == torch.float32 and mixed == plain


def peak(function):
    """Bytes that ``function`` had allocated at once, at most."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        function()
    held = most = 0
    for event in prof.profiler.kineto_results.events():
        if event.name() == '[memory]':
            held += event.nbytes()
            most = max(most, held)
    return most


@pytest.mark.parametrize('negatives', PatchContrast.NEGATIVES)
def test_memory_grows_linearly_with_the_number_of_predictions(negatives):
    def step(batch, chunk=64):
        p, x, masked = data(batch)
        p.requires_grad_()
        return peak(lambda: PatchContrast(negatives, chunk=chunk)(p, x, masked).backward())

    small, middle, large = map(step, (64, 128, 256))
    assert large - middle < 2.2 * (middle - small)  # 4 x for a quadratic loss
    quadratic = (256 * LM)**2 * 8
    assert large < quadratic / 4
    if negatives == 'batch':  # the measure sees what is not chunked
        assert step(256, None) > quadratic


@pytest.mark.parametrize('wrong, words', [
    (dict(negatives='bach'), "did you mean 'batch'"),
    (dict(temperature=0), 'temperature must be positive, got 0'),
    (dict(chunk=0), 'chunk must be at least 1')])
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        PatchContrast(**wrong)


def _worker(rank, port, queue):
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    out = {}
    for negatives in PatchContrast.NEGATIVES:
        p, x, masked = data(4)
        half = slice(2 * rank, 2 * rank + 2)
        p = p[half].requires_grad_()
        loss = PatchContrast(negatives, gather=True, chunk=5)(p, x[half], masked[half])
        loss.backward()
        out[negatives] = loss.item(), p.grad.tolist()
    queue.put((rank, out))
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_equal_one():
    import socket
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    context = mp.get_context('fork')
    queue = context.Queue()
    workers = [context.Process(target=_worker, args=(rank, port, queue)) for rank in range(2)]
    [w.start() for w in workers]
    halves = dict(queue.get(timeout=60) for _ in workers)
    [w.join() for w in workers]
    for negatives in PatchContrast.NEGATIVES:
        p, x, masked = data(4)
        loss = PatchContrast(negatives)(p.requires_grad_(), x, masked)
        loss.backward()
        assert abs(sum(halves[r][negatives][0] for r in (0, 1)) / 2 - loss.item()) < 1e-12
        grad = torch.tensor(halves[0][negatives][1] + halves[1][negatives][1], dtype=torch.float64)
        torch.testing.assert_close(grad / 2, p.grad, rtol=1e-10, atol=1e-12)
