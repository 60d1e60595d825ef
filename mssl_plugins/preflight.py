"""The survey of a folder of images, before the first training step.

Every file is read once: the header gives its size and kind, the content shows
whether it decodes and whether it is a copy.  In a huge folder only a part of the
files is decoded; of the others, head and tail are read.
"""

import hashlib
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np

from mssl_plugins.datasets.bands import NPY
from mssl_plugins.datasets.folder import extensions_of, other_files
from mssl_plugins.datasets.image_io import EXTENSIONS, one_line, printable
from mssl_plugins.datasets.inspection import Files, Found, hash_of, inspect
from mssl_plugins.errors import UserError
from mssl_plugins.files import progress, write_atomically
from mssl_plugins.work_dir import NOT_USED

HELD_OUT_FRACTION, HELD_OUT_LEAST = 0.05, 64
# what becomes 8-bit RGB loses
LOST = {'16-bit': '16 bits become 8', 'alpha': 'alpha is dropped'}
DECODED = 20_000  # our choice: decoding this many photos takes some minutes


class Survey(NamedTuple):
    """A folder's files.

    Attributes:
        folder (Path): The folder.
        found (List[Found]): Every file, in sorted order.
        decoded (int, optional): How many files were decoded; None: all.
        others (Dict[str, int]): Numbers of the other files, by their suffix.
    """

    folder: Path
    found: List[Found]
    decoded: Optional[int] = None
    others: Dict[str, int] = {}

    @property
    def used(self) -> List[Found]:
        """The images to train on; of files with the same content the first."""
        seen, used = set(), []
        for item in self.found:
            if not item.fault and item.digest not in seen:
                seen.add(item.digest)
                used.append(item)
        return used

    @property
    def faulty(self) -> List[Found]:
        """The files that are not used, each with its reason."""
        return [item for item in self.found if item.fault]

    @property
    def duplicates(self) -> int:
        """Readable files that are copies of another file."""
        return len(self.found) - len(self.faulty) - len(self.used)

    def sides(self) -> np.ndarray:
        """(N,) short sides in px of the images to train on."""
        return np.array([min(item.height, item.width) for item in self.used])

    def lines(self) -> List[str]:
        """The survey as lines of text."""
        used = self.used
        said = [f'{self.folder}: {len(self.found)} image files, {len(used)} to learn from']
        if used:
            low, middle, high = np.percentile(self.sides(), (5, 50, 95)).round().astype(int)
            said.append(f'short side {low} / {middle} / {high} px (5, 50, 95 %)')
            kinds = Counter(item.kind for item in used).most_common()
            said.append(', '.join(f'{count} {kind}' for kind, count in kinds))
            lost = [what for what in LOST if any(what in kind for kind, _ in kinds)]
            if lost:
                said.append(
                    f'{" and ".join(LOST[what] for what in lost)}: --channels N, with --bits 16 '
                    'for 16 bits, keep them'
                )
        if self.decoded is not None:
            said.append(
                f'{self.decoded} files were decoded; of the others head and tail were read, and '
                'damage between them shows while training (--max-bad)'
            )
        if self.duplicates:
            what = 'copies of others' if self.duplicates > 1 else 'copy of another'
            said.append(f'{self.duplicates} {what}: each content is taken once')
        if self.others:
            said.append(f'other files, not looked at: {_kinds(self.others)}')
        reasons = Counter(item.fault.split(':')[0].split(' (')[0] for item in self.faulty)
        if reasons:
            said.append(
                'not used: ' + ', '.join(f'{count} {what}' for what, count in reasons.most_common())
            )
        return said

    def faults(self, most: int = 10) -> List[str]:
        """Names and reasons of what cannot be used, a line each; of many the first ones."""
        lines = [f'  {printable(item.path)}: {item.fault}' for item in self.faulty[:most]]
        left = len(self.faulty) - most
        return lines + ([f'  ... and {left} more'] if left > 0 else [])


def _kinds(others: Dict[str, int]) -> str:
    kinds = [f'{count} {kind}' for kind, count in Counter(others).most_common(6)]
    listed = ', '.join(kinds[:5] + ['...'] * (len(kinds) > 5))
    return f'{listed} (images end in {", ".join(EXTENSIONS)})'


def survey(
    folder: str,
    min_size: int = 0,
    shown: bool = False,
    names: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
    decoded: int = DECODED,
    source: Optional[Files] = None,
) -> Survey:
    """Looks at every image file of a folder, or every image of its shards.

    Args:
        folder (str): Sub-folders included.
        min_size (int): Smallest allowed short side in px. Defaults to 0.
        shown (bool): Whether to show a progress bar. Defaults to False.
        names (Sequence[str], optional): Only these files. Defaults to None:
            all.
        threads (int, optional): Number of threads. Defaults to None: one for
            each core, at most 8.
        decoded (int): If there are more files, only this many, chosen by their
            names, are decoded. Defaults to 20,000.
        source (Files, optional): Where the images are. Defaults to None: files of
            ``folder`` that become RGB.

    Returns:
        Survey: The survey of all files.

    Raises:
        UserError: If there is no such folder, or no image file in it.
    """
    source = source or Files(Path(folder).expanduser())
    if not source.root.is_dir():
        raise UserError(f'--data: no such folder: {folder}')
    others = {}
    if names is None and type(source) is Files:
        others = other_files(str(source.root), extensions_of(source.channels))
    names = source.names() if names is None else names
    if not names:
        npy = NPY in others
        raise UserError(
            f'--data: no image file in {folder}'
            + (f', but {_kinds(others)}' if others else '')
            + (f'; --channels N takes {NPY}' if npy else '')
        )
    threads = threads or min(8, len(os.sched_getaffinity(0)))
    drawn = set(names if len(names) <= decoded else _by_hash(names)[:decoded])
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda name: inspect(source, name, min_size, name in drawn), names)
        found = _tell_apart(source, list(progress(found, len(names), shown, 'images read')))
    return Survey(
        Path(folder).expanduser(), found, None if len(drawn) == len(names) else decoded, others
    )


