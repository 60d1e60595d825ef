"""``tools/benchmark.py --device``: the code that a GPU runs, on a CPU at a tiny size."""

import functools
import json
import sys

import pytest
import torch

from helpers.paths import ROOT
from helpers.tools import tool

HERE = ['--device', 'cpu', '--size', 'tiny', '--threads', '1']


@pytest.fixture
def bench(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    for name in [m for m in sys.modules if m == 'benchmark' or m.startswith('benchmarks')]:
        monkeypatch.delitem(sys.modules, name)
    module = tool('benchmark')
    monkeypatch.setattr(module, 'PAGE', tmp_path / 'benchmarks.md')
    from benchmarks import compiled

    # without a C++ compiler's half minute
    eager = functools.partial(compiled.compile_blocks, backend='aot_eager')
    monkeypatch.setattr(compiled, 'compile_blocks', eager)
    threads = torch.get_num_threads()
    yield module
    torch.set_num_threads(threads)


def test_every_method_has_a_step_that_learns(bench):
    """At the tiny size each step moves what it trains; the other sizes name the same methods."""
    from benchmarks.steps import SIZES, steps

    for step in steps('tiny').values():
        model = step.build()
        call = step.make(model, amp=True)
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        call()
        moved = [n for n, p in model.named_parameters() if n in before and (p != before[n]).any()]
        assert len(moved) > 0.8 * len(before), step.what
        assert all(p.isfinite().all() for p in model.parameters())
    assert len({tuple(s.method for s in steps(size).values()) for size in SIZES}) == 1
    assert len(steps('tiny')) == 12


def test_rows_are_kept_and_the_command_goes_on(bench, tmp_path, capsys):
    command = [*HERE, '--keep', str(tmp_path), '--json', str(tmp_path / 'rows.json')]
    command += ['--only', 'MAE step', 'views of a batch']
    bench.main([*command, '--minutes', '0'])
    assert '3 of 3 rows are left' in capsys.readouterr().out
    bench.main([*command, '--peak', '2'])
    shown = capsys.readouterr().out
    rows = json.loads((tmp_path / 'rows.json').read_text())
    assert [row['compiled'] for row in rows] == [False, False, True]
    assert rows[0]['operations'] == rows[2]['operations'] and rows[1]['operations'] is None
    for row in rows:
        assert row['images_a_second'] > 0 and row['memory'] >= 0 and 'bfloat16' in row['machine']
    assert '| of the nominal rate |' in shown and not bench.PAGE.exists()
    (tmp_path / 'rows.json').unlink()
    bench.main([*command, '--minutes', '0'])  # nothing is measured again
    assert json.loads((tmp_path / 'rows.json').read_text()) == rows
    assert 'are left' not in capsys.readouterr().out


def test_operations_are_those_of_the_formula(bench):
    """Of an attention block: projections, scores and MLP, forward and twice that backward."""
    from benchmarks.operations import operations
    from mssl_plugins.models.backbones.vit import ViT

    tokens, dim, hidden, batch = 5, 32, 64, 3
    arch = dict(embed_dims=dim, num_layers=1, num_heads=2, feedforward_channels=hidden)
    net = ViT(arch, img_size=32, patch_size=16)
    x = torch.randn(batch, 3, 32, 32)
    embed = 2 * batch * (tokens - 1) * 3 * 16**2 * dim
    block = 2 * batch * tokens * dim * (4 * dim + 2 * hidden)
    attention = 2 * 2 * batch * tokens * tokens * dim
    expected = 3 * (block + attention) + 2 * embed  # no gradient of the image
    assert operations(lambda: net(x)[0].sum().backward()) == expected


def test_what_fails_is_told_and_tried_again(bench, tmp_path, monkeypatch, capsys):
    from benchmarks import device

    errors = [RuntimeError('no kernel'), torch.cuda.OutOfMemoryError('CUDA out of memory')]

    def broken(case, *_):
        raise errors[case.compiled]

    monkeypatch.setattr(device, 'measure', broken)
    rows, failed = device.run('cpu', 'tiny', ['MAE step'], 9, tmp_path)
    assert failed == 1
    assert [(row['compiled'], row['failed']) for row in rows] == [(True, 'out of memory')]
    assert 'RuntimeError: no kernel' in capsys.readouterr().out
    assert 'out of memory' in device.table(rows)[-1]


def test_rows_of_a_gpu_come_onto_the_page(bench, tmp_path):
    row = dict(seconds=0.5, spread=[0.4, 0.6], first=3.0, images_a_second=256.0, memory=9000.0)
    row.update(what='MAE step', compiled=True, rate=5e14, machine='GPU, bfloat16', operations=1e14)
    kept = dict(peak=1000.0, rows=[row])
    (tmp_path / 'benchmarks-cuda.json').write_text(json.dumps(kept))
    bench.write_page([])
    page = bench.PAGE.read_text()
    assert '| MAE step | yes | 0.5 (0.4 - 0.6) | 256 | 9,000 | 100 | 40% | 20% | 3.0 |' in page
    assert 'GPU, bfloat16. Its matrix rate, measured in the same runs, is 500 TFLOP/s' in page


@pytest.mark.parametrize(
    'argv, said',
    [
        (['--peak', '3'], '--peak goes with --device'),
        ([*HERE, '--peak', '0'], '--peak 0: must be more than 0'),
        ([*HERE, '--minutes', '-1'], '--minutes -1: must be 0 or more'),
        (['--threads', '0'], '--threads 0: must be 1 or more'),
        (['--device', 'gpu'], "argument --device: invalid choice: 'gpu'"),
        ([*HERE, '--size', 'big'], "argument --size: invalid choice: 'big'"),
    ],
)
def test_wrong_options_are_told_in_a_line(bench, argv, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        bench.main(argv)
    assert stopped.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_without_a_gpu_it_says_so(bench, capsys):
    assert bench.run_cli(lambda: bench.main(['--device', 'cuda'])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: --device cuda: torch ') and line.endswith('finds no GPU here')
    assert bench.run_cli(lambda: bench.main([*HERE, '--only', 'nothing like it'])) == 2
    assert 'no such row; steps are of MAE, ASL' in capsys.readouterr().err
