"""The field of a config that an error comes from, before the first iteration is done.

MMEngine, torch and the libraries below them know nothing of the config when
they fail.  The frames of a traceback lead back to it: a builder's frame holds
the dict that it builds from, whose type knows the dict's path
(:class:`mssl_plugins.config_tree.TypeName`); a method's frame holds the object
that was built.  Which field of that dict is meant follows from the names,
values and types in the message and in the line that failed.
"""

import difflib
import errno
import inspect
import linecache
import math
from traceback import walk_tb
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import torch
from torch import nn

from mssl_plugins.config_check import CUSTOM_KEYS, resolve
from mssl_plugins.config_tree import ALWAYS, Node, TypeName, nodes, settings
from mssl_plugins.errors import (
    ConfigError,
    FieldError,
    UserError,
    memory_refused,
    message,
    nearest,
)
from mssl_plugins.signatures import constructors, kind_of, parameters

#: Names of arguments that stand in many messages without being meant.
COMMON = {'type', 'name', 'data', 'size', 'mode', 'bias', 'weight', 'test', 'model', 'step', 'cfg'}
TYPES = {
    'NoneType': type(None),
    'None': type(None),
    'str': str,
    'list': list,
    'tuple': tuple,
    'dict': dict,
    'ConfigDict': dict,
    'float': float,
    'int': int,
    'bool': bool,
}
# Messages of a machine that is at its end, whatever the config.
MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENFILE, errno.EMFILE)
NETWORK = getattr(torch.distributed, 'DistError', ())  # an older torch raises RuntimeError
LEAST = 2  # score from which on an error is traced to a field
HUGE = 10**6
OUT_OF_RANGE = ('memory', 'overflow', 'negative', 'positive')  # what libraries say of odd numbers


def check_custom_keys(cfg: dict, model: nn.Module) -> None:
    """Refuses a key of ``custom_keys`` that names no parameter but nearly does.

    One that is far from all may be meant for other networks of the same base.

    Args:
        cfg (mmengine.Config): Checked by :func:`mssl_plugins.config_check.check_config`.
        model (nn.Module): As built from it.

    Raises:
        ConfigError: With the key.
    """
    names = [name for name, _ in model.named_parameters()]
    parts = {part for name in names for part in name.split('.')}
    for key in (cfg['optim_wrapper'].get('paramwise_cfg') or {}).get('custom_keys') or ():
        near = difflib.get_close_matches(key, parts, n=1, cutoff=0.8)
        if near and not any(key in name for name in names):
            raise ConfigError(
                f'{CUSTOM_KEYS}.{key}', f"is in no parameter's name; did you mean '{near[0]}'?"
            )


class Evidence(NamedTuple):
    """What an error says: message, the words and types in it, the words of the failing lines."""

    text: str
    words: set
    kinds: set
    lines: set


class Frame(NamedTuple):
    """A frame of an error's traceback, in this process or in a data loader's worker."""

    file: str
    line: int
    variables: dict


def located(error: Exception, cfg: dict, start: Optional[str] = None) -> UserError:
    """Traces an error of a run that has not begun back to a field of its config.

    Args:
        error (Exception): With its traceback.
        cfg (mmengine.Config): The config of the run.
        start (str, optional): The checkpoint that the command line names.
            Defaults to None.

    Returns:
        UserError: One line with the field's dotted path, its value and what
        the error says; the error itself if it is a UserError; without a field
        for a machine that is at its end and for ``start``, which is refused.
    """
    if isinstance(error, UserError):
        return error
    text, name = message(error), type(error).__name__
    if name not in text and not isinstance(error, (ValueError, TypeError, OSError)):
        text = f'{text} ({name})'
    if isinstance(error, OSError) and error.errno in MACHINE or isinstance(error, NETWORK):
        return UserError(text)
    if any(f.f_code.co_name == 'load_or_resume' for f, _ in walk_tb(error.__traceback__)):
        file = str(cfg.get('load_from'))
        text = text if file in text else f'{file}: {text}'
        return UserError(text) if start else ConfigError('load_from', text)
    node, key = find(error, cfg)
    value = node.value.get(key) if key else None
    if memory_refused(error) and not (isinstance(value, (int, float)) and _odd(value, '')):
        loader = cfg.get('train_dataloader') or {}
        node, key = Node('train_dataloader', loader, None, None), 'batch_size'
    if not node.path and key is None:
        return ConfigError('', f'{text} (MSSL_TRACEBACK=1 shows where)')
    kind = str(getattr(node.type, '__name__', node.type or ''))
    if kind.split('.')[-1] not in text:
        text = f'{text} ({kind})'
    if key is None:
        return ConfigError(node.path, text)
    path = f'{node.path}.{key}' if node.path else key
    if key not in node.value:
        return ConfigError(path, f'{text}{nearest(key, node.value)}')
    given = () if isinstance(node.value[key], dict) else (node.value[key],)
    return ConfigError(path, text, *given)


