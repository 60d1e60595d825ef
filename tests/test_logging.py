"""docs/logging.md: one override sends a run to MLflow or to Weights & Biases."""

import json
import re

import pytest

from helpers.paths import ROOT

BLOCK = 32768
VISUALIZER = """
visualizer = dict(type='Visualizer', name='visualizer', vis_backends=[
    dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
"""


def override(kind: str) -> str:
    """The override as the page shows it."""
    found = re.findall(
        rf'train \S+ --cfg-options (\S+={kind})\n', (ROOT / 'docs/logging.md').read_text()
    )
    assert len(found) == 1
    return found[0]


def train(run_python, config, options, **env):
    """The folder of a run of one epoch."""
    run = config.parent / 'run'
    argv = ['-m', 'mssl_plugins', 'train', config, '--work-dir', run, '--epochs', 1]
    done = run_python(*argv, '--cfg-options', *options, env=env)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    return run


def logged(work_dir):
    """What the run's own file holds: (loss, learning rate) of its steps."""
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_shipped_configs_have_the_back_end_that_is_replaced():
    from mssl_plugins.config import read_config

    for name in ('simclr_resnet18_1xb64-coslr-8e_scenes', 'mst_vit-s16_16xb64-coslr-100e_in1k'):
        backends = read_config(name).visualizer.vis_backends
        assert [b.type for b in backends] == ['LocalVisBackend', 'TensorboardVisBackend']


def test_mlflow(tiny_config, tmp_path, run_python, monkeypatch):
    """Into a local store, read back by MLflow itself."""
    pytest.importorskip('mlflow', reason='needs mlflow')
    from mlflow.tracking import MlflowClient

    assert 'export MLFLOW_ALLOW_FILE_STORE=true' in (ROOT / 'docs/logging.md').read_text()
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')  # to read it here, too
    options = [override('MLflowVisBackend'), 'visualizer.vis_backends.1.exp_name=backbones']
    run = train(run_python, tiny_config(VISUALIZER), options)
    (store,) = run.glob('*/vis_data')
    client = MlflowClient(tracking_uri=store.as_uri())
    experiment = client.get_experiment_by_name('backbones')
    (found,) = client.search_runs([experiment.experiment_id])
    losses = [m.value for m in client.get_metric_history(found.info.run_id, 'loss')]
    assert losses == pytest.approx([row['loss'] for row in logged(run)]) and len(losses) == 3
    assert found.data.params['model.type'] == 'mssl_plugins.MoCo'
    assert found.data.params['optim_wrapper.optimizer.type'] == 'SGD'


def records(data: bytes):
    """Records of a file in LevelDB's log format, after W&B's 7 bytes: crc 4, length 2, kind 1."""
    at, whole = 7, b''
    while at + 7 <= len(data):
        if at % BLOCK > BLOCK - 7:  # no room for a head: zeros up to the next block
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], 'little'), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        if kind in (1, 4):  # the whole record, or its last part
            yield whole
            whole = b''
        at += 7 + length


def test_wandb_offline(tiny_config, tmp_path, run_python):
    """Onto the disk, read back from the file that ``wandb sync`` would send."""
    pytest.importorskip('wandb', reason='needs wandb')
    from wandb.proto import wandb_internal_pb2

    options = [override('WandbVisBackend'), 'visualizer.vis_backends.1.init_kwargs.project=mine']
    run = train(run_python, tiny_config(VISUALIZER), options, WANDB_MODE='offline')
    (file,) = run.glob('*/vis_data/wandb/offline-run-*/*.wandb')
    losses, project = [], None
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField('run'):
            project = record.run.project
        for item in record.history.item:
            if 'loss' in (item.key, *item.nested_key):
                losses.append(json.loads(item.value_json))
    assert project == 'mine'
    assert losses == pytest.approx([row['loss'] for row in logged(run)]) and len(losses) == 3
