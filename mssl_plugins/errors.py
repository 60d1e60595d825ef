"""Errors that a user can act on: what was given, what is allowed, what to install."""

import difflib
import functools
import gc
import importlib.util
import io
import os
import pickle
import re
import select
import sys
import traceback
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional

PACKAGE = Path(__file__).resolve().parent
DISTRIBUTION = 'mssl-plugins-openmmlab'
# What to install for a module that may be missing.
EXTRAS = dict(
    mmengine='onedl',
    mmcv='onedl',
    mmpretrain='onedl',
    torch='onedl',
    torchvision='onedl',
    cv2='onedl',
    mmdet='dense',
    mmseg='dense',
    pycocotools='dense',
    pyarrow='shards',
    lmdb='shards',
    timm='test',
)
ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    OSError,
    ImportError,
    AttributeError,
    NotImplementedError,
    FloatingPointError,
    pickle.UnpicklingError,
    SyntaxError,
)


def unknown(name: str, allowed: Iterable[str], what: str) -> ValueError:
    """The error for a name that is not among the allowed ones.

    Args:
        name (str): What was given.
        allowed (Iterable[str]): The valid names.
        what (str): What the name stands for, for example ``'mask pattern'``.

    Returns:
        ValueError: To be raised by the caller; says what was given, what is
        allowed and the nearest valid name.

    Example:
        >>> str(unknown('blok', ['block', 'discrete'], 'mask pattern'))
        "unknown mask pattern 'blok': allowed are block, discrete; did you mean 'block'?"
    """
    allowed = sorted(map(str, allowed))
    near = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ''
    return ValueError(f"unknown {what} '{name}': allowed are {', '.join(allowed)}{hint}")


def nearest(name: str, allowed: Iterable[str]) -> str:
    """'; did you mean ...?' if a valid name is near, else an empty string."""
    near = difflib.get_close_matches(str(name), sorted(allowed), n=1)
    return f"; did you mean '{near[0]}'?" if near else ''


class UserError(Exception):
    """A user's mistake; its message is shown without a traceback.

    Attributes:
        status (int): The exit status of the command that it ends.
    """

    status = 1


class ConfigError(UserError):
    """A mistake in a config.

    Args:
        path (str): Dotted path of the field, as in ``--cfg-options``; '' if no
            single field is wrong.
        fault (str): What is wrong with it, and what is allowed.
        *given: What the field holds, if it exists.
    """

    status = 2

    def __init__(self, path: str, fault: str, *given) -> None:
        self.path = path
        shown = ''.join(f' = {_short(value)}' for value in given)
        super().__init__(f'{path}{shown}: {fault}' if path else fault)


class FieldError(ValueError):
    """A wrong argument of an object, or of a part of it, found when the object is built.

    Args:
        field (str): Dotted, from the object's own arguments on: ``'neck.embed_dim'``.
        fault (str): What is wrong with it, and what is allowed.
    """

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(fault)
        self.field = field


def _short(value) -> str:
    """A value as text, shortened."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= 60 else f'{text[:57]}...'


class Stopped(BaseException):
    """Ends a run that was asked to stop.

    Args:
        message (str): Text for the user.
        status (int): The exit status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def quick_imports() -> Iterator[None]:
    """Imports without looking for garbage.

    What is imported stays, and the collector would go through all of it again and again.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def require(*modules: str) -> None:
    """Imports modules, or says what to install.

    OpenMMLab's datasets are imported here because they print on their first
    import.

    Raises:
        UserError: With the command that installs the missing ones.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UserError(_missing(module))
    for module in {'mmpretrain', 'mmdet', 'mmseg'} & set(modules):
        with redirect_stdout(io.StringIO()), quick_imports(), suppress(ImportError):
            importlib.import_module(f'{module}.datasets')  # mmcv may be without compiled ops


