"""Intervals and verdicts of the evidence tool, against scipy and simulated studies."""

import sys

import numpy as np
import pytest
from scipy import stats

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
from evidence_tool.statistics import compare, percent


def simulate(rng, seeds, images, delta, seed, image, rest):
    """Difference of a variant by seed and image, in hundredths, with the docstring's effects."""
    effects = rng.normal(0, seed, (seeds, 1)) + 100 * rng.normal(0, image, (1, images))
    return (delta + effects + 100 * rng.normal(0, rest, (seeds, images))) / 100


@pytest.mark.parametrize('seeds', [3, 5])
@pytest.mark.parametrize(
    'effects, highest',
    [
        ((1.0, 0.0, 0.01), 0.97),
        ((0.0, 0.2, 0.01), 0.97),
        ((0.0, 0.0, 0.2), 0.97),
        ((1.0, 0.0, 0.2), 0.97),
        ((0.5, 0.1, 0.2), 0.99),
    ],
    ids=['seeds', 'images', 'rest', 'seeds and rest', 'all'],
)
def test_the_interval_holds_the_truth_in_95_of_100(seeds, effects, highest):
    rng, inside, repetitions = np.random.default_rng(1), 0, 1000
    for _ in range(repetitions):
        d = simulate(rng, seeds, 200, 1.5, *effects)
        found = compare(d, np.zeros_like(d))
        inside += found.low <= 1.5 <= found.high
    assert 0.935 <= inside / repetitions <= highest


def test_right_and_wrong_answers_give_the_interval_of_their_rates():
    """The same with bits: seeds differ in ability, images in difficulty."""
    rng, inside, repetitions = np.random.default_rng(0), 0, 600
    for _ in range(repetitions):
        hard = rng.normal(0, 0.15, 300)
        plus, minus = (
            [rng.random(300) < np.clip(mean + rng.normal(0, 0.01) + hard, 0, 1) for _ in range(3)]
            for mean in (0.55, 0.5)
        )
        found = compare(plus, minus)
        inside += found.low <= 5 <= found.high
    assert 0.93 <= inside / repetitions <= 0.985


def test_seeds_alone_give_students_interval():
    rng = np.random.default_rng(0)
    plus, minus = (np.repeat(rng.normal(size=(4, 1)), 50, 1) for _ in 'ab')
    found = compare(plus, minus)
    expected = stats.ttest_rel(100 * plus[:, 0], 100 * minus[:, 0]).confidence_interval(0.95)
    assert found.low == pytest.approx(expected.low) and found.high == pytest.approx(expected.high)
    assert found.by_seed == pytest.approx(tuple(100 * (plus - minus)[:, 0]))


def test_more_looks_give_bonferronis_interval():
    rng = np.random.default_rng(0)
    plus, minus = (np.repeat(rng.normal(size=(5, 1)), 50, 1) for _ in 'ab')
    found = compare(plus, minus, looks=2)
    expected = stats.ttest_rel(100 * plus[:, 0], 100 * minus[:, 0]).confidence_interval(0.975)
    assert found.low == pytest.approx(expected.low) and found.high == pytest.approx(expected.high)


def test_images_alone_give_the_bootstraps_interval():
    rng = np.random.default_rng(0)
    d = np.repeat(rng.normal(0.03, 0.3, (1, 400)), 3, 0)  # all seeds alike
    found = compare(d, np.zeros_like(d))
    theirs = stats.bootstrap((100 * d[0],), np.mean, n_resamples=4000, random_state=0)
    half = stats.norm.ppf(0.975) * theirs.standard_error
    assert found.high - found.difference == pytest.approx(half, rel=0.05)


def test_miou_is_resampled_as_the_mean_is():
    """One class whose union is one pixel an image: mIoU is top-1, and so are the intervals."""
    rng = np.random.default_rng(0)
    plus, minus = (rng.random((3, 500)) < p for p in (0.6, 0.5))
    exact = compare(plus, minus)
    as_counts = [np.stack([a, np.ones_like(a)], -1)[:, :, None].astype(int) for a in (plus, minus)]
    drawn = compare(*as_counts)
    assert drawn.difference == pytest.approx(exact.difference)
    assert drawn.high - drawn.low == pytest.approx(exact.high - exact.low, rel=0.06)


def test_miou_by_loops():
    rng = np.random.default_rng(0)
    union = rng.integers(0, 9, (6, 3))
    union[:, 2] = 0  # a class that no image has
    inside = (union * rng.random((6, 3))).astype(int)
    expected = [sum(inside[:, c]) / sum(union[:, c]) for c in range(2)]
    assert percent(np.stack([inside, union], -1)) == pytest.approx(100 * np.mean(expected))


def test_what_could_have_been_seen_is_seen_in_four_of_five():
    rng = np.random.default_rng(0)

    def agrees(delta):
        d = simulate(rng, 5, 200, delta, 0.8, 0.02, 0.1)
        return compare(d, np.zeros_like(d))

    detectable = np.mean([agrees(0.0).detectable for _ in range(300)])
    share = np.mean([agrees(detectable).verdict == 'agrees' for _ in range(500)])
    assert 0.7 < share < 0.9


@pytest.mark.parametrize(
    'delta, verdict', [(3.0, 'agrees'), (-3.0, 'contradicts'), (0.0, 'undecided')]
)
def test_verdicts(delta, verdict):
    d = simulate(np.random.default_rng(0), 3, 1000, delta, 0.2, 0.05, 0.1)
    assert compare(d, np.zeros_like(d)).verdict == verdict


def test_three_seeds_need_more_than_two_standard_errors():
    """What the old rule called real: 2.5 standard errors on three seeds."""
    by_seed = np.array([0.0, 1.0, 2.0]) + 2.5 * 1 / 3**0.5 - 1
    d = np.repeat(by_seed[:, None], 100, 1) / 100
    assert compare(d, np.zeros_like(d)).verdict == 'undecided'


def test_a_difference_of_differences():
    rng = np.random.default_rng(0)
    a, b, c, d = (rng.random((3, 2000)) < p for p in (0.8, 0.6, 0.5, 0.45))
    found = compare(a, b, beyond=(c, d))
    assert found.difference == pytest.approx(100 * (a.mean() - b.mean() - c.mean() + d.mean()))
    assert found.verdict == 'agrees'


@pytest.mark.parametrize(
    'plus, minus, words',
    [
        (np.zeros((1, 9)), np.zeros((1, 9)), '2 or more'),
        (np.zeros((3, 9)), np.zeros((2, 9)), 'as many'),
        (np.zeros((3, 9)), np.zeros((3, 8)), 'same images'),
    ],
)
def test_mistakes(plus, minus, words):
    with pytest.raises(ValueError, match=words):
        compare(plus, minus)
