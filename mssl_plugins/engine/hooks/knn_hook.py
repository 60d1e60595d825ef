"""k-NN accuracy and measures of collapse while a run trains.

MixMask's Fig. 1: every epoch, k = 200, T = 0.1, weighted, on the L2-normalized
output of the encoder; the bank is the training set with the test transform.
"""

import time
from typing import Dict, Optional, Sequence, Union

from mmengine.hooks import Hook

from mssl_plugins.checkpoints.reader import BRANCHES, default_branch
from mssl_plugins.errors import unknown
from mssl_plugins.evaluation.features import extract_features, find_backbone_module, make_loader
from mssl_plugins.evaluation.summary import summarize
from mssl_plugins.models.readout import POOLS
from mssl_plugins.models.unwrap import unwrap, whole
from mssl_plugins.registry import HOOKS

DATA_BATCH = Optional[Union[dict, tuple, list]]


@HOOKS.register_module()
class KNNHook(Hook):
    """Measures the frozen backbone every n epochs or iterations.

    Writes ``knn/top1_k<k>`` (fractions), ``collapse/std`` (1 = spread, 0 =
    collapsed) and ``collapse/erank`` (effective rank) to the log and every
    visualizer backend (``vis_data/scalars.json``, tensorboard).  The last result
    with its ``iter`` is kept as ``knn`` in the message hub's runtime
    information, and so in checkpoints.  Training goes on as if the
    hook were not there.

    Args:
        bank (dict): Config of the data loader of the keys, or of its dataset.
            Give the dataset the test pipeline; ``batch_size``,
            ``num_workers``, ``collate_fn`` and ``pin_memory`` of a loader are
            used, its sampler is not: each sample is taken once.
        test (dict): The same for the queries.
        interval (int): Epochs, or iterations, between measurements; the last
            one of the run is always measured. Defaults to 1.
        k (int | Sequence[int]): Number(s) of neighbors. Defaults to 200.
        temperature (float): T of the weights exp(similarity / T). Defaults to
            0.1.
        by_epoch (bool): Whether ``interval`` and ``begin`` count epochs.
            Defaults to True.
        begin (int): The first measurement is after this many epochs or
            iterations; 0 also measures before training. Defaults to 1.
        branch (str, optional): 'student' or 'teacher'. Defaults to None, see
            :func:`mssl_plugins.checkpoints.reader.default_branch`.
        pool (str): See
            :func:`mssl_plugins.models.readout.pool_output`. Defaults to
            'auto'.
        min_std (float): Warn of collapse below this ``collapse/std``.
            Defaults to 0.1, our choice.
        min_erank (float): Warn of collapse below this ``collapse/erank``.
            Defaults to 2, our choice.

    Raises:
        ValueError: For arguments outside these; before training, if the bank
            has fewer than k samples, no labels or a single class, or there is no teacher.
    """

    # Before the loggers and the checkpoint, which holds the result.
    priority = 'NORMAL'

    def __init__(
        self,
        bank: dict,
        test: dict,
        interval: int = 1,
        k: Union[int, Sequence[int]] = 200,
        temperature: float = 0.1,
        by_epoch: bool = True,
        begin: int = 1,
        branch: Optional[str] = None,
        pool: str = 'auto',
        min_std: float = 0.1,
        min_erank: float = 2.0,
    ) -> None:
        self.ks = [k] if isinstance(k, int) else list(k)
        if not self.ks or min(self.ks) < 1:
            raise ValueError(f'k must be 1 or more, got {k}')
        if interval < 1 or begin < 0:
            raise ValueError(
                f'interval must be 1 or more and begin 0 or more, got {interval} and {begin}'
            )
        if not temperature > 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        if branch is not None and branch not in BRANCHES:
            raise unknown(branch, BRANCHES, 'branch')
        if pool not in POOLS:
            raise unknown(pool, POOLS, 'pool')
        self.bank, self.test = bank, test
        self.interval, self.begin, self.by_epoch = interval, begin, by_epoch
        self.temperature, self.branch, self.pool = temperature, branch, pool
        self.min_std, self.min_erank = min_std, min_erank

    def before_train(self, runner) -> None:
        """Builds the data, so that a mistake stops the run at its start.

        Raises:
            ValueError: If a k is larger than the bank, the bank has a single class or no
                labels, or the test set is empty.
        """
        self.bank, self.test = make_loader(self.bank), make_loader(self.test)
        size = len(self.bank.dataset)
        if size < max(self.ks):
            raise ValueError(
                f'KNNHook: k = {max(self.ks)} is larger than the bank of {size} samples'
            )
        if not len(self.test.dataset):
            raise ValueError('KNNHook: the test set is empty')
        if hasattr(self.bank.dataset, 'get_data_info'):  # else the first measurement tells
            if _one_class(self.bank.dataset):
                raise _one_class_only(size)
        model = runner.model
        model = unwrap(model)
        if self.branch is None:
            self.branch = default_branch({}, type(model).__name__)
        find_backbone_module(model, self.branch)
        if self.begin == 0 and runner.iter == 0:
            self._measure(runner, 0)

    def after_train_epoch(self, runner) -> None:
        """Measures every ``interval`` epochs and after the last."""
        if self.by_epoch and self._due(runner.epoch + 1, runner.max_epochs):
            self._measure(runner, runner.iter)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: DATA_BATCH = None, outputs: Optional[dict] = None
    ) -> None:
        """Measures every ``interval`` iterations and after the last."""
        if not self.by_epoch and self._due(runner.iter + 1, runner.max_iters):
            self._measure(runner, runner.iter + 1)

    def _due(self, done: int, total: int) -> bool:
        return done >= self.begin and (done % self.interval == 0 or done == total)

    def _measure(self, runner, step: int) -> Dict[str, float]:
        start = time.perf_counter()
        with whole(runner.model):
            bank, test = (
                extract_features(runner.model, loader, pool=self.pool, branch=self.branch)
                for loader in (self.bank, self.test)
            )
        if len(bank[1].unique()) < 2:
            raise _one_class_only(len(bank[1]))
        result = summarize(bank, test, self.ks, self.temperature)
        seconds = time.perf_counter() - start
        text = '  '.join(f'{name}: {value:.4f}' for name, value in result.items())
        runner.logger.info(f'k-NN after {step} iterations: {text}  ({seconds:.1f} s)')
        runner.visualizer.add_scalars(result, step=step)
        runner.message_hub.update_info('knn', dict(result, iter=step))
        std, erank = result['collapse/std'], result['collapse/erank']
        if std < self.min_std or erank < self.min_erank:
            runner.logger.warning(
                f'collapse? after {step} iterations the {self.branch} gives '
                f'nearly the same features for every image: std {std:.3f} '
                f'(warning below {self.min_std}), effective rank {erank:.2f} '
                f'(warning below {self.min_erank})'
            )
        return result


def _one_class(dataset) -> bool:
    """Whether all samples have the same label, without decoding an image.

    Raises:
        ValueError: If a sample that is looked at has no label.
    """
    first = None
    for i in range(len(dataset)):
        label = dataset.get_data_info(i).get('gt_label')
        if label is None:
            raise ValueError('KNNHook: the k-NN bank has images without a label')
        if first is None:
            first = label
        elif label != first:
            return False
    return True


def _one_class_only(size: int) -> ValueError:
    """The error for a bank of which any query would be right."""
    return ValueError(
        f'KNNHook: the k-NN bank of {size} samples has one class only: '
        'is it the first part of a set sorted by class?'
    )
