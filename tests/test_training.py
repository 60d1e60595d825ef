"""A run from its config to its end, what no command shows."""

import pytest
from mmengine.config import Config
from mmengine.visualization import Visualizer

from mssl_plugins.training import _close_logs

pytest.importorskip('mlflow')


def test_a_back_end_that_could_not_start_does_not_hide_why(tmp_path):
    """MLflow's cannot close if it never began; the error that ended the run is the one to tell."""
    logs = Visualizer.get_instance(
        'test_training',
        save_dir=str(tmp_path),
        vis_backends=[dict(type='MLflowVisBackend', tracking_uri='nowhere://at.all')],
    )
    with pytest.raises(Exception, match='nowhere'):
        logs.add_config(Config(dict(work_dir=str(tmp_path))))
    with pytest.raises(AttributeError):
        logs.close()
    _close_logs()
