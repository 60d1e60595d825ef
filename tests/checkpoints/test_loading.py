"""Strangers' checkpoints run no code; backbones are found in those of any library."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from mssl_plugins.checkpoints.loading import find_backbone, load_backbone, load_checkpoint_safely


class Attack:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class GetAttribute:
    """Reads an attribute of an allowed name, as MMEngine's list permits."""

    def __reduce__(self):
        return getattr, (torch._utils._rebuild_tensor_v2, '__globals__')


@pytest.mark.parametrize('where', ['top', 'state_dict', 'meta', 'log'])
def test_a_stranger_runs_no_code(tmp_path, where):
    made = tmp_path / 'made'
    attack = Attack(made)
    checkpoint = dict(
        top=attack,
        state_dict=dict(state_dict=dict(weight=attack)),
        meta=dict(state_dict=dict(weight=torch.ones(2)), meta=attack),
        log=dict(message_hub=dict(log_scalars={'a': _log(attack)})),
    )[where]
    path = tmp_path / 'evil.pth'
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r'evil.pth is refused: .*mkdir'):
        load_checkpoint_safely(path)
    assert not made.exists()
    torch.load(path, weights_only=False)  # the attack itself works
    assert made.exists()


def _log(item):
    log = HistoryBuffer()
    log.item = item
    return log


@pytest.mark.parametrize('legacy', [True, False])
def test_other_file_formats_run_no_code(tmp_path, legacy):
    path, made = tmp_path / 'evil.pth', tmp_path / 'made'
    if legacy:
        torch.save(Attack(made), path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(Attack(made)))
    with pytest.raises(ValueError, match='evil.pth'):
        load_checkpoint_safely(path)
    assert not made.exists()


def test_no_attributes_for_strangers(tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save(dict(x=GetAttribute()), path)
    with pytest.raises(ValueError, match='evil.pth is refused: .*getattr'):
        load_checkpoint_safely(path)


def test_an_environment_variable_does_not_change_it(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    path = tmp_path / 'evil.pth'
    torch.save(dict(x=Attack(tmp_path / 'made')), path)
    with pytest.raises(ValueError, match='refused'):
        load_checkpoint_safely(path)
    assert not (tmp_path / 'made').exists()


pairs = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6),
    reason='torch before 2.6 cannot allow the logs',
)


@pairs
def test_stock_checkpoints_are_read(tmp_path):
    """What MMEngine's runner writes: logs, numpy scalars and arrays."""
    path = tmp_path / 'epoch_1.pth'
    log = HistoryBuffer([1.0, 2.0, 3.0], [1, 1, 2])
    torch.save(
        dict(
            state_dict=OrderedDict(a=torch.ones(2)),
            message_hub=dict(
                log_scalars={'train/loss': log},
                runtime_info=dict(
                    epoch=np.int64(3), lr=np.float64(0.1), curve=np.arange(3, dtype=np.float32)
                ),
            ),
        ),
        path,
    )
    methods = dict(HistoryBuffer._statistics_methods)
    allowed = set(torch.serialization.get_safe_globals())
    hub = load_checkpoint_safely(path)['message_hub']
    read = hub['log_scalars']['train/loss']
    assert type(read) is HistoryBuffer
    assert read.mean() == log.mean() == 1.5 and read.current() == 3
    assert read.statistics('max') == 3
    assert hub['runtime_info']['epoch'] == 3
    assert hub['runtime_info']['curve'].tolist() == [0, 1, 2]
    # ... and neither what is allowed nor what logs can do has changed.
    assert set(torch.serialization.get_safe_globals()) == allowed
    assert HistoryBuffer._statistics_methods == methods
    again = tmp_path / 'again.pth'
    torch.save(dict(log=read), again)
    assert load_checkpoint_safely(again)['log'].mean() == 1.5


@pairs
def test_what_others_allowed_counts_for_nothing(tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save(dict(x=Attack(tmp_path / 'made')), path)
    with torch.serialization.safe_globals([os.mkdir, HistoryBuffer]):
        with pytest.raises(ValueError, match='refused'):
            load_checkpoint_safely(path)
        assert os.mkdir in torch.serialization.get_safe_globals()
    assert not (tmp_path / 'made').exists()


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.pth'):
        load_checkpoint_safely(tmp_path / 'none.pth')
    whole = tmp_path / 'whole.pth'
    torch.save(dict(x=torch.ones(1000)), whole)
    for name, content in (
        ('empty.pth', b''),
        ('text.pth', b'hello'),
        ('cut.pth', whole.read_bytes()[:2000]),
        ('cut.safetensors', b'12'),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f'{name} is no readable'):
            load_checkpoint_safely(tmp_path / name)
    torch.save(torch.ones(3), whole)
    with pytest.raises(ValueError, match='holds a Tensor'):
        load_checkpoint_safely(whole)


class Net(nn.Module):
    """A backbone with a BatchNorm and as many blocks as wanted."""

    def __init__(self, width=4, blocks=1):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 1)
        self.bn = nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(blocks))


