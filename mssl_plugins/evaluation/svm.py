"""Linear SVMs on frozen features of images with several labels each (VOC2007).

Goyal et al., "Scaling and benchmarking self-supervised visual representation
learning" (arXiv 1905.01235, sections 4.1 and 6), with the numbers of its code,
github.com/facebookresearch/fair_self_supervision_benchmark: LIBLINEAR's
L2-regularized squared hinge loss, twice the weight for positives, features of
length 1, 26 costs.  As in that code, the average precision is the area under the
precision-recall curve; VOC2007's own, the mean at 11 recalls, is
:func:`eleven_point_precision`.
"""

import warnings
from typing import List, NamedTuple, Sequence

import numpy as np

# Powers of ten first: of equally good costs the first is taken, as in that code.
COSTS = (*(10.0**e for e in range(-7, 3)), *(0.5**e for e in range(4, 20)))
SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)  # positives of a class
SAMPLES = 5  # independent draws of each number of shots
FOLDS = 3
POSITIVE_WEIGHT, ITERATIONS, TOLERANCE = 2, 2000, 1e-4


class ClassScores(NamedTuple):
    """What the SVMs of one class reach, in 0-1.

    Attributes:
        cost (float): The chosen cost.
        validation (list[float]): Cross-validated average precision of each cost.
        area (float): Average precision on the test images.
        eleven (float): The mean at 11 recalls on the test images.
    """

    cost: float
    validation: List[float]
    area: float
    eleven: float


def unit_rows(features) -> np.ndarray:
    """(N, D) features -> float64 rows of length 1."""
    rows = np.asarray(features, np.float64)
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-5)


def _curve(scores: np.ndarray, positive: np.ndarray):
    """Recall and precision after each image, the best score first."""
    order = np.argsort(-scores, kind='stable')
    hits = np.cumsum(positive[order])
    return hits / positive.sum(), hits / np.arange(1, len(hits) + 1)


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the precision-recall curve, precision made monotonic.

    Args:
        scores (np.ndarray): (N,), larger is likelier; of equal scores the earlier
            image comes first.
        positive (np.ndarray): (N,) bool, at least one True.

    Returns:
        float: In (0, 1].
    """
    recall, precision = _curve(scores, positive)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * best).sum())


def eleven_point_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Mean over recalls 0, 0.1, ..., 1 of the best precision at this recall or more.

    Args:
        scores (np.ndarray): See :func:`average_precision`.
        positive (np.ndarray): See :func:`average_precision`.

    Returns:
        float: In (0, 1].
    """
    recall, precision = _curve(scores, positive)
    return float(np.mean([precision[recall >= r / 10 - 1e-9].max() for r in range(11)]))


def _svm(cost: float, seed: int):
    from sklearn.svm import LinearSVC  # takes a second

    return LinearSVC(
        C=cost,
        class_weight={1: POSITIVE_WEIGHT, -1: 1},
        dual=True,
        tol=TOLERANCE,
        max_iter=ITERATIONS,
        random_state=seed,
    )


def fit(features: np.ndarray, labels: np.ndarray, cost: float, seed: int = 0):
    """Fits a linear SVM for one class.

    Args:
        features (np.ndarray): (N, D) from :func:`unit_rows`.
        labels (np.ndarray): (N,) of 1 and -1.
        cost (float): C.
        seed (int): Seed of LIBLINEAR's order. Defaults to 0.

    Returns:
        sklearn.svm.LinearSVC: Converged, or stopped after ITERATIONS iterations.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        return _svm(cost, seed).fit(features, labels)


def validate(
    features: np.ndarray, labels: np.ndarray, costs: Sequence[float], seed: int = 0
) -> List[float]:
    """Average precision of each cost, a mean over FOLDS folds.

    The folds are scikit-learn's: each has the same fraction of positives, and
    images stay in their order.  The average precision is scikit-learn's, too: its
    curve is not made monotonic.

    Args:
        features (np.ndarray): See :func:`fit`.
        labels (np.ndarray): See :func:`fit`.
        costs (Sequence[float]): The costs to try.
        seed (int): See :func:`fit`. Defaults to 0.

    Returns:
        list[float]: One value for each cost, in 0-1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import cross_val_score

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        return [
            float(
                cross_val_score(
                    _svm(cost, seed), features, labels, cv=FOLDS, scoring='average_precision'
                ).mean()
            )
            for cost in costs
        ]


