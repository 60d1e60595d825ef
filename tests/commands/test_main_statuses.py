"""Exit statuses are those of the table in docs/reliability.md.

130 and 143 are held by test_train_stop.py, 141 by test_main.py.
"""

import re

import pytest

from helpers.paths import ROOT
from mssl_plugins.commands.main import main

CONFIG = 'moco_resnet18_1xb64-coslr-8e_cifar10'


@pytest.mark.parametrize(
    'status, said, argv',
    [
        (0, '', ['list']),
        (1, 'no such checkpoint: no.pth', ['export', 'no.pth', 'out', '--to', 'timm']),
        (1, 'no such checkpoint: no.pth', ['train', CONFIG, '--resume', 'no.pth']),
        (1, '--batch-size 0: must be', ['train', CONFIG, '--batch-size', '0']),
        (1, '--max-bad nan: must lie in', ['train', CONFIG, '--max-bad', 'nan']),
        (1, '--min-size -5: must be 0', ['train', CONFIG, '--min-size', '-5']),
        (1, '--epochs 10000000000: must', ['train', CONFIG, '--epochs', '10000000000']),
        (1, '--processes 100000: this', ['train', CONFIG, '--processes', '100000']),
        (1, '--processes 0: must be 1', ['train', CONFIG, '--processes', '0']),
        (2, '--bits: invalid choice', ['train', CONFIG, '--bits', '12']),
        (1, '--bits 16: goes with', ['channel_statistics', '.', '--bits', '16']),
        (1, 'no such data: nowhere', ['channel_statistics', 'nowhere']),
        (1, '--images 0: must be 1', ['pack', '.', 'out', '--images', '0']),
        (1, 'a whole number of 1 to 64', ['pack', '.', 'out', '--channels', '0']),
        (2, 'must be KEY=VALUE', ['train', CONFIG, '--cfg-options', 'seed']),
        (2, 'must be KEY=VALUE', ['train', CONFIG, '--cfg-options', 'a=[dict(b=1,c=2)]']),
        (2, 'load_from = ', ['train', CONFIG, '--cfg-options', 'load_from=no.pth']),
        (2, 'model.momentm: ', ['train', CONFIG, '--cfg-options', 'model.momentm=1']),
        (2, '--epochs', ['train', CONFIG, '--epochs', 'many']),
        (2, "unknown command 'trian'", ['trian']),
    ],
)
def test_a_mistake_has_its_status(tmp_path, monkeypatch, capsys, status, said, argv):
    monkeypatch.chdir(tmp_path)
    try:
        found = main(argv)
    except SystemExit as end:
        found = end.code
    error = capsys.readouterr().err
    assert (found or 0) == status and said in error and 'Traceback' not in error
    assert not list(tmp_path.iterdir())


def test_the_page_has_every_status():
    text = (ROOT / 'docs/reliability.md').read_text()
    table = text.split('## Exit statuses')[1].split('<!--')[0]
    assert re.findall(r'^\| (\d+) \|', table, re.M) == ['0', '1', '2', '130', '141', '143']
