"""ASL against formulas written out patch by patch in float64."""

import math
import shutil

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.profiler import ProfilerActivity, profile

from helpers.forked import free_port
from helpers.mae import build, config, images
from mssl_plugins.models.losses.patch_contrast import PatchContrast
from mssl_plugins.models.masking import random_keep, token_indices

B, L, LM, D = 5, 9, 6, 4


def data(batch=B, seed=0):
    torch.manual_seed(seed)
    mask = random_keep(batch, (3, 3), LM / L)[1]
    p, x = torch.randn(2, batch, LM, D, dtype=torch.float64)
    return p, x, token_indices(mask, LM)


def reference(p, x, masked, negatives, temperature):
    """lambda / D * mean L_single: one patch, one pseudo label at a time."""
    lam, total = temperature * D, 0.0
    p, x, masked = p.tolist(), x.tolist(), masked.tolist()
    for b, row in enumerate(p):
        for i, patch in enumerate(row):
            members = []  # B of this patch
            for c, labels in enumerate(x):
                for j, label in enumerate(labels):
                    if (
                        negatives == 'batch'
                        or negatives == 'image'
                        and c == b
                        or negatives == 'index'
                        and masked[c][j] == masked[b][i]
                    ):
                        members.append(label)

            def similarity(label):
                return math.exp(-sum((s - t) ** 2 for s, t in zip(patch, label)) / lam)

            total -= math.log(similarity(x[b][i]) / sum(map(similarity, members)))
    return temperature * total / (B * LM)


@pytest.mark.parametrize('temperature', [0.3, 2.0])
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
        lambda p: contrast(p, x, masked), p.requires_grad_(), eps=1e-6, atol=1e-6
    )


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
    (own,) = torch.autograd.grad(contrast(p, x, masked), p)
    (mse,) = torch.autograd.grad((p - x).pow(2).mean(), p)
    weight = (-torch.cdist(p.flatten(0, 1), x.flatten(0, 1)).pow(2) / (0.5 * D)).softmax(1)
    mean = (weight @ x.flatten(0, 1)).view_as(x)
    (rest,) = torch.autograd.grad((p - mean.detach()).pow(2).mean(), p)
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
    quadratic = (256 * LM) ** 2 * 8
    assert large < quadratic / 4
    if negatives == 'batch':  # the measure sees what is not chunked
        assert step(256, None) > quadratic


def test_memory_of_a_step_grows_linearly_with_the_batch():
    """Around 64, the whole step: both branches, decoder, L_SEM, backward."""
    model = build('ASL', contrast=dict(chunk=64)).float()

    def step(batch):
        x = images(batch).float()
        return peak(lambda: sum(model.loss([x]).values()).backward())

    small, middle, large = map(step, (32, 64, 128))
    assert large - middle < 2.1 * (middle - small)


@pytest.mark.parametrize(
    'wrong, words',
    [
        (dict(negatives='bach'), "did you mean 'batch'"),
        (dict(temperature=0), 'temperature must be positive, got 0'),
        (dict(chunk=0), 'chunk must be at least 1'),
    ],
)
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
    port, context = free_port(), mp.get_context('fork')
    queue = context.Queue()
    workers = [context.Process(target=_worker, args=(rank, port, queue)) for rank in range(2)]
    [w.start() for w in workers]
    halves = dict(queue.get(timeout=600) for _ in workers)
    [w.join() for w in workers]
    for negatives in PatchContrast.NEGATIVES:
        p, x, masked = data(4)
        loss = PatchContrast(negatives)(p.requires_grad_(), x, masked)
        loss.backward()
        assert abs(sum(halves[r][negatives][0] for r in (0, 1)) / 2 - loss.item()) < 1e-12
        grad = torch.tensor(halves[0][negatives][1] + halves[1][negatives][1], dtype=torch.float64)
        torch.testing.assert_close(grad / 2, p.grad, rtol=1e-10, atol=1e-12)


# ---- the whole step ----
def step(model, x, seed=5):
    torch.manual_seed(seed)
    losses = model.loss([x])
    sum(losses.values()).backward()
    return losses


def test_without_weight_and_layer_it_is_mae_bit_for_bit():
    x, models = images().float(), [build('MAE'), build('ASL', weight=0, layer=None)]
    optimizers = []
    for model in models:
        model.float().train()
        optimizers.append(
            torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        )
    for i in range(3):
        losses = [step(model, x, i) for model in models]
        assert losses[0].keys() == losses[1].keys() and torch.equal(
            losses[0]['loss_mae'], losses[1]['loss_mae']
        )
        for model, optimizer in zip(models, optimizers):
            optimizer.step()
            optimizer.zero_grad()
        mae, asl = (model.state_dict() for model in models)
        assert mae.keys() == asl.keys() and all(torch.equal(mae[k], asl[k]) for k in mae)