def measure_class(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, seed: int = 0
) -> ClassScores:
    """Chooses a class's cost, trains on all images, and scores the test images.

    Args:
        train (np.ndarray): (N, D) from :func:`unit_rows`.
        labels (np.ndarray): (N,) of 1 (the class is there), -1 (it is not) and 0
            (difficult). In training, difficult images count as without the class,
            as in the paper's code.
        test (np.ndarray): (M, D) from :func:`unit_rows`.
        truth (np.ndarray): (M,) of 1, -1 and 0; difficult images are left out.
        seed (int): See :func:`fit`. Defaults to 0.

    Returns:
        ClassScores: Of this class.
    """
    labels = np.where(labels == 1, 1, -1)
    validation = validate(train, labels, COSTS, seed)
    cost = COSTS[int(np.argmax(validation))]
    clear = truth != 0
    scores = fit(train, labels, cost, seed).decision_function(test[clear])
    positive = truth[clear] == 1
    return ClassScores(
        cost,
        validation,
        average_precision(scores, positive),
        eleven_point_precision(scores, positive),
    )


def draw_shots(labels: np.ndarray, shots: int, classes: int, seed: Sequence[int]) -> np.ndarray:
    """Images of one low-shot training set of one class.

    Args:
        labels (np.ndarray): (N,) of 1, -1 and 0; difficult images are not drawn.
        shots (int): k, the number of images with the class.
        classes (int): C; (C - 1) * k images without the class are drawn.
        seed (Sequence[int]): Seed of the draw.

    Returns:
        np.ndarray: (C * k,) indices, those with the class first.
    """
    random = np.random.default_rng(list(seed))
    return np.concatenate(
        [
            random.choice(np.flatnonzero(labels == label), count, replace=False)
            for label, count in ((1, shots), (-1, (classes - 1) * shots))
        ]
    )


def fitting_shots(labels: np.ndarray) -> List[int]:
    """Those numbers of SHOTS for which every class has enough images.

    Args:
        labels (np.ndarray): (N, C) of 1, -1 and 0.

    Returns:
        list[int]: In ascending order.
    """
    there, absent = (labels == 1).sum(0).min(), (labels == -1).sum(0).min()
    others = max(labels.shape[1] - 1, 1)
    return [k for k in SHOTS if k <= there and others * k <= absent]


def measure_shots(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    truth: np.ndarray,
    shots: Sequence[int],
    classes: int,
    seed: Sequence[int],
) -> np.ndarray:
    """Average precision of one class for every draw, number of shots and cost.

    Args:
        train (np.ndarray): See :func:`measure_class`.
        labels (np.ndarray): See :func:`measure_class`.
        test (np.ndarray): See :func:`measure_class`.
        truth (np.ndarray): See :func:`measure_class`.
        shots (Sequence[int]): See :func:`fitting_shots`.
        classes (int): C.
        seed (Sequence[int]): Seed of the draws, to which the number of the draw and
            the shots are added.

    Returns:
        np.ndarray: (SAMPLES, len(shots), len(COSTS)), in 0-1.
    """
    found = np.zeros((SAMPLES, len(shots), len(COSTS)))
    clear = truth != 0
    test, positive = test[clear], truth[clear] == 1
    for sample in range(SAMPLES):
        for i, k in enumerate(shots):
            chosen = draw_shots(labels, k, classes, [*seed, sample, k])
            for j, cost in enumerate(COSTS):
                svm = fit(train[chosen], labels[chosen], cost, seed[0])
                found[sample, i, j] = average_precision(svm.decision_function(test), positive)
    return found