def weights(net, prefix='', **others):
    return OrderedDict({f'{prefix}{k}': v for k, v in net.state_dict().items()}, **others)


def layouts(student, teacher):
    """Checkpoints of many makers: the layout's name and what it holds."""
    fc = torch.ones(2)

    def merge(a, b, pa, pb):
        return {**weights(student, a), **weights(teacher, b), f'{pa}fc': fc, f'{pb}fc': fc}

    return dict(
        moco_here=dict(
            state_dict=merge('backbone.', 'encoder_k.module.0.', 'neck.', 'encoder_k.module.1.')
        ),
        byol_here=dict(
            state_dict=merge('backbone.', 'target_net.module.0.', 'neck.', 'target_net.module.1.')
        ),
        dino_here=dict(
            state_dict=merge(
                'backbone.', 'teacher.module.backbone.', 'head.', 'teacher.module.neck.'
            )
        ),
        distributed=dict(
            state_dict=merge(
                'module.backbone.',
                'module.teacher.backbone.',
                'module.head.',
                'module.teacher.head.',
            )
        ),
        moco_official=dict(
            epoch=3,
            state_dict=merge(
                'module.base_encoder.',
                'module.momentum_encoder.',
                'module.predictor.',
                'module.queue.',
            ),
        ),
        dino_official=dict(
            epoch=3,
            student=weights(student, 'module.backbone.', **{'module.head': fc}),
            teacher=weights(teacher, 'backbone.', **{'head': fc}),
        ),
    )


@pytest.mark.parametrize('name', sorted(layouts(Net(), Net())))
def test_backbones_are_found(name):
    torch.manual_seed(0)
    nets = dict(student=Net(), teacher=Net())
    checkpoint = layouts(nets['student'], nets['teacher'])[name]
    for source, net in nets.items():
        found = find_backbone(checkpoint, source)
        for key, value in net.state_dict().items():
            assert torch.equal(found[key], value), (source, key)
        extra = set(found) - set(net.state_dict())
        assert not any('.' in key for key in extra) and len(extra) <= 1


@pytest.mark.parametrize(
    'wrap',
    [
        lambda w: w,
        lambda w: dict(model=w),
        lambda w: dict(state_dict=w),
        lambda w: {f'_orig_mod.module.{k}': v for k, v in w.items()},
    ],
)
def test_plain_backbones_are_found(wrap):
    net = Net()
    assert list(find_backbone(wrap(weights(net)))) == list(net.state_dict())


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match='no teacher backbone.*backbone.stem'):
        find_backbone(dict(state_dict=weights(Net(), 'backbone.')), 'teacher')
    with pytest.raises(ValueError, match='no weights; its entries are epoch'):
        find_backbone(dict(epoch=3))
    with pytest.raises(ValueError, match="did you mean 'teacher'"):
        find_backbone(weights(Net()), 'teachr')


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_loading_gives_a_report(tmp_path, suffix):
    torch.manual_seed(0)
    theirs, ours = Net(), Net()
    theirs.bn.running_mean += 3
    path = tmp_path / f'a.{suffix}'
    content = weights(
        theirs, 'backbone.', **{'backbone.fc.weight': torch.ones(2, 4), 'neck.a': torch.ones(1)}
    )
    del content['backbone.bn.num_batches_tracked']
    save_file(content, path) if suffix == 'safetensors' else torch.save(
        dict(state_dict=content), path
    )
    report = load_backbone(ours, path)
    assert report.unexpected == ['fc.weight'] and report.missing == []
    assert len(report.matched) == len(ours.state_dict()) - 1
    assert str(report) == '8 tensors loaded; unexpected: fc.weight'
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value)


@pytest.mark.parametrize(
    'other,message',
    [
        (Net(width=5), r'of another shape: stem.weight \(5, 3, 1, 1\) instead of'),
        (Net(blocks=2), 'unexpected: blocks.1.weight'),
        (Net(blocks=0), 'missing: blocks.0.weight'),
        (nn.Linear(2, 2), 'missing: stem.weight.* and .* more; unexpected: weight'),
    ],
)
def test_another_architecture_is_refused_and_nothing_changes(tmp_path, other, message):
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    torch.save(weights(other), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=f'another architecture.*{message}'):
        load_backbone(net, tmp_path / 'a.pth')
    for key, value in net.state_dict().items():
        assert torch.equal(before[key], value)
