"""Training runs of seconds: shipped configs on generated images, forked with all imports done."""

import atexit
import gc
import json
import os
import signal
import time
from pathlib import Path
from typing import Dict, Optional, Sequence

from forked import end_group, free_port, work_and_exit

ROOT = Path(__file__).resolve().parents[2]
# Every method and every base; those on CIFAR-10 get the generated images instead.
CONFIGS = (
    'simclr_resnet18_1xb64-coslr-8e_scenes',
    'mst_vit-mini_1xb64-coslr-6e_scenes',
    'asl_vit-mini_1xb256-coslr-12e_scenes',
    'maskco_resnet18_1xb32-coslr-5e_scenes',
    'mae_vit-mini_1xb256-coslr-12e_scenes',
    'mixmask_simclr_resnet18_1xb64-coslr-8e_scenes',
    'dino_vit-mini_1xb64-coslr-6e_scenes',
    'mask-guided_dino_vit-mini_1xb64-coslr-6e_scenes',
    'mask-guided_mae_vit-mini_1xb64-coslr-12e_cifar10',
    'ibot_vit-mini_1xb64-coslr-6e_cifar10',
    'moco_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_moco_resnet18_1xb64-coslr-8e_cifar10',
    'byol_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_byol_resnet18_1xb64-coslr-8e_cifar10',
    'simsiam_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_simsiam_resnet18_1xb64-coslr-8e_cifar10',
)
TEXT = """
_base_ = [{base!r}]
_set = dict(indices={images})
if {foreign}:
    _set = dict(_set, _delete_=True, type='mssl_plugins.Scenes', split='train',
                segments={segments},
                pipeline=[part for part in _base_.train_dataloader.dataset.pipeline
                          if 'LoadSegments' not in part['type']])
_loop = dict(type='IterBasedTrainLoop', max_iters={epochs} * {steps}, val_interval=10**9)
train_cfg = dict(_loop, _delete_=True) if {by_iter} else dict(max_epochs={epochs})
if 'epochs' in _base_:
    epochs = {epochs}
train_dataloader = dict(batch_size={batch}, num_workers={workers},
                        persistent_workers={workers} > 0, dataset=_set)
auto_scale_lr = dict(enable=False)
log_processor = dict(window_size=1, by_epoch=not {by_iter})
visualizer = dict(_delete_=True, type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
if 'queue_len' in _base_.model:
    model = dict(queue_len=8 * {batch} * {processes})
default_hooks = dict(
    logger=dict(interval={log}, log_metric_by_epoch=not {by_iter}),
    checkpoint=dict(by_epoch=False, interval={save}, max_keep_ckpts=2))
"""


def write_config(
    path: Path,
    name: str,
    steps: int = 4,
    epochs: int = 3,
    batch: int = 8,
    by_iter: bool = False,
    workers: int = 0,
    processes: int = 1,
    log: int = 1,
    save: int = 2,
) -> Path:
    """Writes a short form of a shipped config.

    Args:
        path (Path): The file to write.
        name (str): Name of the shipped config.
        steps (int): Steps of an epoch. Defaults to 4.
        epochs (int): Number of epochs. Defaults to 3.
        batch (int): Images in a process and step. Defaults to 8.
        by_iter (bool): The iteration loop instead of the epoch loop. Defaults to False.
        workers (int): Workers of the loader. Defaults to 0.
        processes (int): Processes that share the images. Defaults to 1.
        log (int): Steps between logged losses. Defaults to 1.
        save (int): Steps between checkpoints. Defaults to 2.

    Returns:
        Path: ``path``.
    """
    from mssl_plugins.catalogue import find

    batch = max(batch, 16) if 'moco' in name else batch  # which normalizes it in 8 parts
    path.write_text(
        TEXT.format(
            base=str(find(name)),
            foreign='scenes' not in name,
            segments='guided' in name,
            images=steps * batch * processes,
            steps=steps,
            epochs=epochs,
            batch=batch,
            by_iter=by_iter,
            workers=workers,
            processes=processes,
            log=log,
            save=save,
        )
    )
    return path


def preload() -> None:
    """Imports what takes seconds, and does once what every run would do again."""
    import mmengine.runner.runner as theirs
    import torch
    from yapf.yapflib import yapf_api

    torch.set_num_threads(1)  # the pool of threads does not survive a fork
    import cv2

    cv2.setNumThreads(0)
    from mssl_plugins.errors import require

    require('mmpretrain')
    for module in ('commands.train', 'models', 'datasets', 'engine', 'training'):
        __import__(f'mssl_plugins.{module}')
    about = theirs.collect_env()  # which starts compilers to ask for their versions
    theirs.collect_env = lambda: about
    yapf_api.FormatCode = lambda text, **_: (text, True)  # it takes a tenth of a second
    gc.freeze()  # a run looks through its own objects, not through those it shares


class Run:
    """A run of ``python -m mssl_plugins train ARGV`` in one or several processes.

    Args:
        argv (Sequence[str]): The arguments.
        folder (Path): Its working directory; ``output.txt`` in it gets its output.
        processes (int): Processes, joined over gloo with the environment that torchrun
            sets. Defaults to 1.
        hooks (Sequence[Hook]): Further hooks. Defaults to ().
        limit (Callable, optional): Called in each process before anything else.
            Defaults to None.
    """

    def __init__(self, argv, folder: Path, processes: int = 1, hooks: Sequence = (), limit=None):
        self.log = folder / 'output.txt'
        port = free_port()
        self.pids = []
        atexit.register(self.end)
        self.codes: Dict[int, int] = {}
        for rank in range(processes):
            pid = os.fork()
            if not pid:
                if processes > 1:
                    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=processes)
                    place.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
                    os.environ.update({k: str(v) for k, v in place.items()})

                def train() -> int:
                    if limit:
                        limit()
                    from mssl_plugins.commands.train import main

                    return main(list(map(str, argv)), hooks)

                work_and_exit(train, folder, self.log)
            self.pids.append(pid)

    def poll(self) -> Optional[int]:
        """The exit status once all processes ended: the first that is not 0."""
        for pid in self.pids:
            if pid not in self.codes:
                done, state = os.waitpid(pid, os.WNOHANG)
                if done:
                    self.codes[pid] = os.waitstatus_to_exitcode(state)
        if len(self.codes) < len(self.pids):
            return None
        return next((code for code in self.codes.values() if code), 0)

    def wait(self, seconds: float = 600) -> int:
        """The exit status.

        Raises:
            TimeoutError: If it takes longer; the run is ended.
        """
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f'more than {seconds} s: {self.log.read_text()[-1500:]}')
            time.sleep(0.005)
        return code

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Ends every process and its workers at once."""
        for pid in self.pids:
            if pid not in self.codes:
                end_group(pid, signum)
        self.wait(60)

    def end(self) -> None:
        """Kills what still runs, with its starter."""
        if self.poll() is None:
            self.kill()


def losses(work_dir: Path) -> Dict[int, set]:
    """Every loss that a run and its resumptions logged at a step."""
    from mssl_plugins.files import read_scalars

    found: Dict[int, set] = {}
    for row in read_scalars(work_dir):
        if 'loss' in row:
            found.setdefault(row['step'], set()).add(json.dumps(row['loss']))
    return found
