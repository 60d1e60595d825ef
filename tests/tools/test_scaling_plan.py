"""tools/scale.py plan: hours, disk and network from stated figures."""

import re
import sys

import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
import scale
from benchmarks.operations import operations
from benchmarks.steps import vit_step
from mssl_plugins.errors import run_cli
from scaling import kept, plan


@pytest.fixture
def given(monkeypatch):
    """A network of 100 GFLOP an image and 1 GB of gradients."""
    monkeypatch.setattr(plan, 'costs', lambda *_: plan.Costs(100e9, 0.0, 1e9))
    free = '--tflops 1000 --utilization 0.5 --overlap 0 --latency 0 --cores 1000000 --disk 1000'

    def args(text=''):
        return plan.parse(f'{free} --gpu-link 1e9 --link 400 {text}'.split())

    return args


def test_operations_are_extrapolated_exactly(monkeypatch):
    """Blocks and images in one batch: what a deeper network on more images has."""
    arch = dict(plan.ViT.arch_zoo['deit-tiny'], num_layers=3)
    monkeypatch.setitem(plan.ViT.arch_zoo, 'three', arch)
    monkeypatch.setitem(plan.METHODS, 'ASL', [64])
    found = plan.costs('ASL', 'three')
    step = vit_step('ASL', arch, [64], 3)
    model = step.build()
    assert found.operations(3) == pytest.approx(operations(step.make(model)) / 3)
    assert found.by_batch > 0
    assert found.gradients == 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_hours_by_hand(given):
    args = given('--images 1e6 --epochs 10 --batch 4000 --machines 1')
    one, two = plan.row(args, 1), plan.row(args, 2)
    assert one.compute == pytest.approx(500 * 100e9 / 500e12) == pytest.approx(2 * two.compute)
    assert one.hours == pytest.approx(10 * 1e6 / 4000 * 0.1 / 3600) and one.limit == 'computing'
    assert two.exposed == pytest.approx(1e9 / 50e9, rel=1e-6) and two.limit == 'network'
    assert two.step == pytest.approx(0.07, rel=1e-6) and two.network == 1e9
    assert two.efficiency == pytest.approx(0.05 / 0.07, rel=1e-6)
    said = 'stops scaling after 1 machine: twice as many are 1.43 times as fast (network)'
    assert said in plan.lines(args)[0]


def test_a_start_grows_on_as_the_longest_lists_do(monkeypatch):
    points = [[10, 1, 1, 9], [1000, 2, 0.1, 50], [10000, 8, 0.4, 40]]  # x 4 for each tenfold
    curves = [dict(points=points), dict(points=[[100, 7, 7, 7]])]
    monkeypatch.setattr(plan.kept, 'load', lambda: dict(images=dict(curves=curves)))
    assert plan.start(1e4) == pytest.approx((8, 0.4, 4e5))
    assert plan.start(1e3) == pytest.approx((2, 0.1, 4e4))
    assert plan.start(1e6) == pytest.approx((128, 6.4, 4e7))


def test_what_limits(given):
    few = plan.row(given('--cores 1 --batch 4000'), 1)
    assert few.limit == 'decoding' and few.step == few.loader > few.compute
    assert few.loader == pytest.approx(4000 * plan.seconds_an_image('MAE', 0.1875e6))
    slow = plan.row(given('--disk 0.1 --bytes 1e5 --batch 4000'), 1)
    assert slow.limit == 'disk' and slow.step == pytest.approx(4000 * 1e5 / 1e8)
    assert slow.reading == pytest.approx(0.1e9)
    rates = kept.load()['loader']['rates']
    larger = plan.seconds_an_image('MAE', 2 * 0.1875e6)
    assert larger == pytest.approx(1 / rates['MAE, ASL'] + 1 / rates['decoded'])
    assert 'after 2 machines: twice as many have fewer than 8' in plan.stop(
        given('--batch 128 --link 1e6')
    )
    assert '| below 1 |' in plan.lines(given('--batch 128 --machines 1 32'))[-1]


def test_the_page_shows_the_commands_plans():
    """Words and assumptions of the section, and one of its plans computed again."""
    text = kept.PAGE.read_text()
    page = text.split('<!-- plan: begin -->')[1].split('<!-- plan: end -->')[0]
    assert plan.NOTE in page
    for name, default, what in plan.OPTIONS:
        assert f'| `{name}` | {default:g} | {what} |' in page
    shown = re.findall(r'^python tools/scale.py plan (.*)$', page, re.M)
    assert shown == [argv for _, argv in plan.PLANS]
    assert '\n'.join(plan.lines(plan.parse(shown[0].split()))) in page


@pytest.mark.parametrize(
    'argv, said',
    [
        ('--images 0', '--images 0: must be 1 or more'),
        ('plan --images 0', '--images 0: must be more than 0'),
        ('plan --images inf', '--images inf: must be more than 0'),
        ('plan --epochs -1', '--epochs -1: must be more than 0'),
        ('plan --batch 0', '--batch 0: must be more than 0'),
        ('plan --machines 0 1', '--machines 0: must be 1 or more'),
        ('plan --utilization 2', '--utilization 2: must be at most 1'),
        ('plan --overlap -1', '--overlap -1: must be 0 or more'),
        ('plan --method MoCo', "argument --method: invalid choice: 'MoCo'"),
        ('plan --arch big', "argument --arch: invalid choice: 'big'"),
        ('plan --link fast', "argument --link: invalid float value: 'fast'"),
    ],
)
def test_wrong_options_are_told_in_a_line(argv, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        scale.main(argv.split())
    assert stopped.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def test_a_network_that_cannot_be_built_is_told(capsys):
    assert run_cli(lambda: scale.main(['plan', '--method', 'MST', '--arch', 'huge'])) == 2
    assert "MST's decoder takes patches of 2^n px" in capsys.readouterr().err
