"""What a run does when the machine gives out: each case of the table in docs/reliability.md."""

import time

import pytest

from helpers.tools import tool

resources = tool('reliability/resources')
scene = tool('reliability/scene')


@pytest.fixture(scope='module', autouse=True)
def loaded():
    """What runs are forked from has imported what takes seconds."""
    resources.tiny_runs.preload()


@pytest.mark.parametrize('name', resources.CASES)
def test_a_run_does_what_the_page_says(name):
    try:
        # how long it takes, the tool measures: a busy machine is no fault of the code
        late = {scene.LATE} if name == 'killed_process' else set()
        assert {*resources.try_case(name)} <= late
    except resources.NotHere as error:
        pytest.skip(str(error))


def test_what_does_not_hold_is_seen(tmp_path):
    seen = scene.Scene(tmp_path, epochs=1)
    run = seen.start()
    seen.expect(run, 143, 'saved')
    (seen.work / '.iter_2.pth.incomplete').touch()
    seen.goes_on()
    seen.within(60, began=time.monotonic() - 30)
    seen.within(60, began=time.monotonic() - 60)
    assert [fault.split(',')[0].split('[')[0] for fault in seen.faults] == [
        'exit status 0',
        'says ',
        'a partial file is left',
        scene.LATE,
    ]


def test_the_page_has_every_case():
    text = resources.write_section.__globals__['PAGE'].read_text()
    for case in resources.CASES.values():
        assert f'| {case.happens} | {case.does} | yes |' in text, case.happens
