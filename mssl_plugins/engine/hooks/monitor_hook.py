"""Whether a run learns, without labels: measures on held-out images.

Feature standard deviation (SimSiam, section 4.1), effective rank (RankMe,
arXiv 2210.02885), alignment and uniformity (arXiv 2005.10242), LiDAR (arXiv
2312.04000) and the retrieval of an image's views, first of the initial weights,
which are the baseline.
"""

import io
import json
import time
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.visualization import LocalVisBackend
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from mssl_plugins.checkpoints.reader import BRANCHES, default_branch
from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.engine.figures import draw
from mssl_plugins.errors import unknown
from mssl_plugins.evaluation.collapse import effective_rank, feature_std
from mssl_plugins.evaluation.features import extract_features, find_backbone_module, make_loader
from mssl_plugins.evaluation.label_free import alignment, lidar, uniformity, view_retrieval
from mssl_plugins.files import write_atomically
from mssl_plugins.models.unwrap import unwrap, whole
from mssl_plugins.registry import HOOKS


class DrawnViews(Dataset):
    """V random views of each image, the same at every measurement.

    Args:
        dataset (Dataset): Images under a pipeline that draws one random view.
        views (int): V.
        seed (int): Seed of the views. Defaults to 0.
    """

    def __init__(self, dataset: Dataset, views: int, seed: int = 0) -> None:
        self.dataset, self.views, self.seed = dataset, views, seed

    def __len__(self) -> int:
        return len(self.dataset) * self.views

    def __getitem__(self, index: int):
        image, view = divmod(int(index), self.views)
        return self.dataset[SampleIndex(image, seed=self.seed, epoch=view)]


