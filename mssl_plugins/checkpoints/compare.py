"""Compares a checkpoint's keys and shapes with a model's."""

from typing import Iterable, List, Mapping, NamedTuple

from torch import Tensor


def some(keys: Iterable[str], count: int = 5) -> str:
    """The first few names, and how many more there are."""
    keys = list(keys)
    return ', '.join(keys[:count]) + (f' and {len(keys) - count} more' if keys[count:] else '')


class KeyReport(NamedTuple):
    """The names of a model and of a checkpoint, compared.

    Attributes:
        matched (List[str]): In both, of one shape.
        missing (List[str]): In the model, not in the checkpoint.
        unexpected (List[str]): In the checkpoint, not in the model.
        reshaped (List[str]): In both, of different shapes, as sentences:
            "name (3,) instead of (4,)", the checkpoint's shape first.
    """

    matched: List[str]
    missing: List[str]
    unexpected: List[str]
    reshaped: List[str]

    def __str__(self) -> str:
        return '; '.join([f'{len(self.matched)} tensors loaded', *self.differences()])

    def differences(self) -> List[str]:
        """What does not match, one line for each kind of difference."""
        return [
            f'{title}: {some(keys)}'
            for title, keys in (
                ('missing', self.missing),
                ('of another shape', self.reshaped),
                ('unexpected', self.unexpected),
            )
            if keys
        ]


def compare(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], resized: Iterable[str] = ()
) -> KeyReport:
    """Compares a checkpoint's weights with a model's.

    Args:
        own (Mapping[str, Tensor]): The model's state dict.
        given (Mapping[str, Tensor]): The checkpoint's, under the same names.
        resized (Iterable[str]): Suffixes of names whose shapes may differ, such
            as position embeddings that a model resizes while loading.

    Returns:
        KeyReport: In the order of the model's names, then the checkpoint's.
    """
    matched, missing, reshaped = [], [], []
    for key, value in own.items():
        shape = getattr(given.get(key), 'shape', None)
        if shape is None:
            missing.append(key)
        elif shape == value.shape or key.endswith(tuple(resized)):
            matched.append(key)
        else:
            reshaped.append(f'{key} {tuple(shape)} instead of {tuple(value.shape)}')
    return KeyReport(matched, missing, [k for k in given if k not in own], reshaped)


def without_counters(keys: Iterable[str]) -> List[str]:
    """Names without the batch counters that old checkpoints lack.

    Nothing but a BatchNorm of ``momentum=None`` reads them.
    """
    return [k for k in keys if not k.endswith('num_batches_tracked')]
