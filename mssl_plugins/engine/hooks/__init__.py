"""One hook a file."""
from .schedule import ScheduleHook
from .teacher import TeacherHook

__all__ = ['ScheduleHook', 'TeacherHook']
