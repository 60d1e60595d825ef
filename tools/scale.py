"""How start-up and memory grow with the number of images.

    python tools/scale.py --images 1000 10000 100000 1000000 --files FOLDER
    python tools/scale.py --images 10000000
    python tools/scale.py axes --only batch         # with batch, tokens, segments, queue, processes
    python tools/scale.py plan --images 1.28e6      # hours, disk and network on N machines

With ``--files`` the images are real, empty files, a thousand to a folder, made
in FOLDER and kept there; without, a list names files that do not exist.  Each start
is a process of its own.  Prints rows of docs/scale.md: seconds of the first and the
second start, and what two processes of the second one keep together, in bytes an
image.
"""

import argparse
import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools')]
PROCESSES = 2
HEAD = (
    '| images | as | first start, s | second start, s | bytes an image, 2 processes '
    '| first start, peak MiB |'
)


def make_files(folder: Path, number: int) -> Path:
    """``number`` empty files, a thousand to a folder."""
    root = folder / str(number)
    for place in range(-(-number // 1000)):
        below = root / f'{place:05d}'
        if not below.is_dir():
            below.mkdir(parents=True)
            for i in range(min(1000, number - 1000 * place)):
                os.close(os.open(below / f'{i:04d}.jpg', os.O_CREAT | os.O_WRONLY))
    return root


def make_list(folder: Path, number: int) -> Path:
    """A list file of ``number`` names."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'list.txt', 'w') as file:
        for i in range(number):
            file.write(f'{i // 1000:05d}/{i % 1000:04d}.jpg\n')
    return folder


def private_bytes() -> int:
    """Memory of this process in bytes; what it shares counts in proportion (PSS)."""
    with open('/proc/self/smaps_rollup') as file:
        rows = dict(line.split(':', 1) for line in file if ':' in line)
    return 1024 * int(rows['Pss'].split()[0])


def start(root: str, list_file: str) -> None:
    """One process of a run: opens the set, draws the first indices, prints time and memory."""
    import mmengine.dist  # noqa: F401
    from torch.utils.data import DataLoader  # noqa: F401

    from mssl_plugins.datasets import EpochSampler, ImageFolder

    before, began = private_bytes(), time.perf_counter()
    dataset = ImageFolder(root, list_file=list_file, labels=False)
    next(iter(EpochSampler(dataset, seed=0)))
    seconds = time.perf_counter() - began
    for i in range(0, len(dataset), max(1, len(dataset) // 1000)):
        dataset.get_data_info(i)
    print(
        json.dumps(
            dict(seconds=seconds, images=len(dataset), bytes=private_bytes() - before, peak=peak())
        ),
        flush=True,
    )
    sys.stdin.readline()  # until all are measured


def peak() -> int:
    """Largest resident memory so far, in bytes."""
    with open('/proc/self/status') as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith('VmHWM'))


def measure(root: Path, list_file: str, processes: int) -> list:
    """Starts this many processes at once; returns what each printed."""
    command = [sys.executable, __file__, '--start', str(root), list_file]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    seen = [json.loads(_result(process.stdout)) for process in running]
    for process in running:
        process.communicate('\n')
    return seen


def _result(lines) -> str:
    """The first line of JSON; libraries print before it."""
    return next(line for line in lines if line.startswith('{'))


def row(number: int, files: Path) -> str:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as place:
        if files is None:
            root, list_file, how = make_list(Path(place), number), 'list.txt', 'list'
        else:
            root, list_file, how = make_files(files, number), '', 'files'
        os.environ['XDG_CACHE_HOME'] = f'{place}/cache'
        time.sleep(3)  # a set that was just written is not kept
        (first,) = measure(root, list_file, 1)
        second = measure(root, list_file, PROCESSES)
    assert all(seen['images'] == number for seen in (first, *second))
    each = sum(seen['bytes'] for seen in second) / number
    seconds, peak_mib = max(seen['seconds'] for seen in second), first['peak'] / 2**20
    cells = [f'{number:,}', how, f'{first["seconds"]:.2f}', f'{seconds:.3f}', f'{each:.0f}']
    return f'| {" | ".join(cells)} | {peak_mib:.0f} |'


def main(argv=None) -> None:
    """Parses the command line; ``axes`` and ``plan`` have their own, in ``tools/scaling``."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in ('axes', 'plan'):
        logging.disable(logging.INFO)  # a line for each model built
        importlib.import_module(f'scaling.{argv[0]}').main(argv[1:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--images', type=int, nargs='+', default=[1000, 10_000, 100_000])
    parser.add_argument('--files', type=Path, metavar='FOLDER', help='make real files there')
    parser.add_argument('--start', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if min(args.images) < 1:
        parser.error(f'--images {min(args.images)}: must be 1 or more')
    if args.start:
        start(*args.start)
        return
    print(HEAD)
    print('| --- |' + ' --- |' * (HEAD.count('|') - 2))
    for number in args.images:
        print(row(number, args.files), flush=True)


if __name__ == '__main__':
    from mssl_plugins.errors import run_cli

    sys.exit(run_cli(main))
