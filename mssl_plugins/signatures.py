"""Arguments of classes and functions, and whether a value fits a type hint."""

import collections.abc
import inspect
import math
import os
import types
import typing
from functools import lru_cache
from typing import Any, Callable, List, Optional, Tuple, Union

from torch import Tensor, nn

UNIONS = (Union, getattr(types, 'UnionType', Union))
LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)


def constructors(built: Callable) -> List[Callable]:
    """The constructors that arguments may be passed on to, or the function itself."""
    if not inspect.isclass(built):
        return [built]
    found = []
    for cls in built.__mro__:
        if cls in (object, nn.Module):
            break
        if '__init__' in vars(cls):
            found.append(cls.__init__)
            if not any(p.kind is p.VAR_KEYWORD for p in parameters(cls.__init__)):
                break
    return found


def parameters(function: Callable) -> List[inspect.Parameter]:
    """Parameters of a function or constructor; any keywords if it is written in C."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C
        return [inspect.Parameter('kwargs', inspect.Parameter.VAR_KEYWORD)]


def arguments(built: Callable) -> Tuple[set, bool]:
    """The argument names of a class or function, and whether the list is complete.

    It is not complete for a class that passes ``**kwargs`` on; the names then
    include those of its bases.
    """
    functions = constructors(built)
    every = [p for f in functions for p in parameters(f)]
    names = {p.name for p in every if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    first = parameters(functions[0]) if functions else []
    strict = bool(functions) and not any(p.kind is p.VAR_KEYWORD for p in first)
    return names - {'self'}, strict


@lru_cache(maxsize=None)
def hints_of(function: Callable) -> dict:
    """Type hints by argument; empty if they cannot be read."""
    try:
        return typing.get_type_hints(function)
    except Exception:  # annotations that name what is not imported there
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Whether a config's value fits a type hint.

    Vague hints fit everything; a dict fits whatever is built from it.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return any(fits(value, option) for option in inner)
    if origin is typing.Literal:
        return value in inner
    kind = origin or hint
    if kind is Any or not isinstance(kind, type):  # from Python 3.11 on, Any is a type
        return True
    if kind in (type(None), Tensor):
        return isinstance(value, kind)
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(
            value, bool
        )
    if kind is str or issubclass(kind, os.PathLike):
        return isinstance(value, (str, os.PathLike))
    if issubclass(kind, dict):
        # most builders take a list of dicts, too
        return isinstance(value, dict) or is_list(value) and _all_dicts(value)
    if kind in LISTS:
        return is_list(value) and _items_fit(value, kind, inner)
    return (
        value is not None and not isinstance(value, (bool, int, float)) or isinstance(value, kind)
    )


def is_list(value: Any) -> bool:
    """Whether a value is a list, tuple or the like."""
    return isinstance(value, (list, tuple, range))


def _all_dicts(value: Any) -> bool:
    return len(value) > 0 and all(isinstance(item, dict) for item in value)


def _items_fit(value: Any, kind: type, inner: tuple) -> bool:
    if kind is tuple and inner and Ellipsis not in inner:
        return len(value) == len(inner) and all(map(fits, value, inner))
    return all(fits(item, inner[0]) for item in value) if inner else True


def nearly_fits(value: Any, hint: Any) -> bool:
    """Like :func:`fits`, for libraries whose hints are not strict.

    Any number fits a number, 0 and 1 fit a bool, any list fits a list, and None
    fits everything but numbers, bools and text.
    """
    kinds = _kinds(hint)
    if kinds is None or kinds == {'other'} or fits(value, hint):
        return True
    if value is None:
        return not kinds <= {'number', 'switch', 'text', 'other'}
    if 'switch' in kinds and value in (0, 1):
        return True
    return kind_of(value) in kinds | {'other'}


def kind_of(value: Any) -> str:
    """The kind of a value: 'switch', 'number', 'text', 'dict', 'list' or 'other'."""
    if isinstance(value, bool):
        return 'switch'
    if isinstance(value, (int, float)):
        return 'number'
    if isinstance(value, (str, os.PathLike)):
        return 'text'
    if isinstance(value, dict):
        return 'dict'
    return 'list' if is_list(value) else 'other'


def _kinds(hint: Any) -> Optional[set]:
    """Kinds of values that a hint allows; None for all."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        options = [_kinds(option) for option in inner]
        return None if None in options else set().union(*options)
    if origin is typing.Literal:
        return set(map(kind_of, inner))
    kind = origin or hint
    if not isinstance(kind, type) or kind is object:
        return None
    if kind is type(None):
        return set()
    if kind is bool:
        return {'switch'}
    if kind in (int, float):
        return {'number'}
    if kind is str or issubclass(kind, os.PathLike):
        return {'text'}
    if issubclass(kind, dict):
        return {'dict'}
    if kind in LISTS:
        return {'list'}
    return {'other'}


def said(hint: Any) -> str:
    """A type hint in words."""
    inner = [h for h in typing.get_args(hint) if h is not type(None)]
    if typing.get_origin(hint) in UNIONS:
        none = ['None'] if len(inner) < len(typing.get_args(hint)) else []
        return ' or '.join(dict.fromkeys([*map(said, inner), *none]))
    if typing.get_origin(hint) is typing.Literal:
        return 'one of ' + ', '.join(map(repr, inner))
    kind = typing.get_origin(hint) or hint
    if kind is tuple and inner and Ellipsis not in inner:
        return f'a list of {len(inner)}: {", ".join(map(said, inner))}'
    if kind in LISTS:
        return 'a list' + (f' of {said(inner[0])}' if inner else '')
    return getattr(kind, '__name__', str(kind))


def is_nan(value: Any) -> bool:
    """Whether a value is the float NaN."""
    return isinstance(value, float) and math.isnan(value)
