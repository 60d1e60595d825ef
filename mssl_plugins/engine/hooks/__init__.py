"""One hook a file."""
from .checkpoint import AtomicCheckpointHook
from .guard import LossGuard
from .schedule import ScheduleHook
from .seed import SeedHook
from .teacher import TeacherHook

__all__ = [
    'AtomicCheckpointHook', 'LossGuard', 'ScheduleHook', 'SeedHook',
    'TeacherHook'
]
