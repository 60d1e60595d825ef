"""tools/scale.py: real starts of few images."""

import re
import subprocess
import sys

import pytest

from helpers.paths import ROOT


@pytest.mark.parametrize('files', [True, False])
def test_rows_of_the_page(tmp_path, files):
    command = [sys.executable, str(ROOT / 'tools' / 'scale.py'), '--images', '1500']
    command += ['--files', str(tmp_path / 'many')] if files else []
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    head, _, row = out.strip().splitlines()
    assert re.fullmatch(rf'\| 1,500 \| {"files" if files else "list"}( \| [\d.]+){{4}} \|', row), (
        row
    )
    assert head in (ROOT / 'docs' / 'scale.md').read_text()
    if files:
        assert len(list((tmp_path / 'many' / '1500').rglob('*.jpg'))) == 1500
