"""One hook a file."""
from .checkpoint import AtomicCheckpointHook
from .clip import ClipEachHook
from .freeze import FreezeHook
from .guard import LossGuard
from .knn_hook import KNNHook
from .load_backbone import LoadBackboneHook
from .schedule import ScheduleHook
from .seed import SeedHook
from .teacher import TeacherHook

__all__ = [
    'AtomicCheckpointHook', 'ClipEachHook', 'FreezeHook', 'KNNHook',
    'LoadBackboneHook', 'LossGuard', 'ScheduleHook', 'SeedHook', 'TeacherHook'
]
