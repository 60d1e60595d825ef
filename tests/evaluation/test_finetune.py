"""Fine-tuning by the shipped configs: each protocol builds, one runs and resumes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, MODELS

from mssl_plugins.datasets.labelled import labels_of
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData
from mssl_plugins.evaluation.finetune import FineTuning, _visible
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.protocols import PROTOCOLS, choose
from mssl_plugins.evaluation.runner import Evaluation


def test_fine_tuning_runs_and_resumes(evaluate, images, checkpoints):
    """The shipped config through tools/train.py, once for real."""
    argv = (
        checkpoints / 'vit.pth',
        '--data',
        images,
        '--protocols',
        'finetune-10',
        '--finetune-batch',
        2,
        '--epochs',
        1,
        '--device',
        'cpu',
    )
    status, text, rows = evaluate(*argv)
    assert status == 0, text
    assert rows[0]['setting'] == '10% of the labels, 1 epochs, batch 2'
    assert 0 <= rows[0]['value'] <= 100 and rows[0]['seconds'] > 0
    log = next(Path('work').rglob('output.txt')).read_text()
    assert '1 epochs of 3 steps' in log and 'epoch 1/1  loss' in log
    status, text, again = evaluate(*argv)
    assert status == 0 and 'measured before' in text and again == rows


def test_lists_of_one_name_are_told_apart(tmp_path, images, checkpoints):
    backbone = FrozenBackbone(str(checkpoints / 'vit.pth'))
    data = EvaluationData(str(images), tmp_path, native=backbone.native)
    settings = []
    for content in ('a', 'b', 'a'):
        (tmp_path / 'few.txt').write_text(content)
        options = EvaluationOptions(lists={'finetune-1': str(tmp_path / 'few.txt')})
        settings.append(FineTuning('finetune-1', backbone, data, tmp_path, options).setting)
    assert settings[0] == settings[2] != settings[1]
    assert all(setting.startswith('list few.txt (') for setting in settings)


@pytest.mark.parametrize(
    'device, seen, wanted',
    [
        ('cpu', '3', ''),
        ('cuda', None, None),
        ('cuda:1', None, '1'),
        ('cuda:1', '4,7', '7'),
    ],
)
def test_fine_tuning_runs_on_the_device_that_was_named(device, seen, wanted):
    assert _visible(device, seen).get('CUDA_VISIBLE_DEVICES') == wanted


@pytest.mark.parametrize('name', ['vit', 'resnet'])
def test_fine_tuning_configs(tmp_path, images, checkpoints, name):
    backbone = FrozenBackbone(str(checkpoints / f'{name}.pth'))
    data = EvaluationData(str(images), tmp_path, native=backbone.native)
    run = Evaluation(backbone, data, tmp_path, EvaluationOptions(epochs=10, finetune_batch=8))
    for protocol in choose('finetune', backbone.family):
        cfg = run.finetuning(protocol).config()
        assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 3
        assert cfg.train_cfg.max_epochs == 10 and cfg.train_dataloader.batch_size == 8
        assert cfg.auto_scale_lr.enable and cfg.val_evaluator.topk == (1,)
        last = cfg.param_scheduler[-1]
        assert last.get('milestones', [6, 8]) == [6, 8] and last.get('end', 10) == 10
        model = MODELS.build(dict(cfg.model, data_preprocessor=dict(cfg.data_preprocessor)))
        model.init_weights()
        for key, value in model.backbone.state_dict().items():
            if key in backbone.weights:
                assert torch.equal(value, backbone.weights[key]), key
        assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
        train = DATASETS.build(dict(cfg.train_dataloader.dataset))
        share = PROTOCOLS[protocol].labels
        counts = np.bincount(labels_of(train))
        assert counts.tolist() == [max(1, round(20 * share))] * 3
        assert train[0]['inputs'].shape == (3, 16, 16)
        assert len(DATASETS.build(dict(cfg.val_dataloader.dataset))) == 24