@pytest.mark.parametrize('sem', ['contrast_targets', 'contrast_branches', 'reconstruct'])
@pytest.mark.parametrize('weight', [1.0, 0.5])
def test_loss_of_both_branches(sem, weight):
    x = images()
    model = build('ASL', sem=sem, weight=weight, contrast=dict(temperature=0.3)).eval()
    torch.manual_seed(5)
    losses = model.loss([x])
    torch.manual_seed(5)
    keep, masked = model.sample_mask(x)
    f = model.encode(x, keep, None)
    first, second = model.neck(f, keep, masked), model.neck(model.layer(f), keep, masked)
    target = model.target(x, masked)
    torch.testing.assert_close(losses['loss_mae'], (first - target).pow(2).mean())
    if sem == 'reconstruct':
        expected = (second - target).pow(2).mean()
    else:
        label = (target if sem == 'contrast_targets' else first).flatten(0, 1)
        p, lam = second.flatten(0, 1), 0.3 * label.shape[1]
        similar = (-torch.cdist(p, label).pow(2) / lam).exp()
        expected = 0.3 * -(similar.diag() / similar.sum(1)).log().mean()
    torch.testing.assert_close(losses['loss_sem'], weight * expected)


def test_dropout_makes_the_second_branch_another_in_training():
    model, x = build('ASL'), images()
    torch.manual_seed(5)
    keep, masked = model.sample_mask(x)
    f = model.encode(x, keep, None)
    assert not torch.equal(model.layer(f), model.layer(f))
    rates = {m.p for m in model.layer.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.5}
    model.eval()
    assert torch.equal(model.layer(f), model.layer(f))


def test_no_gradient_reaches_the_pseudo_label():
    model = build('ASL', sem='contrast_branches')
    first, second, target = torch.randn(3, 2, 12, 12, dtype=torch.float64)
    first.requires_grad_(), second.requires_grad_()
    masked = torch.arange(12).expand(2, -1)
    model.sem_loss(second, first, target, masked).backward()
    assert first.grad is None and second.grad.abs().sum() > 0


def test_every_trained_parameter_has_a_gradient_in_one_decoder_pass():
    for weight in (0.0, 1.0):  # data-parallel training needs it at w = 0, too
        model, calls = build('ASL', weight=weight), []
        model.neck.register_forward_hook(lambda *_: calls.append(1))
        step(model, images())
        assert len(calls) == 1
        assert not [k for k, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_the_layer_is_outside_the_backbone():
    mae, asl = build('MAE').state_dict(), build('ASL').state_dict()
    assert {k for k in asl if k not in mae} == {k for k in asl if k.startswith('layer.')} != set()


@pytest.mark.parametrize(
    'wrong, words',
    [
        (dict(sem='contrast_target'), "did you mean 'contrast_targets'"),
        (dict(weight=-1), 'must not be negative'),
        (dict(sem='contrast_branches', layer=None), 'needs the layer T'),
        (dict(contrast=dict(negatives='images')), "did you mean 'image'"),
    ],
)
def test_wrong_settings_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        build('ASL', **wrong)


TINY = """
    model = {model}
    model['data_preprocessor'] = dict(
        type='mssl_plugins.ViewPreprocessor', mean=[120.] * 3, std=[60.] * 3)
    train_dataloader['dataset']['pipeline'][1]['views'] = [dict(num=1, size=8)]
    optim_wrapper['optimizer'] = dict(type='AdamW', lr=1e-3)
    default_hooks.pop('schedule')
    default_hooks['checkpoint']['max_keep_ckpts'] = 9
    log_processor = dict(window_size=1)
    visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""


def test_a_resumed_run_equals_the_undisturbed_one(tmp_path, tiny_config, train):
    from helpers.runs import losses

    path, runs = (
        tiny_config(TINY.replace('{model}', repr(config('ASL')))),
        [tmp_path / 'straight', tmp_path / 'broken'],
    )
    assert train(path, '--work-dir', runs[0]).status == 0
    runs[1].mkdir()  # what a run killed in its third epoch leaves
    copy = shutil.copy(runs[0] / 'epoch_2.pth', runs[1])
    (runs[1] / 'last_checkpoint').write_text(str(copy))
    assert train(path, '--work-dir', runs[1], '--resume').status == 0
    straight, broken = map(losses, runs)
    assert sorted(straight) == list(range(1, 13)) and sorted(broken) == list(range(7, 13))
    assert all(broken[step] == straight[step] for step in broken)
    weights = [torch.load(run / 'epoch_4.pth', weights_only=True)['state_dict'] for run in runs]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
