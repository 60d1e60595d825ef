"""Damaged and odd files through ImageFolder and its loader: is each handled as documented?

    python tools/reliability/files.py --n 1000 --passes 100 --seed 0 --write

Folders of some 25 such files beside good ones are read by two workers; then a
folder of 500 images of which 0.1 to 30 % are damaged is read by four, which
must count exactly these, or stop where they are more than ``max_bad``.  Every
reading happens in a process of its own, so that a hang or crash is one, too.
"""

import argparse
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
from forked import end_group
from odd_files import KINDS, Expected, encoded
from report import measured, write_section

GOOD, TOGETHER, IMAGES = 5, 25, 500


class Wrong(NamedTuple):
    """What was not as documented."""

    kind: str
    file: str
    why: str


def in_process(work: Callable[[], list], seconds: float) -> list:
    """What a function returns in a forked process.

    Raises:
        TimeoutError: If it takes longer.
        RuntimeError: If the process is ended by a signal or an error.
    """
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.setsid()
        os.close(read)
        status = 1
        try:
            with os.fdopen(write, 'w') as out:
                json.dump(work(), out)
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    os.close(write)
    end, code = time.monotonic() + seconds, None
    while code is None:
        done, state = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(state)
            with suppress(ProcessLookupError):  # workers that outlive it hold the pipe open
                os.killpg(pid, signal.SIGKILL)
        elif time.monotonic() > end:
            end_group(pid)
            os.waitpid(pid, 0)
            raise TimeoutError(f'more than {seconds} s')
        else:
            time.sleep(0.01)
    with os.fdopen(read) as text:
        if code:
            raise RuntimeError(f'ended with {code}')
        return json.load(text)


def _as_is(sample: list) -> list:
    return sample


def read_all(dataset, workers: int) -> list:
    """Every sample, in the order of the set."""
    from torch.utils.data import DataLoader

    loader = DataLoader(dataset, 8, num_workers=workers, collate_fn=_as_is, timeout=60)
    return [sample for batch in loader for sample in batch]


def check_folder(folder: Path, expected: Dict[str, Expected], kinds: Dict[str, str]) -> List[list]:
    """What of a folder's files was not handled as documented."""
    from mssl_plugins.datasets.folder import ImageFolder

    dataset = ImageFolder(str(folder), labels=False, max_bad=1.0)
    samples = read_all(dataset, 2)
    there = {}
    for index in range(len(dataset)):
        name = os.path.relpath(dataset.get_data_info(index)['img_path'], folder)
        there[name.split('.')[0].split('~')[0]] = index
    wrong = []
    for name, want in expected.items():
        index = there.get(name)
        bad = index is not None and bool(dataset._bad[index])
        if want.kind == 'passed over':
            why = index is not None and 'was found'
        elif index is None:
            why = 'was not found'
        elif want.kind != 'either' and bad != (want.kind == 'unreadable'):
            why = 'counted as unreadable' if bad else 'taken for an image'
        else:
            img = samples[index]['img']
            why = (img.ndim != 3 or img.dtype != np.uint8) and f'{img.dtype} {img.shape}'
            if want.holds and not want.holds(img):
                why = f'another image: {img.shape}'
            if bad == (samples[index]['sample_idx'] == index):
                why = 'replaced' if not bad else 'not replaced'
        if why:
            wrong.append([kinds[name], name, str(why)])
    return wrong


def odd_folder(number: int, seed: int, count: int, folder: Path) -> List[Wrong]:
    """Reads a folder of odd files; returns what was not as documented."""
    rng = np.random.default_rng([seed, number])
    folder.mkdir()
    expected, kinds = {}, {}
    for i in range(GOOD):
        (folder / f'good-{i}.png').write_bytes(encoded(rng, 'PNG'))
    for i in range(count):
        kind, name = str(rng.choice(list(KINDS))), f'{i:03}'
        expected[name] = KINDS[kind](rng, folder, f'{name}~' if kind == 'odd_name' else name)
        kinds[name] = kind
    try:
        return [Wrong(*w) for w in in_process(lambda: check_folder(folder, expected, kinds), 300)]
    except (TimeoutError, RuntimeError) as error:
        kind = 'hang' if isinstance(error, TimeoutError) else 'crash'
        return [Wrong(kind, str(sorted(set(kinds.values()))), str(error))]


