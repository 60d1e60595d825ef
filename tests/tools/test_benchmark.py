"""The benchmark tool on lines whose outcome is known."""

import json
import sys
import threading
import time

import pytest

from helpers.paths import ROOT
from helpers.tools import tool


@pytest.fixture
def bench(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    module = tool('benchmark')
    monkeypatch.setattr(module, 'PAGE', tmp_path / 'benchmarks.md')
    return module


def test_ratio_goal_and_order(bench, monkeypatch):
    """The clock advances by what a call is said to take."""
    calls, now = [], [0]
    monkeypatch.setattr(time, 'perf_counter', lambda: now[0])

    def side(name, seconds):
        def call():
            calls.append(name)
            now[0] += seconds

        return call

    row = bench.measure(
        bench.Line('a', 'b', 2.0, lambda: (side('ours', 1), side('theirs', 4)), rounds=3)
    )
    assert row['ratio'] == 4 and row['met'] and row['goal'] == 'at least 2 x'
    assert calls == ['ours', 'theirs'] * 5  # in turn, after two calls each to warm up
    row = bench.measure(
        bench.Line('a', 'b', 1.1, lambda: (side('o', 3), side('t', 1)), at_most=True, rounds=3)
    )
    assert row['ratio'] == 3 and not row['met'] and row['goal'] == 'at most 1.1 x'
    goals = iter([1.0, 3.0])  # measured before and after
    row = bench.measure(
        bench.Line('a', 'b', lambda: next(goals), lambda: (side('o', 1), side('t', 1)), rounds=1)
    )
    assert row['goal'] == 'at least 2 x'


def test_memory_is_what_a_call_takes(bench, monkeypatch):
    """Beyond what it holds from before; what it frees on the way counts."""
    import torch

    held = torch.ones(20 * 2**18)  # 20 MiB, not counted

    def call():
        for mib in (256, 32):
            taken = torch.ones(mib * 2**18)
            for watch in (t for t in threading.enumerate() if isinstance(t, bench._Watch)):
                seen = watch.samples + 2  # the first may have begun before
                while watch.samples < seen and watch.is_alive():
                    time.sleep(0.001)
            del taken
        held.add_(1)

    assert 250 < bench.memory(call) < 300  # beside what else the process does
    assert bench.memory(lambda: time.sleep(0.05)) < 8
    row = bench.measure(
        bench.Line('a', 'b', 1.0, lambda: (call, lambda: time.sleep(0.05)), memory=True, rounds=1)
    )
    assert 250 < row['our_memory'] < 300 and row['their_memory'] < 8
    line = bench.Line('no thing', 'b', 1.0, lambda: (lambda: None, lambda: None), rounds=1)
    monkeypatch.setattr(bench, 'select', lambda only: [line])
    found = bench.measure(line)
    assert found['our_memory'] is None
    for one, shown in ((found, '|  | b |'), (dict(found, our_memory=1234.4), '| 1,234 | b |')):
        bench.write_page([dict(one, machine='m')])
        assert shown in bench.PAGE.read_text()


def test_command_line_writes_json_and_page(bench, tmp_path, monkeypatch, capsys):
    line = bench.Line(
        'fast thing',
        'slow thing',
        2.0,
        lambda: (lambda: time.sleep(0.001), lambda: time.sleep(0.01)),
    )
    monkeypatch.setattr(bench, 'select', lambda only: [line])
    bench.main(['--json', str(tmp_path / 'out.json')])
    (row,) = json.loads((tmp_path / 'out.json').read_text())
    assert {'what', 'ours', 'beside', 'theirs', 'ratio', 'goal', 'met'} <= set(row)
    page = (tmp_path / 'benchmarks.md').read_text()
    assert '| fast thing |' in page and 'torch ' in page
    assert bench.versions("torchvision's transforms on Pillow").startswith('torchvision 0.')
    # a line that is no more leaves the page
    other = bench.Line('other thing', 'slow thing', 2.0, line.make)
    monkeypatch.setattr(bench, 'select', lambda only: [other])
    bench.main([])
    page = (tmp_path / 'benchmarks.md').read_text()
    assert '| other thing |' in page and '| fast thing |' not in page
    monkeypatch.setattr(bench, 'select', lambda only: [line])
    bench.main([])
    assert 'met' in capsys.readouterr().out


def test_the_ratio_of_two_steps_operators(bench, monkeypatch):
    """The clock advances by one second for each operator that runs; copies do not count."""
    import torch

    from benchmarks import operators

    now, runs = [0], []

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            now[0] += 1
            return func(*args, **kwargs or {})

    def make(sums):
        def of(batch, amp):
            runs.append((batch, amp))
            x = torch.ones(batch)
            return lambda: [(x.clone() if sums == 2 else x.view(-1)).sum() for _ in range(sums)]

        return of

    monkeypatch.setattr(time, 'perf_counter', lambda: now[0])
    with Count():
        assert operators.ratio(make(2), make(6), 5) == pytest.approx(0.9 * 3)
    assert runs == [(5, True)] * 2


def test_operators_are_repeated_without_copies(bench):
    from functools import partial

    import torch
    from torch.utils._pytree import tree_map_only

    from benchmarks.operators import Operators, replay

    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)

    def step():
        optimizer.zero_grad()
        (layer(x).to(torch.bfloat16).t().clone().relu() * 2).sum().backward()
        optimizer.step()

    def seen(call):
        with Operators() as operators:
            call()
        shapes = partial(tree_map_only, torch.Tensor, lambda x: (x.shape, x.dtype))
        return [(func, shapes(args), shapes(kwargs)) for func, args, kwargs in operators.seen]

    call, wanted = replay(step), seen(step)
    names = {func._schema.name for func, *_ in wanted}
    assert {'aten::addmm', 'aten::relu', 'aten::mm', 'aten::_fused_adamw_'} <= names
    assert not {'aten::_to_copy', 'aten::clone', 'aten::t', 'aten::zeros_like'} & names
    assert seen(call) == wanted