def _missing(module: str) -> str:
    root = module.split('.')[0]
    if module.startswith('mmcv._ext') or module.startswith('mmcv.ops'):
        return (
            'mmcv was built without its compiled ops: run `bash '
            'tools/test.sh`, or `MMCV_WITH_OPS=1 pip install '
            '--force-reinstall --no-deps --no-cache-dir '
            '--no-build-isolation onedl-mmcv`'
        )
    what = f"'{DISTRIBUTION}[{EXTRAS[root]}]'" if root in EXTRAS else root
    return f'{root} is not installed: pip install {what}'


def message(error: BaseException) -> str:
    """An error as one line for the user."""
    if isinstance(error, UserError):
        return str(error)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if 'Original Traceback' in text:  # from a data loader's worker
        text = re.sub(r'^[\w.]+: ', '', text.strip().splitlines()[-1])
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing(error.name)
    if isinstance(error, pickle.UnpicklingError) or 'weights only' in text.lower():
        named = re.search(r'GLOBAL ([\w.]+)', text)
        what = named.group(1) if named else 'something else'
        return (
            f'the checkpoint holds more than weights ({what}); reading it '
            'could run its code, so it is refused'
        )
    lines = [part.strip() for part in text.splitlines() if part.strip()]
    text = ' '.join(lines) or type(error).__name__
    if isinstance(error, KeyError) and re.fullmatch(r'[\w.]+', text):
        return f"missing key '{text}'"
    return text


def plainly(function: Callable) -> Callable:
    """Words the error about an unknown name as the command line does."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ERRORS as error:
            if isinstance(error, KeyError) and 'registry' in str(error):
                raise UserError(message(error)) from error
            raise

    return call


def memory_refused(error: Optional[BaseException]) -> bool:
    """Whether an error, or what it came from, is an allocation that was refused."""
    while error is not None:
        kind = type(error).__name__  # torch need not be imported here
        if isinstance(error, MemoryError) or kind == 'OutOfMemoryError':
            return True
        if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _ours(error: BaseException) -> bool:
    """Whether one of our own checks raised it, here or in a worker."""
    text = str(error)
    if 'Original Traceback' in text:
        files = re.findall(r'File "([^"]+)", line \d+', text)
    else:
        files = [f.filename for f in traceback.extract_tb(error.__traceback__)]
    return bool(files) and Path(files[-1]).resolve().is_relative_to(PACKAGE)


def _reader_left() -> bool:
    """Whether stdout is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(flags & select.POLLERR for _, flags in poll.poll(0))


def run_cli(body: Callable[[], Optional[int]], starting: Callable[[], bool] = lambda: True) -> int:
    """Runs a tool; a user's mistake becomes one line on stderr.

    Args:
        body (Callable): What to run; returns an exit status or None.
        starting (Callable): Whether the actual work has not begun yet. Until
            it has, every error is treated as a user's mistake; after that,
            only errors that this library raises itself. Defaults to always.

    Returns:
        int: The exit status: 0, 1 after a mistake, 2 after one in a config,
        130 if interrupted, 141 if nobody reads the output any more, or the
        status of a :class:`Stopped`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name need not be UTF-8
            stream.reconfigure(errors='backslashreplace')
    try:
        status = body() or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        if not _reader_left():
            raise  # another pipe, such as a worker's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` is no mistake
        return 141
    except Stopped as stopped:
        if os.environ.get('RANK', '0') == '0':
            print(stopped, file=sys.stderr)
        return stopped.status
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except (UserError, *ERRORS, RuntimeError) as error:
        mistake = (
            isinstance(error, UserError)
            or _ours(error)
            or (starting() and (isinstance(error, ERRORS) or 'weights only' in str(error).lower()))
        )
        if not mistake or os.environ.get('MSSL_TRACEBACK') == '1':
            raise
        rank = int(os.environ.get('RANK', 0))
        where = f' (process {rank})' if rank else ''
        print(f'error{where}: {message(error)}', file=sys.stderr)
        return getattr(error, 'status', 1)
