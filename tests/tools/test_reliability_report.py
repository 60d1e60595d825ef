"""Sections of docs/reliability.md: each is replaced, and nothing else."""

import pytest

from helpers.tools import tool

report = tool('reliability/report')


def test_a_section_is_replaced_and_the_rest_stays(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('# Page\n\n<!-- a: begin -->\n<!-- a: end -->\n\nBetween.\n')
    report.write_section('a', ['## A', '', 'one'], page)
    report.write_section('b', ['## B'], page)
    report.write_section('a', ['## A', '', 'two'], page)
    assert page.read_text() == (
        '# Page\n\n<!-- a: begin -->\n## A\n\ntwo\n<!-- a: end -->\n\nBetween.\n\n'
        '<!-- b: begin -->\n## B\n<!-- b: end -->\n'
    )
    page.write_text('<!-- a: begin -->\n')
    with pytest.raises(ValueError, match='<!-- a: end --> once'):
        report.write_section('a', [], page)


def test_every_mark_of_the_page_has_its_other_end():
    text = report.PAGE.read_text()
    marks = [line.split()[1:3] for line in text.splitlines() if line.startswith('<!-- ')]
    assert [m[1] for m in marks] == ['begin', 'end'] * (len(marks) // 2)
    assert [m[0] for m in marks[::2]] == [m[0] for m in marks[1::2]]
