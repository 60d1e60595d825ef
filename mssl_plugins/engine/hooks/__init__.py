"""One hook a file."""

from mssl_plugins.engine.hooks.checkpoint_hook import AtomicCheckpointHook
from mssl_plugins.engine.hooks.clip_hook import ClipEachHook
from mssl_plugins.engine.hooks.compile_hook import CompileHook
from mssl_plugins.engine.hooks.freeze_hook import FreezeHook
from mssl_plugins.engine.hooks.knn_hook import KNNHook
from mssl_plugins.engine.hooks.load_backbone_hook import LoadBackboneHook
from mssl_plugins.engine.hooks.loss_guard_hook import LossGuard
from mssl_plugins.engine.hooks.monitor_hook import MonitorHook
from mssl_plugins.engine.hooks.report_hook import ReportHook
from mssl_plugins.engine.hooks.schedule_hook import ScheduleHook
from mssl_plugins.engine.hooks.seed_hook import SeedHook
from mssl_plugins.engine.hooks.teacher_hook import TeacherHook

__all__ = [
    'AtomicCheckpointHook',
    'ClipEachHook',
    'CompileHook',
    'FreezeHook',
    'KNNHook',
    'LoadBackboneHook',
    'LossGuard',
    'MonitorHook',
    'ReportHook',
    'ScheduleHook',
    'SeedHook',
    'TeacherHook',
]