def test_casts_of_weights_are_repeated_and_those_of_activations_are_not(bench):
    import torch

    from benchmarks.operators import Operators

    layer, x = torch.nn.Linear(4, 3), torch.randn(2, 4)
    with Operators() as operators, torch.autocast('cpu', torch.bfloat16):
        layer(x).sum().backward()
    casts = sorted(
        (str(args[0].dtype), tuple(args[0].shape))
        for func, args, _ in operators.seen
        if func._schema.name == 'aten::_to_copy'
    )
    assert casts == [
        (dtype, shape) for dtype in ('torch.bfloat16', 'torch.float32') for shape in ((3,), (3, 4))
    ]


def test_all_shipped_lines_are_listed(bench, capsys):
    bench.main(['--list'])
    shown = capsys.readouterr().out
    for words in (
        '2 x 224 + 8 x 96',
        'MixMask step',
        'MoCo v2 step',
        'SimCLR step',
        'BYOL step',
        'SimSiam step',
        'iBOT step',
        'k-NN',
    ):
        assert words in shown
    assert any('our iBOT step' in line.beside for line in bench.select(None))
    with pytest.raises(bench.UserError, match='topics are'):
        bench.select(['nothing like it'])


def test_other_sides_of_the_lines_learn(monkeypatch):
    """MMPretrain's steps are real ones: weights move and stay finite; ours are tested as a list."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    for name in [m for m in sys.modules if m == 'benchmark' or m.startswith('benchmarks')]:
        monkeypatch.delitem(sys.modules, name)
    from benchmarks import siamese

    for base in siamese.NAMES:
        model = siamese.MODELS.build(siamese.theirs_config(base))
        before = model.backbone.conv1.weight.clone()
        siamese.MessageHub.get_current_instance().update_info('max_iters', 100)
        siamese.step(model, batch=4, size=32)()
        after = model.backbone.conv1.weight
        assert (after != before).any() and after.isfinite().all()


def test_the_ibot_line_is_a_step_of_its_config(monkeypatch):
    """The shipped config but for its size: a step moves student and teacher."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    for name in [m for m in sys.modules if m == 'benchmark' or m.startswith('benchmarks')]:
        monkeypatch.delitem(sys.modules, name)
    from benchmarks import transformers

    shipped, made = transformers.config, []

    def small(name):
        model = shipped(name)
        model.backbone.update(
            arch=dict(embed_dims=768, num_layers=1, num_heads=12, feedforward_channels=8),
            img_size=32,
        )
        return model

    monkeypatch.setattr(transformers, 'config', small)
    draw, sides = transformers.images, {224: 32, 96: 16}
    monkeypatch.setattr(transformers, 'images', lambda sizes, n: draw([sides[s] for s in sizes], n))
    step = transformers.step
    monkeypatch.setattr(
        transformers, 'step', lambda model, x, amp: made.append(model) or step(model, x, amp=amp)
    )
    call = transformers.our_ibot(4)
    (model,) = made
    before = model.backbone.mask_token.clone()
    call()
    assert (model.backbone.mask_token != before).any() and model.ratios == [0.0, 0.3]


def test_least_time_and_where_the_time_goes(bench):
    """The least time has the step's operations, and the shares of its time sum to one."""
    import torch

    from benchmarks import lower_bound
    from benchmarks.operations import operations

    count = 2 * (2 * lower_bound.SIDE**3) + 2 * lower_bound.SIDE**2 * 100
    assert operations(lower_bound.products(count)) == count
    weights = torch.randn(256, 256, requires_grad=True)

    def call():
        torch.nn.functional.gelu(weights @ weights).sum().backward()

    row = bench.measure(
        bench.Line(
            'a step', 'its least time', 1.25, lambda: (call, call), shares=lower_bound.shares
        )
    )
    found = dict(row['shares'])
    assert sum(found.values()) == pytest.approx(1) and found['matrix products'] > found['GELU'] > 0
    assert [
        lower_bound.kind(f'aten::{name}') for name in ('gelu_backward', 'bmm', 'linalg_svd')
    ] == [*('GELU', 'matrix products', 'other operators')]
    bench.write_page([dict(row, machine='m')])
    assert '| matrix products |' in bench.PAGE.read_text()


def test_a_goal_by_the_ratio_of_operations(bench):
    import torch

    from benchmarks.transformers import by_operations

    def step(products):
        def make(batch):
            x, weights = torch.randn(batch, 8), torch.randn(8, 8)
            return lambda: [x @ weights for _ in range(products)]

        return make

    assert by_operations(step(2), step(6))() == pytest.approx(0.9 * 3)