def find(error: BaseException, cfg: dict) -> Tuple[Node, Optional[str]]:
    """The dict and its field that an error comes from.

    Returns:
        tuple[Node, str | None]: The config itself, with an empty path, if no
        frame leads to a dict; None if no single field is clearly meant.
    """
    known, text = {node.path: node for node in nodes(cfg)}, message(error)
    words = set(map(str.lower, _words(text)))
    kinds = {TYPES[word] for word in _words(text) if word in TYPES}
    parts: List[Node] = []
    best: Tuple[float, Optional[Node], Optional[str]] = (LEAST - 0.5, None, None)
    lines: set = set()
    for frame in _frames(error):
        lines |= set(_words(_statement(frame)))
        node = _node(frame, known)
        if node is None or node in parts:
            continue
        if isinstance(error, FieldError):
            owner, _, field = f'{node.path}.{error.field}'.rpartition('.')
            return known.get(owner, node), field
        missing = _unknown_argument(text)
        if missing and not parts:
            return node, missing
        found = _best(node, Evidence(text, words, kinds, lines))
        # a farther dict needs a better reason
        if found[0] - len(parts) / 4 > best[0]:
            best = (found[0] - len(parts) / 4, *found[1:])
        parts.append(node)
    if best[1] is None and parts:
        odd = _odd_one(parts[:1]) or _odd_one(known.values(), words)
        if odd:
            return odd
    if best[1] is None:
        top = Node('', {key: cfg[key] for key in settings() - {'catalogue'} & set(cfg)}, None, None)
        best = _best(top, Evidence(text, words, kinds, set()))
        if parts and best[0] < LEAST + 1 or best[0] < LEAST:
            return (parts or [top])[0], None
    return best[1], best[2]


def _frames(error: BaseException) -> Iterator[Frame]:
    """Frames of an error and of what caused it, the innermost first."""
    found: List[Frame] = []
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            found.append(Frame(code.co_filename, trace.tb_lineno, trace.tb_frame.f_locals))
            trace = trace.tb_next
        for line in str(error).splitlines():  # a worker's traceback comes as text
            parts = line.strip().split('"')
            if len(parts) == 3 and parts[0] == 'File ' and parts[2].startswith(', line '):
                found.append(Frame(parts[1], int(parts[2].split()[1].strip(',')), {}))
        error = error.__cause__ or error.__context__
    return reversed(found)


def _statement(frame: Frame) -> str:
    """The line that failed, with the next ones up to its last bracket."""
    text = ''
    for number in range(frame.line, frame.line + 8):
        text += linecache.getline(frame.file, number)
        if sum(text.count(c) for c in '([{') <= sum(text.count(c) for c in ')]}'):
            break
    return text


def _node(frame: Frame, known: Dict[str, Node]) -> Optional[Node]:
    """The config's dict that a frame builds from, or whose object's method it runs."""
    for name in ('cfg', 'args'):
        built = frame.variables.get(name)
        kind = built.get('type') if isinstance(built, dict) else None
        if isinstance(kind, TypeName) and kind.path in known:
            return known[kind.path]
    owner = frame.variables.get('self')
    if owner is None and frame.variables:
        return None
    alike = [node for node in known.values() if _made(node, owner, frame)]
    return max(alike, key=lambda node: _shared(node, owner), default=None)


def _made(node: Node, owner: Any, frame: Frame) -> bool:
    """Whether an object, or the code that a frame runs, belongs to a dict's class."""
    name = str(getattr(node.type, '__name__', node.type)).split('.')[-1]
    if owner is not None:
        return name in [cls.__name__ for cls in type(owner).__mro__[:-1]]
    try:
        built = resolve(node) if node.type is not None else None
        lines, first = inspect.getsourcelines(built) if built else ([], 0)
        return (
            bool(lines)
            and inspect.getsourcefile(built) == frame.file
            and first <= frame.line < first + len(lines)
        )
    except (ConfigError, TypeError, OSError):
        return False


def _shared(node: Node, owner: Any) -> int:
    """How many attributes of an object have the values of a dict's fields."""
    found = 0
    for key, value in node.value.items():
        if isinstance(value, (int, float, str)):
            try:
                found += bool(getattr(owner, key, None) == value)
            except Exception:  # properties that fail, arrays without a truth value
                continue
    return found


