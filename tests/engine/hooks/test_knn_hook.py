"""The live k-NN hook in MMEngine's runner."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn

from helpers.images import RandomImages
from mssl_plugins.engine.hooks.knn_hook import KNNHook
from mssl_plugins.evaluation import knn_accuracy
from mssl_plugins.registry import HOOKS

ROOT = Path(__file__).parents[3]


@DATASETS.register_module(force=True)
class KNNTestImages(RandomImages):
    """Two kinds of images: bright above or bright on the left."""

    def __init__(self, length=24, seed=0):
        super().__init__(length, 16)
        rng = torch.Generator().manual_seed(seed)
        noise = torch.randint(0, 120, self.pixels.shape, generator=rng, dtype=torch.uint8)
        self.pixels = noise
        self.pixels[::2, :, :8] += 120
        self.pixels[1::2, :, :, :8] += 120

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        sample['data_samples'] = DataSample().set_gt_label(index % 2)
        return sample


@MODELS.register_module(force=True)
class KNNTestModel(nn.Module):
    """Trains a backbone with BatchNorm and dropout on anything."""

    def __init__(self, collapsed=False):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten()
        )
        self.collapsed = collapsed

    def train_step(self, data, optim_wrapper):
        x = torch.stack(data['inputs']) if isinstance(data['inputs'], list) else data['inputs']
        loss = self.backbone(x.float() / 255).square().mean() + torch.rand(()) * sum(
            p.sum() for p in self.parameters()
        )
        if self.collapsed:
            for p in self.parameters():
                p.data.zero_()
            self.backbone[1].bias.data.fill_(1.0)
        optim_wrapper.update_params(loss)
        return dict(loss=loss.detach())


def run(work_dir, hook=None, model=None, loop=None, **kwargs):
    """Three epochs of three iterations."""
    work_dir.mkdir(exist_ok=True)
    runner = Runner(
        model=dict(type='KNNTestModel', **(model or {})),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=dict(type='KNNTestImages'),
            batch_size=8,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_cfg=loop or dict(by_epoch=True, max_epochs=3),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[hook] if hook else [],
        visualizer=dict(
            type='Visualizer',
            vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
        ),
        randomness=dict(seed=3),
        default_scope='mmengine',
        experiment_name=work_dir.name,
        log_level='WARNING',
        **kwargs,
    )
    runner.train()
    return runner


def scalars(runner):
    lines = []
    for path in sorted(Path(runner.work_dir).rglob('scalars.json')):
        lines += map(json.loads, path.read_text().splitlines())
    return lines


HOOK = dict(
    type='mssl_plugins.KNNHook',
    bank=dict(dataset=dict(type='KNNTestImages'), batch_size=5),
    test=dict(type='KNNTestImages', length=10, seed=1),  # a dataset's config
    k=[1, 7],
    temperature=0.1,
)


def test_the_hook_is_registered():
    assert HOOKS.get('mssl_plugins.KNNHook') is KNNHook


def test_results_reach_every_log_and_training_is_as_without(tmp_path):
    plain = run(tmp_path / 'plain')
    live = run(tmp_path / 'live', HOOK)
    losses = [x['loss'] for x in scalars(live) if 'loss' in x]
    assert losses == [x['loss'] for x in scalars(plain) if 'loss' in x]
    assert len(losses) == 9
    for key, value in plain.model.state_dict().items():
        assert torch.equal(live.model.state_dict()[key], value), key
    assert all(m.training for m in live.model.modules())

    rows = [x for x in scalars(live) if 'knn/top1_k1' in x]
    assert [x['step'] for x in rows] == [3, 6, 9]
    assert set(rows[0]) == {'knn/top1_k1', 'knn/top1_k7', 'collapse/std', 'collapse/erank', 'step'}
    last = {k: v for k, v in rows[-1].items() if k != 'step'}
    hub = MessageHub.get_instance(live.experiment_name)
    assert hub.get_info('knn') == dict(last, iter=9)

    # ... and equal what the last checkpoint gives.
    saved = torch.load(Path(live.work_dir) / 'epoch_3.pth', weights_only=False)
    assert saved['message_hub']['runtime_info']['knn'] == dict(last, iter=9)
    net = live.model.backbone.eval()
    bank, test = KNNTestImages(), KNNTestImages(10, 1)
    with torch.no_grad():
        x = (
            net(test.pixels.float()),
            torch.arange(10) % 2,
            net(bank.pixels.float()),
            torch.arange(24) % 2,
        )
    top1 = knn_accuracy(*x, ks=[1, 7], temperature=0.1)
    assert top1 == {1: last['knn/top1_k1'], 7: last['knn/top1_k7']}

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = next(Path(live.work_dir).rglob('events.out.tfevents*'))
    curve = EventAccumulator(str(events.parent)).Reload().Scalars('knn/top1_k7')
    assert [e.step for e in curve] == [3, 6, 9]


@pytest.mark.parametrize(
    'change,steps',
    [
        (dict(interval=2), [6, 9]),
        (dict(begin=3), [9]),
        (dict(begin=0), [0, 3, 6, 9]),
        (dict(by_epoch=False, interval=4), [4, 8, 9]),
    ],
)
def test_when_it_measures(tmp_path, change, steps):
    runner = run(tmp_path, dict(HOOK, **change))
    assert [x['step'] for x in scalars(runner) if 'knn/top1_k1' in x] == steps


def test_iteration_based_loops(tmp_path):
    runner = run(
        tmp_path,
        dict(HOOK, by_epoch=False, interval=2),
        loop=dict(by_epoch=False, max_iters=5),
        log_processor=dict(by_epoch=False),
    )
    rows = scalars(runner)
    assert [x['step'] for x in rows if 'knn/top1_k1' in x] == [2, 4, 5]


def test_collapse_is_warned_of(tmp_path, capfd):
    run(tmp_path / 'healthy', dict(HOOK, min_std=0.05, min_erank=1.5))
    assert 'collapse?' not in capfd.readouterr().err
    runner = run(tmp_path / 'ill', HOOK, dict(collapsed=True))
    text = next(Path(runner.work_dir).rglob('*.log')).read_text()
    assert 'collapse? after 9 iterations the student gives nearly the same features' in text
    row = [x for x in scalars(runner) if 'collapse/std' in x][-1]
    assert row['collapse/std'] < 0.1 and row['collapse/erank'] < 2


def test_mistakes_stop_the_run_before_it_trains(tmp_path):
    for name, change, message in (
        ('k', dict(k=25), 'k = 25 is larger than the bank of 24'),
        ('teacher', dict(branch='teacher'), 'has no teacher'),
        ('empty', dict(test=dict(type='KNNTestImages', length=0)), 'the test set is empty'),
    ):
        with pytest.raises(ValueError, match=message):
            run(tmp_path / name, dict(HOOK, **change))
        assert not list((tmp_path / name).rglob('*.pth'))


@pytest.mark.parametrize(
    'label, message',
    [
        (lambda i: 1, 'KNNHook: .* 24 samples has one class only'),
        (lambda i: None, 'without a label'),
    ],
    ids=['one class', 'no labels'],
)
def test_a_bank_that_tells_nothing_stops_the_run_before_it_trains(
    label, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        KNNTestImages, 'get_data_info', lambda self, i: dict(gt_label=label(i)), raising=False
    )
    trained = []
    monkeypatch.setattr(KNNTestModel, 'train_step', lambda *args, **kwargs: trained.append(1))
    with pytest.raises(ValueError, match=message):
        run(tmp_path / 'run', HOOK)
    assert not trained


@pytest.mark.parametrize(
    'change,message',
    [
        (dict(k=0), 'k must be'),
        (dict(k=[]), 'k must be'),
        (dict(interval=0), 'interval'),
        (dict(temperature=0), 'temperature'),
        (dict(branch='techer'), "did you mean 'teacher'"),
        (dict(pool='clss'), "did you mean 'cls'"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        KNNHook(**{**{k: v for k, v in HOOK.items() if k != 'type'}, **change})


def test_the_branch_of_a_method_is_one_rule(tmp_path):
    """What evaluate and export take of DINO and MST, the hook and knn take."""
    from mmengine.config import Config

    from mssl_plugins.checkpoints.reader import read
    from mssl_plugins.evaluation.inputs import build_model

    cfg = Config.fromfile(ROOT / 'configs/dino/dino_vit-mini_1xb64-coslr-6e_scenes.py')
    cfg.default_scope = 'mmpretrain'
    model = MODELS.build(dict(cfg.model, _scope_='mmpretrain'))
    for p in model.teacher.parameters():
        p.data.fill_(0.5)
    state = dict(model.state_dict())
    torch.save(
        dict(
            state_dict={**state, 'teacher.steps': torch.tensor(3)}, meta=dict(cfg=cfg.pretty_text)
        ),
        tmp_path / 'dino.pth',
    )
    found = read(tmp_path / 'dino.pth')
    built, said = build_model(cfg, str(tmp_path / 'dino.pth'))
    assert found.source['branch'] == 'teacher' and said.startswith('teacher backbone')
    own = built.backbone.state_dict()
    assert all(torch.equal(own[k], v) for k, v in found.weights.items() if k in own)
    assert (own['cls_token'] == 0.5).all()
    student, said = build_model(cfg, str(tmp_path / 'dino.pth'), 'student')
    assert said.startswith('student') and not (student.backbone.cls_token == 0.5).all()

    KNNTestModel.__name__ = 'DINO'  # the rule goes by the method's name
    try:
        with pytest.raises(ValueError, match='DINO has no teacher'):
            run(tmp_path / 'hook', HOOK)
    finally:
        KNNTestModel.__name__ = 'KNNTestModel'