@HOOKS.register_module()
class MonitorHook(Hook):
    """Measures a backbone on held-out images every n epochs, without labels.

    Writes ``monitor/std``, ``rankme``, ``alignment``, ``uniformity``, ``lidar``
    and ``retrieval`` to the log and every visualizer backend.  The last result is kept
    as ``monitor`` in the message hub, and so in checkpoints; ``monitor.json``
    in the work dir keeps every measurement, that of the initial weights as
    ``baseline``.  Training goes on as if the hook were not there.

    The figures of :mod:`mssl_plugins.engine.figures` go into the run's
    ``vis_data/figures`` and to visualizer backends that take images;
    ``monitor.json`` lists their paths relative to the work dir, and as ``not_measured``
    what there is not, with the reason.

    Args:
        images (dict): Config of a data loader, or dataset, of the held-out
            images under the test transform.
        views (dict): The same for these images under a pipeline that draws one
            random view.
        num_views (int): Views of an image for the measures that need them. Defaults
            to 4 (ours; LiDAR's paper takes 50).
        interval (int): Epochs between measurements; the initial weights and
            the last epoch are always measured. Defaults to 1.
        figures (bool): Draw figures at each measurement. Defaults to True.
        branch (str, optional): 'student' or 'teacher'. Defaults to None, see
            :func:`mssl_plugins.checkpoints.reader.default_branch`.
        pool (str): See :func:`mssl_plugins.models.readout.pool_output`.
            Defaults to 'auto'.
        min_std (float): Warn of collapse below this std. Defaults to 0.1,
            our choice.
        min_rank (float): Warn of collapse below this RankMe. Defaults to 2,
            our choice.
        not_measured (dict, optional): Reasons why others measure nothing in this run, by
            their names. Defaults to None.

    Raises:
        ValueError: For arguments outside these; before training, if there
            are fewer than 2 images or no such branch.
    """

    # before the loggers and the checkpoint, which holds the result
    priority = 'NORMAL'

    def __init__(
        self,
        images: dict,
        views: dict,
        num_views: int = 4,
        interval: int = 1,
        figures: bool = True,
        branch: Optional[str] = None,
        pool: str = 'auto',
        min_std: float = 0.1,
        min_rank: float = 2.0,
        not_measured: Optional[Dict[str, str]] = None,
    ) -> None:
        if branch not in (None, *BRANCHES):
            raise unknown(branch, BRANCHES, 'branch')
        if num_views < 2 or interval < 1:
            raise ValueError(
                'num_views must be 2 or more and interval 1 or more, got '
                f'{num_views} and {interval}'
            )
        self.images, self.views, self.num_views = images, views, num_views
        self.interval, self.branch, self.pool = interval, branch, pool
        self.min_std, self.min_rank, self.figures = min_std, min_rank, figures
        self.width, self.count = 0, 0  # of the features, of the held-out images
        self.history: list = []
        self.not_measured = dict(not_measured or {})

    def before_train(self, runner) -> None:
        """Builds the data; measures the initial weights of a fresh run.

        Raises:
            ValueError: If there are fewer than 2 held-out images, or what was measured
                before the run was resumed is damaged.
        """
        self.load_images()
        model = unwrap(runner.model)
        self.branch = self.branch or default_branch({}, type(model).__name__)
        find_backbone_module(model, self.branch)
        self.file = Path(runner.work_dir) / 'monitor.json'
        if runner.iter == 0:
            self._measure(runner, 0)
        elif self.file.is_file():
            try:
                kept = json.loads(self.file.read_text())['measured']
                self.history = [entry for entry in kept if entry['iter'] <= runner.iter]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{self.file} is damaged ({error!r}): remove it, and its measures begin anew'
                ) from None

    def load_images(self) -> None:
        """Builds the loaders of the held-out images and of their views.

        Raises:
            ValueError: If there are fewer than 2 images.
        """
        self.images, loader = make_loader(self.images), make_loader(self.views)
        if len(self.images.dataset) < 2:
            raise ValueError(
                'MonitorHook: at least 2 held-out images are needed, got '
                f'{len(self.images.dataset)}'
            )
        self.views = make_loader(
            dict(
                dataset=DrawnViews(loader.dataset, self.num_views),
                batch_size=loader.batch_size,
                num_workers=loader.num_workers,
                collate_fn=loader.collate_fn,
            )
        )

    def after_train_epoch(self, runner) -> None:
        """Measures every ``interval`` epochs and after the last."""
        done = runner.epoch + 1
        if done % self.interval == 0 or done == runner.max_epochs:
            self._measure(runner, done)

    def measure(self, model) -> Tuple[Dict[str, float], Tensor]:
        """The measures of a model by name, unitless, and the (N, D) features."""
        given = dict(pool=self.pool, branch=self.branch)
        features, _ = extract_features(model, self.images, **given)
        self.count, self.width = features.shape
        views, _ = extract_features(model, self.views, **given)
        views = views.unflatten(0, (-1, self.num_views))  # (N, V, D)
        return dict(
            std=feature_std(features),
            rankme=effective_rank(features),
            alignment=alignment(views),
            uniformity=uniformity(features),
            lidar=lidar(views),
            retrieval=view_retrieval(views),
        ), features

    def _measure(self, runner, epoch: int) -> None:
        with whole(runner.model):
            self._measure_whole(runner, epoch)

    def _measure_whole(self, runner, epoch: int) -> None:
        begin = time.perf_counter()
        result, features = self.measure(runner.model)
        entry = dict(epoch=epoch, iter=runner.iter, **result)
        self.history.append(entry)
        first = self.history[0] if self.history[0]['epoch'] == 0 else None
        text = '  '.join(
            f'{name} {value:.3f}' + (f' ({first[name]:.3f})' if first and epoch else '')
            for name, value in result.items()
        )
        runner.logger.info(
            f'monitor after epoch {epoch}: {text}  on {len(self.images.dataset)} held-out images'
            + (', in brackets at initialization' if first and epoch else '')
            + f' ({time.perf_counter() - begin:.1f} s)'
        )
        runner.visualizer.add_scalars(
            {f'monitor/{name}': value for name, value in result.items()}, step=runner.iter
        )
        runner.message_hub.update_info('monitor', dict(result, iter=runner.iter))
        if is_main_process():
            if self.figures:
                entry['figures'] = self._draw(runner, epoch, features)
            write_atomically(
                json.dumps(
                    dict(
                        branch=self.branch,
                        images=len(self.images.dataset),
                        views=self.num_views,
                        not_measured=self.not_measured,
                        baseline=first,
                        measured=self.history,
                    ),
                    indent=1,
                ).encode(),
                self.file,
            )
        if epoch and (result['std'] < self.min_std or result['rankme'] < self.min_rank):
            runner.logger.warning(
                f'collapse? after epoch {epoch} the {self.branch} gives nearly the same features '
                f'for every image: std {result["std"]:.3f} (warning below {self.min_std}), '
                f'RankMe {result["rankme"]:.2f} (warning below {self.min_rank})'
            )

    def _draw(self, runner, epoch: int, features: Tensor) -> Dict[str, str]:
        """Draws and logs the figures; returns their paths relative to the work dir, by name."""
        figures, absent = draw(
            unwrap(runner.model),
            self.branch,
            self.images,
            features,
            runner.train_dataloader.dataset,
        )
        self.not_measured.update({f'figure of {name}': why for name, why in absent.items()})
        if epoch == 0:
            for name, reason in absent.items():
                runner.logger.info(f'no figure of {name}: {reason}')
        folder, paths = Path(runner.log_dir) / 'vis_data' / 'figures', {}
        for name, figure in figures.items():
            path = folder / f'{name}_epoch_{epoch}.png'
            write_atomically(_png(figure), path)
            paths[name] = path.relative_to(runner.work_dir).as_posix()
            for backend in runner.visualizer._vis_backends.values():
                if not isinstance(backend, LocalVisBackend):  # it is on the disk already
                    backend.add_image(f'monitor/{name}', figure, step=runner.iter)
        return paths


def _png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    # much faster than the default, and hardly larger
    Image.fromarray(image).save(content, 'PNG', compress_level=4)
    return content.getvalue()
