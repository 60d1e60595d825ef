"""Exponents of points, and the sections of docs/scale.md that are written from docs/scale.json."""

import re
import sys

import numpy as np
import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
from scaling import kept
from scaling.fit import fit


def test_a_power_is_found_exactly():
    found = fit([(x, 3 * x**1.7) for x in (1, 2, 5, 40)])
    assert found.exponent == pytest.approx(1.7) and found.error < 1e-9
    assert found.first == pytest.approx(1.7) and found.verdict == 'yes'


def test_error_is_that_of_least_squares():
    x, y = np.array([1.0, 2, 4, 8, 16]), np.array([1.0, 2.2, 3.7, 8.5, 15])
    (slope, _), covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    found = fit([*zip(x, y)])
    assert found.exponent == pytest.approx(slope)
    assert found.error == pytest.approx(covariance[0, 0] ** 0.5)


def test_a_fixed_cost_is_told_from_a_power():
    found = fit([(x, 10 + x) for x in (1, 10, 100, 1000)])
    assert found.verdict == 'no: from 0.26 to 0.96'
    with pytest.raises(ValueError, match='two points above 0'):
        fit([(1, 0.0), (2, 1.0)])


def test_the_page_says_what_is_kept():
    section = '\n'.join(kept.axes_section())
    assert f'<!-- axes: begin -->\n{section}\n<!-- axes: end -->' in kept.PAGE.read_text()
    shown = set()
    for line in kept.PAGE.read_text().splitlines():
        if found := re.match(r'\| ([\d,]+) \| (files|list) \| (\S+) \| (\S+) \| (\S+) \|', line):
            number, how, *values = found.groups()
            shown.add((how, int(number.replace(',', '')), *map(float, values)))
    curves = kept.load()['images']['curves']
    names = {'a list file': 'list', 'a folder of files': 'files'}
    assert shown == {(names[c['what']], *point) for c in curves for point in c['points']}
