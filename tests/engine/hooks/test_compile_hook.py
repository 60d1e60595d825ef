"""Compiled blocks: which, what they compute, and when nothing is compiled."""

import copy
import logging
import platform
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.models.backbones.resnet import BasicBlock
from torch import nn
from torch._inductor.utils import run_and_get_code

from mssl_plugins.engine.hooks import compile_hook
from mssl_plugins.errors import UserError
from mssl_plugins.evaluation.features import frozen
from mssl_plugins.models.backbones.vit import ViT

UNITS = ['avx2'] if platform.machine() == 'x86_64' else []  # for which the compiler has code


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def vit(layers=3):
    torch.manual_seed(0)
    return ViT(
        arch=dict(embed_dims=16, num_layers=layers, num_heads=2, feedforward_channels=32),
        img_size=16,
        patch_size=8,
    )


def runner(model):
    return SimpleNamespace(model=model, epoch=0, logger=logging.getLogger('compile'))


def test_blocks_share_one_graph_and_keep_values_gradients_and_keys():
    plain = vit()
    model = copy.deepcopy(plain)
    keys = list(model.state_dict())
    compile_hook.CompileHook(backend='aot_eager').before_train(runner(model))
    images = torch.randn(2, 3, 16, 16)
    for network in (plain, model):
        network(images)[0].square().sum().backward()
    assert list(model.state_dict()) == keys
    for (name, a), b in zip(plain.named_parameters(), model.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6, msg=name)
    assert compile_hook.compiled_graphs() == 1 and compile_hook.graph_breaks() == 0


def test_crops_of_two_sizes_and_a_smaller_last_batch_are_compiled_in_the_first_epoch():
    model = vit(layers=2)
    compile_hook.CompileHook(backend='aot_eager').before_train(runner(model))
    graphs = []
    for _ in range(3):  # epochs
        for batch, sides in ((4, (16, 8)), (4, (16, 8)), (3, (16, 8))):
            views = [model(torch.randn(batch, 3, side, side))[0] for side in sides]
            sum(view.square().sum() for view in views).backward()
        graphs.append(compile_hook.compiled_graphs())
    assert graphs[0] == graphs[-1] > 1 and compile_hook.graph_breaks() == 0


@pytest.mark.parametrize('teachers, blocks', [(None, 3), (True, 6)])
def test_on_a_cpu_a_teacher_is_compiled_if_asked(caplog, teachers, blocks):
    caplog.set_level(logging.INFO, 'compile')
    model = nn.ModuleDict(dict(student=vit(), teacher=vit().requires_grad_(False)))
    compile_hook.CompileHook(backend='aot_eager', teachers=teachers).before_train(runner(model))
    assert f'{blocks} blocks are compiled' in caplog.text
    model['teacher'](torch.randn(2, 3, 16, 16))
    assert compile_hook.compiled_graphs() == (blocks == 6)


def test_a_frozen_network_is_compiled_where_nothing_else_is(caplog):
    caplog.set_level(logging.INFO, 'compile')
    model = nn.Sequential(vit().requires_grad_(False), nn.Linear(16, 2))
    compile_hook.CompileHook(backend='aot_eager').before_train(runner(model))
    assert '3 blocks are compiled' in caplog.text


@pytest.fixture
def vector_units(monkeypatch):
    """What torch takes for a CPU with AVX2, found out anew."""
    from torch._inductor import cpu_vec_isa

    def forget():
        cpu_vec_isa.valid_vec_isa_list.cache_clear()
        cpu_vec_isa.VecISA._VecISA__bool__impl.cache_clear()

    monkeypatch.setattr('platform.machine', lambda: 'x86_64')
    monkeypatch.setattr(cpu_vec_isa, 'x86_isa_checker', lambda: ['avx2'])
    forget()
    yield lambda: [str(unit) for unit in cpu_vec_isa.valid_vec_isa_list()]
    forget()


def test_vector_units_are_found_without_loading_torch_anew(monkeypatch, vector_units):
    started = []
    for name in ('run', 'check_call'):
        start = getattr(subprocess, name)
        monkeypatch.setattr(
            subprocess,
            name,
            lambda argv, *a, f=start, **k: started.append(argv) or f(argv, *a, **k),
        )
    compile_hook.spare_probes()
    known = len(started)
    assert vector_units() == UNITS and known > 0
    assert len(started) == known and all(sys.executable not in argv for argv in started)


def test_vector_units_that_the_compiler_does_not_know_are_left_out(monkeypatch, vector_units):
    flags = 'torch._inductor.cpu_vec_isa.VecAVX2._arch_flags'
    monkeypatch.setattr(flags, '-mavx2 -mno-such-unit')
    compile_hook.spare_probes()
    assert vector_units() == []


