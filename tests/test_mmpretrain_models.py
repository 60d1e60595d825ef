"""mmpretrain's models are imported without mmdet, unless it is there already."""

import pytest

from helpers.paths import ROOT

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')
DETECTOR = ROOT / 'configs/benchmarks/detection/faster-rcnn_r18-c4_1xb4-200i_bccd.py'

ALONE = """
import os, sys
from importlib import import_module
import mmengine.runner
def load(module):
    import_module(module)
    # mmdet imports the others, or they are imported where they are needed
    heavy = {{'mmdet', 'sklearn', 'pandas', 'matplotlib', 'skimage'}} & set(sys.modules)
    assert not heavy, f'{{module}} loads {{sorted(heavy)}}'
if not os.fork():  # each of the two in a process that has imported no model before
    load('mssl_plugins.checkpoints.reader')
    os._exit(0)
assert os.wait()[1] == 0
load('mssl_plugins.training')
import mmdet.models  # later on, as for a detector's training
from mmdet.registry import MODELS
assert MODELS.get('FasterRCNN') and not MODELS.get('ResLayerExtraNorm')
from mssl_plugins.run_config import build_run_config
build_run_config(config={config!r}, work_dir='run')
assert MODELS.get('ResLayerExtraNorm')
"""
AFTER_MMDET = """
import mmdet
import mssl_plugins.models
from mmdet.registry import MODELS
assert MODELS.get('ResLayerExtraNorm'), 'the head that mmpretrain makes for mmdet'
"""


def test_mmdet_stays_out(run_python):
    done = run_python('-c', ALONE.format(config=str(DETECTOR)), fresh=True)
    assert not done.returncode, done.stderr


def test_mmdet_keeps_its_head(run_python):
    done = run_python('-c', AFTER_MMDET, fresh=True)
    assert not done.returncode, done.stderr
