"""Mistakes in a config: one line with the field, what it holds and what is allowed."""

import pytest
from mmengine.config import Config

from helpers.paths import ROOT
from mssl_plugins.config import read
from mssl_plugins.config_check import check_config
from mssl_plugins.errors import ConfigError

MISTAKES = [
    ('custom_hoks = []', 'custom_hoks', "did you mean 'custom_hooks'"),
    ('param_cheduler = []', 'param_cheduler', "did you mean 'param_scheduler'"),
    ("model['momentm'] = 0.9", 'model.momentm', "did you mean 'momentum'"),
    ("model['queue_len'] = 'many'", "model.queue_len = 'many'", 'must be int'),
    (
        "model['backbone']['type'] = 'mmpretrain.ResNett'",
        'model.backbone.type',
        "did you mean 'mmpretrain.ResNet'",
    ),
    ("train_dataloader['batch_size'] = -8", 'train_dataloader.batch_size = -8', '1 or more'),
    ("train_dataloader['num_workers'] = 10**9", 'train_dataloader.num_workers', '[0, 1024]'),
    ("train_dataloader['batchsize'] = 8", 'train_dataloader.batchsize', "mean 'batch_size'"),
    ("del optim_wrapper['optimizer']['type']", 'optim_wrapper.optimizer.type', 'is missing'),
    ("default_hooks['loger'] = dict(type='LoggerHook')", 'default_hooks.loger', "'logger'"),
    ("default_hooks['seed']['type'] = 3", 'default_hooks.seed.type = 3', 'name of a class'),
    ('train_cfg = 5', 'train_cfg = 5', 'must be dict'),
    ("param_scheduler[0]['T_max'] = [1]", 'param_scheduler.0.T_max = [1]', 'int'),
    ("randomness['sed'] = 1", 'randomness.sed', "did you mean 'seed'"),
    (
        "optim_wrapper['paramwise_cfg'] = dict(custom_keys=dict(bias=dict(bias=dict(lr_mult=2.))))",
        'optim_wrapper.paramwise_cfg.custom_keys.bias.bias',
        'must be a number',
    ),
    (
        "optim_wrapper['paramwise_cfg'] = dict(custom_keys=dict(bias=5))",
        'optim_wrapper.paramwise_cfg.custom_keys.bias = 5',
        'must be dict',
    ),
    ("param_scheduler = ''", "param_scheduler = ''", 'must be a list or dict or None'),
    # these are seen by what is built only
    (
        "optim_wrapper['paramwise_cfg'] = dict(custom_keys=dict(bis=dict(lr_mult=2.)))",
        'optim_wrapper.paramwise_cfg.custom_keys.bis',
        "did you mean 'bias'",
    ),
    ("model['backbone']['depth'] = 19", 'model.backbone.depth = 19', '19'),
    ("model['neck']['in_channels'] = 33", 'model.neck.in_channels = 33', '33'),
    ("model['mixing']['pattern'] = 'blok'", "model.mixing.pattern = 'blok'", "mean 'block'"),
    ("optim_wrapper['optimizer']['lr'] = -1.", 'optim_wrapper.optimizer.lr = -1', 'Invalid'),
    (
        "train_dataloader['dataset']['pipeline'][1]['views'][0]['num'] = None",
        'train_dataloader.dataset.pipeline.1.views.0.num',
        'None',
    ),
    (
        "default_hooks['schedule']['schedules'][0]['target'] = 'nobody.momentum'",
        "default_hooks.schedule.schedules.0.target = 'nobody.momentum'",
        'nobody',
    ),
    ("default_hooks['logger']['interval'] = 0", 'default_hooks.logger.interval = 0', ''),
]