def test_inductor_compiles_the_same_function():
    plain = vit(layers=1)
    model = copy.deepcopy(plain)
    compile_hook.CompileHook().before_train(runner(model))
    images = torch.randn(2, 3, 16, 16)
    plain.requires_grad_(False), model.requires_grad_(False)  # a graph without its backward
    torch.testing.assert_close(model(images)[0], plain(images)[0], rtol=1e-5, atol=1e-6)
    assert compile_hook.compiled_graphs() == 1


@pytest.mark.parametrize(
    'forward, dtype, bound',
    [
        ('functional.default', torch.float32, 1e-4),
        ('no_training.default', torch.bfloat16, 3e-2),
        ('no_stats', torch.bfloat16, 3e-2),
    ],
)
def test_batch_norm_is_not_written_out_on_a_cpu(monkeypatch, forward, dtype, bound):
    """Nor are activations copied out of their layout for it, forward and backward."""
    monkeypatch.setenv('CI', '1')  # where torch's compiler refuses fallbacks that it does not know
    norm = dict(type='BN', track_running_stats='no_stats' not in forward)
    plain = BasicBlock(4, 4, norm_cfg=norm).train('no_training' not in forward)
    plain.to(memory_format=torch.channels_last)
    model = copy.deepcopy(plain)
    compile_hook.CompileHook().before_train(runner(nn.Sequential(model)))
    images = torch.randn(2, 4, 8, 8).to(memory_format=torch.channels_last)

    def trained(network):
        x = images.clone().requires_grad_()
        with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
            found = network(x)
        found.float().square().sum().backward()
        return [found, x.grad, *(p.grad for p in network.parameters()), *network.buffers()]

    with torch.compiler.config.patch(force_disable_caches=True):  # code of another process
        found, codes = run_and_get_code(trained, model)
    for a, b in zip(found, trained(plain), strict=True):
        least = 1e-5 if dtype == torch.float32 else bound * float(b.abs().max())
        torch.testing.assert_close(a, b, rtol=bound, atol=least)
    operators = rf'_native_batch_norm_legit.{forward}', r'native_batch_norm_backward\.default'
    for code, operator in zip(codes, operators, strict=True):
        assert len(re.findall(rf'= torch\.ops\.aten\.{operator}\(', code)) == 2
        assert '(256, 1, 32, 4)' in code and '(256, 64, 8, 1)' not in code  # channels last


def test_nothing_is_compiled_for_what_is_measured():
    model = vit()
    hook = compile_hook.CompileHook(backend='aot_eager')
    hook.before_train(runner(model))
    with frozen(model):
        model(torch.randn(5, 3, 16, 16))
    hook.before_val(None)
    model(torch.randn(3, 3, 16, 16))
    hook.after_val(None)
    assert compile_hook.compiled_graphs() == 0
    model(torch.randn(2, 3, 16, 16))
    assert compile_hook.compiled_graphs() == 1


def test_an_epoch_that_compiles_again_is_warned_of(caplog):
    model = vit()
    hook, run = compile_hook.CompileHook(backend='aot_eager'), runner(model)
    caplog.set_level(logging.INFO, 'compile')
    hook.before_train(run)
    assert '3 blocks are compiled' in caplog.text
    model(torch.randn(2, 3, 16, 16))
    hook.after_train_epoch(run)
    assert '1 graphs compiled, 0 graph breaks' in caplog.text
    hook.after_train_epoch(run)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    run.epoch = 2
    model(torch.randn(3, 3, 16, 16))
    hook.after_train_epoch(run)
    assert '1 graphs were compiled in epoch 3' in caplog.text


def test_what_cannot_be_compiled_is_said(monkeypatch):
    with pytest.raises(UserError, match='none of the blocks Block, .*custom_hooks'):
        compile_hook.CompileHook(backend='aot_eager').before_train(runner(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="'inductr'.*did you mean 'inductor'"):
        compile_hook.CompileHook(backend='inductr')
    with pytest.raises(ValueError, match="mode of torch.compile 'max'"):
        compile_hook.CompileHook(mode='max')
    assert compile_hook.why_not() is None
    assert 'path with a space' in compile_hook.why_not('/home/my models/torch')
    monkeypatch.setattr(torch._inductor.config.cpp, 'cxx', ('/no/such/compiler',))
    with pytest.raises(UserError, match='no C.. compiler'):
        compile_hook.CompileHook().before_train(runner(vit()))
