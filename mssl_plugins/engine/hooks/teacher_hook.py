"""EMA updates of momentum teachers after the optimizer's step."""

from mmengine.hooks import Hook

from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.registry import HOOKS


@HOOKS.register_module()
class TeacherHook(Hook):
    """Calls :meth:`MomentumTeacher.update` of every teacher in the model.

    Gradient accumulation counts once. Needed by every method with a teacher;
    without one in the model it does nothing.
    """

    priority = 'ABOVE_NORMAL'  # before checkpoints and evaluations see the model

    def before_train(self, runner) -> None:
        """Finds the teachers; new ones start as copies of their student."""
        model = unwrap(runner.model)
        self.teachers = [m for m in model.modules() if isinstance(m, MomentumTeacher)]
        for teacher in self.teachers:
            teacher.sync()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Makes one EMA update for each step of the optimizer."""
        if self.teachers and runner.optim_wrapper.should_update():  # a step was made
            for teacher in self.teachers:
                teacher.update()