def check_pass(folder: Path, bad: int, max_bad: float) -> List[list]:
    """What of a pass over a folder was not as documented."""
    from mssl_plugins.datasets.base import UnreadableImages
    from mssl_plugins.datasets.folder import ImageFolder

    dataset = ImageFolder(str(folder), labels=False, max_bad=max_bad)
    try:
        samples = read_all(dataset, 4)
    except UnreadableImages:
        allowed = bad <= max_bad * len(dataset)
        return [['pass', str(bad), f'stopped, though max_bad={max_bad}']] if allowed else []
    wrong = []
    if bad > max_bad * len(dataset):
        wrong.append(['pass', str(bad), f'went on, though max_bad={max_bad}'])
    if int(dataset._bad.sum()) != bad or len(samples) != len(dataset):
        wrong.append(['pass', str(bad), f'counted {int(dataset._bad.sum())}'])
    if any(s['img'].std() < 20 for s in samples):
        wrong.append(['pass', str(bad), 'an unreadable image was not replaced'])
    return wrong


def one_pass(number: int, seed: int, folder: Path) -> List[Wrong]:
    """Reads 500 images, some damaged, by four workers; returns what was not as documented."""
    rng = np.random.default_rng([seed, number, 1])
    data = encoded(rng, 'PNG')
    bad = max(1, round(IMAGES * math.exp(rng.uniform(math.log(0.001), math.log(0.3)))))
    damaged = set(rng.permutation(IMAGES)[:bad].tolist())
    folder.mkdir()
    for i in range(IMAGES):
        (folder / f'{i:03}.png').write_bytes(data[: len(data) // 2] if i in damaged else data)
    max_bad = float(rng.choice([0.01, 0.3, 1.0]))
    try:
        return [Wrong(*w) for w in in_process(lambda: check_pass(folder, bad, max_bad), 120)]
    except (TimeoutError, RuntimeError) as error:
        return [Wrong('hang' if isinstance(error, TimeoutError) else 'crash', str(bad), str(error))]


def main(argv=None) -> int:
    """Reads the folders, prints the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--n', type=int, default=1000, help='files; default: 1000')
    parser.add_argument('--passes', type=int, default=100, help='default: 100')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    parser.add_argument('--write', action='store_true', help='write docs/reliability.md')
    args = parser.parse_args(argv)
    import torch
    from mmengine.logging import MMLogger

    import mssl_plugins.datasets  # noqa: F401, before anything is forked

    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    MMLogger.get_instance('files', log_level='ERROR')  # what is left out is said a line each
    wrong: List[Wrong] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / 'images'
        works = [
            lambda i=i, k=min(TOGETHER, args.n - i): odd_folder(i, args.seed, k, place)
            for i in range(0, args.n, TOGETHER)
        ]
        works += [lambda i=i: one_pass(i, args.seed, place) for i in range(args.passes)]
        for work in works:
            found = work()
            wrong += found
            for entry in found:
                print(entry, file=sys.stderr, flush=True)
            shutil.rmtree(place)
    counts = Counter(w.kind if w.kind in ('hang', 'crash') else 'other' for w in wrong)
    line = (
        f'{args.n} damaged or odd files of {len(KINDS)} kinds and {args.passes} passes of '
        f'{IMAGES} images by 4 workers at 0.1-30 % bad, seed {args.seed}: {counts["hang"]} hangs, '
        f'{counts["crash"]} crashes, {counts["other"]} handled otherwise than documented'
    )
    print(line)
    if args.write:
        command = f'files.py --n {args.n} --passes {args.passes} --seed {args.seed}'
        write_section('files', ['## Damaged and odd files', '', *measured(command, line)])
    return int(bool(wrong))


if __name__ == '__main__':
    sys.exit(main())