def _best(node: Node, seen: Evidence) -> Tuple[float, Node, Optional[str]]:
    """The field in a dict, at any depth, that an error most likely means, with its score."""
    best: Tuple[float, Node, Optional[str]] = (0, node, None)
    defaults = _defaults(node)
    for inner in _inside(node):
        for key, value in inner.value.items():
            if key not in ALWAYS and isinstance(key, str):
                score = _score(key, value, seen)
                if inner is node and _unlike(value, defaults.get(key)):
                    score += 1
                if score > best[0]:
                    best = (score, inner, key)
    return best


def _odd_one(parts: Iterable[Node], words: Optional[set] = None) -> Optional[Tuple[Node, str]]:
    """The one field with an odd value, among the given words; None if there are several."""
    found = []
    for node in parts:
        defaults = _defaults(node) if node.type is not None else {}
        for inner in _inside(node) if words is None else [node]:
            for key, value in inner.value.items():
                default = defaults.get(key) if inner is node else None
                zero = type(value) is int and value == 0 and default != 0
                if key in ALWAYS or type(value) is type(default) and value == default:
                    continue
                if _unlike(value, default) or _odd(value, '') or zero:
                    if words is None or str(value).lower() in words:
                        found.append((inner, key))
    return found[0] if len(found) == 1 else None


def _defaults(node: Node) -> dict:
    """Default values of the class of a dict."""
    try:
        built = resolve(node) if node.type is not None else None
    except ConfigError:
        return {}
    found: dict = {}
    for function in constructors(built) if callable(built) else ():
        found = {**{p.name: p.default for p in parameters(function)}, **found}
    return found


def _unlike(value: Any, default: Any) -> bool:
    """Whether there is a default and a value is of another kind."""
    return (
        default is not None
        and default is not inspect.Parameter.empty
        and kind_of(value) != kind_of(default)
    )


def _inside(node: Node) -> Iterator[Node]:
    """A dict and those below it from which nothing is built by itself."""
    yield node
    for key, value in node.value.items():
        several = isinstance(value, (list, tuple))
        for index, item in enumerate(value if several else [value]):
            if isinstance(item, dict) and ('type' not in item or not node.path):
                path = f'{node.path}.{key}' if node.path else str(key)
                path += f'.{index}' if several else ''
                yield from _inside(Node(path, item, node.registry, node.scope))


def _score(key: str, value: Any, seen: Evidence) -> float:
    """How likely an error means a field, by its name, value and type, and how odd these are."""
    quoted = any(f'{mark}{key}{mark}' in seen.text for mark in '\'"`')
    named = key.lower() in seen.words and len(key) > 1
    score = 0.0
    if quoted or seen.text.startswith((f'{key} ', f'{key}=', f'{key}:')):
        score = 3
    elif named:
        score = 1 if key in COMMON else 2
    score += _shown(value, seen)
    if type(value) in seen.kinds or isinstance(value, dict) and dict in seen.kinds:
        score += 1.5 if isinstance(value, (str, type(None))) else 1
    if key in seen.lines:
        score += 1
    if _odd(value, seen.text):
        score += 1 + 2 * any(word in seen.text for word in OUT_OF_RANGE)
    elif type(value) is int and value == 0 and '0' in seen.words:
        score += 1
    if isinstance(value, dict) and not quoted:
        score -= 1
    return score


def _shown(value: Any, seen: Evidence) -> float:
    """How clearly a message repeats a value: 2 for one that is no coincidence."""
    if isinstance(value, str):
        whole = len(value) > 2 and value in seen.text
        return 2 * (whole or any(f"'{part}'" in seen.text for part in value.split('.')))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        rare = abs(value) > 16 or value < 0 or value % 1 > 0
        return (1 + rare) * (str(value) in seen.words)
    if isinstance(value, (list, tuple)):
        return 2 * (str(value) in seen.text or str(list(value)) in seen.text)
    return 0


def _odd(value: Any, text: str) -> bool:
    """Whether a value seldom occurs in a config that works."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value is None or value == '' or value == []
    if math.isinf(value) or abs(value) >= HUGE:
        return True
    return value < 0 or value == 0 and 'zero' in text


def _unknown_argument(text: str) -> str:
    """The name in Python's message of a wrong or missing argument."""
    for start in ('unexpected keyword argument ', 'required positional argument: '):
        if start in text:
            return text[text.index(start) + len(start) :].split("'")[1]
    return ''


def _words(text: str) -> List[str]:
    """Names and numbers in a text; of dotted names the parts as well."""
    found = []
    for word in ''.join(c if c.isalnum() or c in '_.-' else ' ' for c in text).split():
        found += [word.strip('.'), *word.split('.')]
        if word[0].isdigit() and 'x' in word:  # a shape, 8x32
            found += word.split('x')
    return found