@pytest.mark.parametrize('change, field, said', MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_names_its_field_and_leaves_nothing(
    tmp_path, tiny_config, train, change, field, said
):
    done = train(tiny_config(change), '--work-dir', tmp_path / 'new/run')
    assert done.status == 2, done.text[-2000:]
    assert 'Traceback' not in done.text and done.error.count('\n') == 0
    assert field in done.error and said in done.error, done.error
    assert not (tmp_path / 'new').exists()


def test_an_error_after_the_first_iteration_keeps_traceback_and_work_dir(
    tmp_path, tiny_config, train
):
    (tmp_path / 'late_hook.py').write_text(
        'from mmengine.hooks import Hook\nfrom mmengine.registry import HOOKS\n'
        '@HOOKS.register_module()\nclass LateHook(Hook):\n'
        '    def before_train_iter(self, runner, *args, **kwargs):\n'
        '        1 / (2 - runner.iter)\n'
    )
    config = tiny_config(
        'import sys\nsys.path.insert(0, {!r})\n'
        "custom_imports = dict(imports=['late_hook'])\n"
        "custom_hooks = [dict(type='mmengine.LateHook')]\n".format(str(tmp_path))
    )
    done = train(config, '--work-dir', tmp_path / 'run')
    assert done.status == 1 and 'Traceback' in done.text and 'ZeroDivisionError' in done.text
    assert (tmp_path / 'run/config.py').is_file()


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs').glob('[a-z]*/**/*.py')), ids=lambda path: path.stem
)
def test_every_shipped_config_holds(path):
    read(path)


def test_a_hook_is_switched_off_by_none(tmp_path, tiny_config, train):
    """Ours too, as MMEngine's own default hooks are."""
    config = tiny_config("train_cfg['max_epochs'] = 1")
    off = ['default_hooks.seed=None', 'default_hooks.timer=None']
    done = train(config, '--work-dir', tmp_path / 'run', '--cfg-options', *off)
    assert done.status == 0, done.text[-2000:]
    assert ') SeedHook' not in done.text and 'IterTimerHook' not in done.text
    assert ') TeacherHook' in done.text


def test_foreign_variables_of_a_config_are_its_own():
    cfg = Config.fromfile(str(ROOT / 'configs/mst/mst_vit-mini_1xb64-coslr-6e_cifar10.py'))
    cfg.loader_of_mine, cfg.stages = dict(type='Nothing'), 3
    check_config(cfg)
    cfg.modle = {}
    with pytest.raises(ConfigError, match="modle: .*did you mean 'model'"):
        check_config(cfg)


@pytest.mark.parametrize(
    'path, value, said',
    [
        ('model.backbone.activation_checkpointing', 'often', 'must be bool'),
        (
            'model_wrapper_cfg',
            dict(type='mssl_plugins.FSDP', bf16='maybe'),
            'bf16 = .*must be bool',
        ),
        ('model_wrapper_cfg', dict(type='mssl_plugins.FSDP', bf16=True), None),
        ('env_cfg.dist_cfg', dict(backend='nccl', timeout=300), None),
        ('env_cfg.dist_cfg', dict(device_id=0), None),  # of torch, whose signature has no type
        ('env_cfg.dist_cfg', dict(timeout='long'), 'env_cfg.dist_cfg.timeout'),
    ],
)
def test_options_of_networks_and_processes(path, value, said):
    cfg = Config.fromfile(str(ROOT / 'configs/mst/mst_vit-mini_1xb64-coslr-6e_cifar10.py'))
    cfg.merge_from_dict({path: value})
    if said is None:
        check_config(cfg)
    else:
        with pytest.raises(ConfigError, match=said):
            check_config(cfg)


def test_a_shipped_config_is_a_base_by_the_packages_name(tmp_path):
    """From anywhere, alone or in a list, as from beside it; no scope is marked on its parts."""
    name, own = 'photos/mocov2_resnet18_photos.py', tmp_path / 'own.py'
    shipped = read(ROOT / 'configs' / name)
    own.write_text(f"_base_ = 'mssl_plugins::{name}'\ntrain_cfg = dict(max_epochs=3)\n")
    cfg = read(own)
    assert cfg.train_cfg.max_epochs == 3
    cfg.train_cfg.max_epochs = shipped.train_cfg.max_epochs
    assert cfg.to_dict() == shipped.to_dict() and '_scope_' not in cfg.pretty_text
    own.write_text(
        "_base_ = ['mssl_plugins::_base_/runtime.py', 'mmpretrain::_base_/schedules/cub_bs64.py']"
    )
    cfg = Config.fromfile(str(own))  # of other projects as before
    assert cfg.default_scope == 'mmpretrain' and cfg.train_cfg.max_epochs == 100
    own.write_text("_base_ = 'mssl_plugins::photos/mocov2_resnet18_photo.py'")
    with pytest.raises(ConfigError, match=f"no such shipped config; did you mean '{name}'"):
        read(own)
