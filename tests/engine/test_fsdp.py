"""Every method with its parameters cut over 2 processes, against 1 process."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from helpers.forked import server
from helpers.transformers import GLOBAL, SINGLE, batch, build, one_mask
from mssl_plugins.distributed import is_cut, own_part
from mssl_plugins.engine.fsdp import FSDP
from mssl_plugins.engine.hooks.clip_hook import ClipEachHook
from mssl_plugins.errors import ConfigError
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.registry import MODELS

fsdp = pytest.importorskip('torch.distributed.fsdp')
if not hasattr(fsdp, 'fully_shard'):
    pytest.skip('this torch has no fully_shard', allow_module_level=True)

STEPS, MAX_NORM = 3, 0.05
NAMES = ('DINO', 'MST', 'IBOT', 'MaskGuidedDINO', 'MAE', 'ASL', 'MaskGuidedMAE')


def optimizer_of(model):
    # a larger eps: without it a gradient that is 0 but for rounding makes a step
    named = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(named, lr=0.01, weight_decay=0.1, eps=1e-4)
    optimizer.register_step_pre_hook(ClipEachHook(MAX_NORM)._clip)
    return optimizer


def optimize(name, model, wrapped, rows):
    """Losses of a few steps; the teacher is updated, the weight decay grows."""
    optimizer, losses = optimizer_of(model), []
    teachers = [m for m in model.modules() if isinstance(m, MomentumTeacher)]
    for teacher in teachers:
        teacher.sync()
        teacher.momentum = 0.9
    for step in range(STEPS):
        one_mask(model, step, rows)
        optimizer.param_groups[0]['weight_decay'] = 0.1 * (step + 1)
        values = wrapped(*batch(name, step, rows), mode='loss')
        loss = sum(v for k, v in values.items() if 'loss' in k)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for teacher in teachers:
            teacher.update()
        losses.append(loss.item())
    return losses, optimizer


def cut(name, rows):
    """What a process knows after training its part."""
    model = build(name, None)
    before = sum(p.numel() for p in model.parameters())
    wrapped = FSDP(model)
    losses, optimizer = optimize(name, wrapped.module, wrapped, rows)
    mean = torch.tensor(losses, dtype=torch.float64)
    dist.all_reduce(mean)
    parameters = list(wrapped.module.parameters())
    moments = [v for state in optimizer.state.values() for v in state.values() if v.dim()]
    with wrapped.whole(), torch.no_grad():  # the last: each process alone, another number of times
        images = torch.ones(1, 3, 16, 16, dtype=torch.float64)
        for _ in range(1 + 2 * dist.get_rank()):
            features = wrapped.module.backbone(images)[0]
    with wrapped.gathered(optimizer):
        kept = dict(state=wrapped.module.state_dict(), optimizer=optimizer.state_dict())
    return dict(
        kept if dist.get_rank() == 0 else {},
        losses=mean / 2,
        features=features,
        fraction=sum(own_part(p).numel() for p in parameters) / before,
        all_cut=all(map(is_cut, [*parameters, *moments])),
        blocks=len(wrapped.parts),
        kind=type(wrapped.module).__name__,
        after=all(map(is_cut, wrapped.module.parameters())),
    )


def worker(rank, out):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{out}/init', rank=rank, world_size=2)
    rows = slice(rank * GLOBAL // 2, (rank + 1) * GLOBAL // 2)
    torch.save({name: cut(name, rows) for name in NAMES}, out / f'{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    out = tmp_path_factory.mktemp('both')
    server()
    mp.start_processes(worker, (out,), nprocs=2, start_method='forkserver')
    return [torch.load(out / f'{rank}.pth') for rank in (0, 1)]


@pytest.mark.parametrize('name', NAMES)
def test_two_processes_equal_one(name, both):
    found = both[0][name]
    single = build(name, None)
    start = copy.deepcopy(single.state_dict())
    losses, optimizer = optimize(name, single, single, slice(None))
    assert found['losses'].tolist() == pytest.approx(losses, abs=1e-8)
    state = single.state_dict()
    assert list(found['state']) == list(state)
    for key, value in state.items():
        assert type(found['state'][key]) is torch.Tensor, key
        torch.testing.assert_close(found['state'][key], value, rtol=0, atol=1e-7, msg=key)
    moved = {k.split('.')[0] for k, v in state.items() if not torch.equal(v, start[k])}
    assert ('teacher' in moved) == (name not in SINGLE) and 'backbone' in moved
    wanted, given = optimizer.state_dict(), found['optimizer']
    assert wanted['param_groups'] == given['param_groups']
    assert wanted['state'].keys() == given['state'].keys()
    for number, values in wanted['state'].items():
        for key, value in values.items():
            torch.testing.assert_close(given['state'][number][key], value, rtol=0, atol=1e-7)


@pytest.mark.parametrize('name', NAMES)
def test_each_process_keeps_half_of_everything(name, both):
    for found in (both[0][name], both[1][name]):
        assert found['all_cut'] and found['after'] and found['kind'] == name
        assert 0.4 < found['fraction'] < 0.6
        teacher = name not in SINGLE
        # two blocks and the prototypes in each branch; a decoder's last block is left out
        assert found['blocks'] == (6 if teacher else 3 if name == 'ASL' else 2)
    assert sum(p[name]['fraction'] for p in both) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize('name', NAMES)
def test_any_process_can_evaluate(name, both):
    single = build(name, None)
    single.load_state_dict(both[0][name]['state'])
    with torch.no_grad():
        want = single.backbone(torch.ones(1, 3, 16, 16, dtype=torch.float64))[0]
    for part in both:
        torch.testing.assert_close(part[name]['features'], want, rtol=0, atol=1e-9)


def _alone(out):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{out}/init', rank=0, world_size=1)
    with pytest.raises(ConfigError) as told:
        FSDP(build('MAE', None), blocks=['Blok'])
    assert str(told.value) == (
        "model_wrapper_cfg.blocks = ['Blok']: no module of MAE is a Blok; did you mean 'Block'?"
    )
    runs = {}
    for bf16 in (False, True):
        torch.manual_seed(0)
        wrapped = FSDP(build('MAE', None).float(), bf16=bf16, blocks=['Block'])
        one_mask(wrapped.module, 0, slice(None))
        images, samples = batch('MAE', 0, slice(None))
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
            loss = wrapped([x.float() for x in images], samples, mode='loss')['loss_mae']
        loss.backward()
        grads = [p.grad for p in wrapped.module.parameters() if p.requires_grad]
        assert all(g.dtype == torch.float32 for g in grads) and loss.dtype == torch.float32
        with wrapped.whole(), torch.no_grad():
            kinds = {k: p.dtype for k, p in wrapped.module.backbone.layers[0].named_parameters()}
            features = wrapped.module.backbone(torch.ones(1, 3, 16, 16))[0]
        runs[bf16] = float(loss), kinds, features.float()
    kinds = runs[True][1]
    assert set(runs[False][1].values()) == {torch.float32} and len(kinds) == 12
    for key, kind in kinds.items():
        assert kind == (torch.float32 if key.startswith('ln') else torch.bfloat16), key
    assert runs[True][0] != runs[False][0]
    assert runs[True][0] == pytest.approx(runs[False][0], rel=0.02)
    torch.testing.assert_close(runs[True][2], runs[False][2], rtol=0, atol=0.1)
    dist.destroy_process_group()


def test_bfloat16_and_wrong_blocks(tmp_path):
    context = torch.multiprocessing.get_context('fork')
    process = context.Process(target=_alone, args=(tmp_path,))
    process.start()
    process.join(120)
    assert process.exitcode == 0


def test_it_is_registered():
    assert MODELS.parent.get('mssl_plugins.MAE') is not None
    from mmengine.registry import MODEL_WRAPPERS

    assert MODEL_WRAPPERS.get('mssl_plugins.FSDP') is FSDP