def _tell_apart(source: Files, found: List[Found]) -> List[Found]:
    """Gives files with equal heads and tails digests of their whole content."""
    count = Counter(item.digest for item in found if not item.fault)
    return [
        item._replace(digest=hash_of(source.read(item.path)))
        if count[item.digest] > 1 and not item.fault
        else item
        for item in found
    ]


def _by_hash(paths: Iterable[str]) -> List[str]:
    """Sorts paths by a hash: an arbitrary order that depends on each path alone."""
    return sorted(
        paths,
        key=lambda p: hashlib.blake2b(p.encode(errors='surrogateescape'), digest_size=8).digest(),
    )


def split(
    paths: Iterable[str], fraction: float = HELD_OUT_FRACTION, least: int = HELD_OUT_LEAST
) -> Dict[str, List[str]]:
    """Splits images into training and held-out images.

    The images are sorted by a hash of their paths, and the first ones are held
    out: the same folder is always split alike. When images are added, others
    may come before them.

    Args:
        paths (Iterable[str]): Paths of all images.
        fraction (float): Fraction to hold out. Defaults to 0.05.
        least (int): Hold out at least this many, but never more than a quarter.
            Defaults to 64.

    Returns:
        dict[str, list[str]]: 'train' and 'held_out', each sorted.
    """
    paths = sorted(paths)
    count = min(max(round(fraction * len(paths)), least), len(paths) // 4)
    held_out = set(_by_hash(paths)[:count])
    return dict(train=[p for p in paths if p not in held_out], held_out=sorted(held_out))


def write_lists(survey_: Survey, into: Path) -> Dict[str, Path]:
    """Writes which images are trained on and held out.

    Args:
        survey_ (Survey): The survey of the folder.
        into (Path): Folder for the lists.

    Returns:
        dict[str, Path]: The files 'train' and 'held_out'.
    """
    parts = split(item.path for item in survey_.used)
    return {name: _write(paths, into / f'{name}.txt') for name, paths in parts.items()}


def write_not_used(survey_: Survey, into: Path) -> Path:
    """Writes which images are not used, as lines of path, tab, reason; returns the file."""
    lines = [f'{one_line(item.path)}\t{item.fault}' for item in survey_.faulty]
    return _write(lines, into / NOT_USED)


def _write(lines: List[str], file: Path) -> Path:
    write_atomically(''.join(f'{line}\n' for line in lines).encode(errors='surrogateescape'), file)
    return file


def check_faults(survey_: Survey, max_bad: float) -> None:
    """Refuses a folder with too many unusable files, or none that is used.

    Images that are only smaller than asked for are neither counted as such nor among all.

    Args:
        survey_ (Survey): The survey of the folder.
        max_bad (float): Largest fraction of unusable files.

    Raises:
        UserError: If there are more; says which option allows them.
    """
    bad = [item for item in survey_.faulty if not item.small]
    total = len(survey_.found) - (len(survey_.faulty) - len(bad))
    if not total:
        raise UserError(f'--data: all {len(survey_.found)} images are smaller than --min-size')
    if len(bad) > max_bad * total:
        first = ', '.join(f'{printable(item.path)} ({item.fault})' for item in bad[:3])
        raise UserError(
            f'--data: {len(bad)} of {total} files cannot be used, more than --max-bad '
            f'{max_bad:g}: {first}{" ..." if len(bad) > 3 else ""}'
        )


def check_counts(survey_: Survey, batch: int) -> None:
    """Refuses a folder that does not fill a batch.

    Args:
        survey_ (Survey): The survey of the folder.
        batch (int): Batch of all processes together.

    Raises:
        UserError: If it does not; says which option changes the batch.
    """
    images = len(split(item.path for item in survey_.used)['train'])
    if images < batch:
        raise UserError(
            f'--data: {images} images to train on are fewer than a batch of {batch} (the last, '
            'smaller batch is dropped): nothing would be trained; lower --batch-size'
        )


def disk_line(work_dir: str, checkpoint_bytes: int, kept: int, feature_bytes: int = 0) -> str:
    """A line that says how much disk space the checkpoints take and how much is free.

    Args:
        work_dir (str): The work dir; it need not exist.
        checkpoint_bytes (int): Size of one checkpoint.
        kept (int): How many are kept; one more is written before the oldest is
            deleted.
        feature_bytes (int): Size of the features of all images that ``extract``
            writes; 0: not mentioned. Defaults to 0.

    Returns:
        str: One line, in MiB and GiB.

    Raises:
        UserError: If the checkpoints do not fit.
    """
    place = Path(work_dir).absolute()
    while not place.exists():
        place = place.parent
    free, need = shutil.disk_usage(place).free, checkpoint_bytes * (kept + 1)
    own = sum(file.stat().st_size for file in Path(work_dir).glob('*.pth') if file.is_file())
    if need > free + own:  # a run that goes on replaces its own checkpoints
        raise UserError(
            f'{work_dir}: {need / 2**20:,.0f} MiB of checkpoints do not fit the '
            f'{free / 2**20:,.0f} MiB that are free; lower '
            'default_hooks.checkpoint.max_keep_ckpts, or choose another --work-dir'
        )
    features = f'features of all images {feature_bytes / 2**20:.1f} MiB; ' if feature_bytes else ''
    return (
        f'disk: checkpoints {checkpoint_bytes / 2**20:.0f} MiB each, {kept} kept; {features}'
        f'{free / 2**30:.0f} GiB free'
    )
