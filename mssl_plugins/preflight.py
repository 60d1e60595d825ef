"""What a folder of images holds, before the first step is trained on it.

Every file is read once: its header says size and kind, its content whether it
decodes and whether it was there before.  Of a huge folder a part is decoded;
of the other files the head and the tail are read.
"""

import hashlib
import io
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np
from PIL import Image

from mssl_plugins.datasets.folder import scan
from mssl_plugins.datasets.image_io import (
    MAX_PIXELS,
    decode_checked,
    is_truncated,
    printable,
    read_file,
)
from mssl_plugins.errors import UserError
from mssl_plugins.files import progress, write_atomically

KINDS = {
    '1': 'black and white',
    'L': '8-bit gray',
    'LA': '8-bit gray with alpha',
    'P': 'palette',
    'RGB': '8-bit RGB',
    'RGBA': '8-bit RGB with alpha',
    'CMYK': '8-bit CMYK',
    'YCbCr': '8-bit YCbCr',
    'I': '32-bit gray',
    'F': 'float gray',
    'I;16': '16-bit gray',
    'I;16B': '16-bit gray',
    'PA': 'palette with alpha',
}
HELD_OUT_FRACTION, HELD_OUT_LEAST = 0.05, 64
DECODED = 20_000  # ours: at most so many files are decoded, some minutes of photos
ENDS = 1 << 16  # bytes of head and of tail: headers with a thumbnail fit


class Found(NamedTuple):
    """One file: its path from the folder on, what it is, or why it is not used.

    Attributes:
        path (str): With ``/``.
        height, width (int): In px; 0 where the header cannot be read.
        kind (str): See ``KINDS``.
        digest (bytes): Of its content; equal ones mean equal files in a
            :class:`Survey`.
        fault (str): '' for an image that is used.
    """

    path: str
    height: int = 0
    width: int = 0
    kind: str = ''
    digest: bytes = b''
    fault: str = ''


def look(folder: Path, path: str, min_size: int = 0, whole: bool = True) -> Found:
    """Reads one file.

    Args:
        folder (Path): Of the set.
        path (str): Below it.
        min_size (int): Least short side in px. Defaults to 0.
        whole (bool): Decode it, not its header only. Defaults to True; a file
            whose ends look damaged is decoded all the same.
    """
    try:
        data = read_file(folder / path) if whole else read_ends(folder / path)
    except OSError as error:
        return Found(path, fault=f'cannot be read: {error.strerror or error}')
    if not whole and not _ends_well(data):
        return look(folder, path, min_size)  # decoding says what is wrong, if anything
    try:
        with Image.open(io.BytesIO(data)) as image:
            (width, height), kind = image.size, KINDS.get(image.mode, image.mode)
    except Exception:  # by format and damage, many types; decoding says which
        width = height = 0
        kind = ''
    odd = not width or kind in (KINDS['I'], KINDS['F']) or height * width > MAX_PIXELS
    if odd and not whole:
        return look(folder, path, min_size)
    found = Found(path, height, width, kind, _hash(_ends(data) if whole else data))
    try:
        if whole:
            decode_checked(data)
    except ValueError as error:
        return found._replace(fault=str(error))
    if min(height, width) < min_size:
        return found._replace(fault=f'smaller than --min-size {min_size}: {width} x {height} px')
    return found


def read_ends(path: Path) -> bytes:
    """Head, length and tail of a regular file; all of a small one.

    Raises:
        OSError: See :func:`~mssl_plugins.datasets.image_io.read_file`.
    """
    size = os.stat(path).st_size
    if size <= 2 * ENDS:
        return read_file(path)
    with open(path, 'rb') as file:
        head = file.read(ENDS)
        file.seek(size - ENDS)
        return head + size.to_bytes(8, 'big') + file.read(ENDS)


def _ends(data: bytes) -> bytes:
    """What :func:`read_ends` gives of a file with this content."""
    if len(data) <= 2 * ENDS:
        return data
    return data[:ENDS] + len(data).to_bytes(8, 'big') + data[-ENDS:]


def _ends_well(ends: bytes) -> bool:
    """Whether a JPEG or PNG file ends as a whole one does; other formats do not tell."""
    if len(ends) > 2 * ENDS and ends.startswith(b'\xff\xd8'):
        return b'\xff\xd9' in ends[-ENDS:]
    return bool(ends) and not is_truncated(ends)


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


class Survey(NamedTuple):
    """A folder's files.

    Attributes:
        folder (Path): Where.
        found (List[Found]): Every file, in sorted order.
        decoded (int, optional): How many files were to be decoded; None: all.
    """

    folder: Path
    found: List[Found]
    decoded: Optional[int] = None

    @property
    def used(self) -> List[Found]:
        """Those to train on; of files with the same content the first."""
        seen, used = set(), []
        for item in self.found:
            if not item.fault and item.digest not in seen:
                seen.add(item.digest)
                used.append(item)
        return used

    @property
    def faulty(self) -> List[Found]:
        """Those that cannot be used."""
        return [item for item in self.found if item.fault]

    @property
    def duplicates(self) -> int:
        """Readable files whose content another one has, too."""
        return len(self.found) - len(self.faulty) - len(self.used)

    def sides(self) -> np.ndarray:
        """(N,) short sides in px of the images to train on."""
        return np.array([min(item.height, item.width) for item in self.used])

    def lines(self) -> List[str]:
        """The survey for people."""
        used = self.used
        said = [f'{self.folder}: {len(self.found)} image files, {len(used)} to learn from']
        if used:
            low, middle, high = np.percentile(self.sides(), (5, 50, 95)).round().astype(int)
            said.append(f'short side {low} / {middle} / {high} px (5, 50, 95 %)')
            kinds = Counter(item.kind for item in used).most_common()
            said.append(', '.join(f'{count} {kind}' for kind, count in kinds))
        if self.decoded is not None:
            said.append(
                f'{self.decoded} files were decoded; of the others head and tail were read, and '
                'damage between them shows while training (--max-bad)'
            )
        if self.duplicates:
            said.append(f'{self.duplicates} have the same content as another: each is taken once')
        reasons = Counter(item.fault.split(':')[0].split(' (')[0] for item in self.faulty)
        if reasons:
            said.append(
                'not used: ' + ', '.join(f'{count} {what}' for what, count in reasons.most_common())
            )
        return said


def survey(
    folder: str,
    min_size: int = 0,
    shown: bool = False,
    names: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
    decoded: int = DECODED,
) -> Survey:
    """Looks at every image file of a folder.

    Args:
        folder (str): Sub-folders included.
        min_size (int): Least short side in px. Defaults to 0.
        shown (bool): Show a progress bar. Defaults to False.
        names (Sequence[str], optional): Only these. Defaults to None: all.
        threads (int, optional): Defaults to None: one a core, at most 8.
        decoded (int): Of more files than these only so many, drawn by their
            names, are decoded. Defaults to 20,000.

    Returns:
        Survey: Of all files.

    Raises:
        UserError: If there is no such folder, or no image file in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f'--data: no such folder: {folder}')
    names = scan(str(root)) if names is None else names
    if not names:
        raise UserError(f'--data: no image file in {folder}')
    threads = threads or min(8, len(os.sched_getaffinity(0)))
    drawn = set(names if len(names) <= decoded else _by_hash(names)[:decoded])
    with ThreadPoolExecutor(threads) as pool:
        looked = pool.map(lambda name: look(root, name, min_size, name in drawn), names)
        found = _tell_apart(root, list(progress(looked, len(names), shown, 'images read')))
    return Survey(root, found, None if len(drawn) == len(names) else decoded)


def _tell_apart(root: Path, found: List[Found]) -> List[Found]:
    """Files with the same ends get digests of all that is in them."""
    count = Counter(item.digest for item in found if not item.fault)
    return [
        item._replace(digest=_hash(read_file(root / item.path)))
        if count[item.digest] > 1 and not item.fault
        else item
        for item in found
    ]


def _by_hash(paths: Iterable[str]) -> List[str]:
    """In an order that depends on each path alone and means nothing."""
    return sorted(
        paths,
        key=lambda p: hashlib.blake2b(p.encode(errors='surrogateescape'), digest_size=8).digest(),
    )


def split(
    paths: Iterable[str], fraction: float = HELD_OUT_FRACTION, least: int = HELD_OUT_LEAST
) -> Dict[str, List[str]]:
    """Holds images out to measure on.

    Which is held out depends on its path alone, so that it stays so when
    images are added.

    Args:
        paths (Iterable[str]): Of all images.
        fraction (float): To hold out. Defaults to 5 %.
        least (int): At least so many, but never more than a quarter.
            Defaults to 64.

    Returns:
        dict[str, list[str]]: 'train' and 'held_out', each sorted.
    """
    paths = sorted(paths)
    count = min(max(round(fraction * len(paths)), least), len(paths) // 4)
    held_out = set(_by_hash(paths)[:count])
    return dict(train=[p for p in paths if p not in held_out], held_out=sorted(held_out))


def write_lists(survey_: Survey, into: Path) -> Dict[str, Path]:
    """Writes which images are trained on, held out and not used.

    Args:
        survey_ (Survey): Of the folder.
        into (Path): A folder.

    Returns:
        dict[str, Path]: 'train', 'held_out' and 'not_used' (path, tab,
        reason).
    """
    parts = split(item.path for item in survey_.used)
    lists = {name: '\n'.join(paths) for name, paths in parts.items()}
    lists['not_used'] = '\n'.join(f'{item.path}\t{item.fault}' for item in survey_.faulty)
    files = {}
    for name, text in lists.items():
        files[name] = into / f'{name}.txt'
        write_atomically(
            (text + '\n' if text else '').encode(errors='surrogateescape'), files[name]
        )
    return files


def check_faults(survey_: Survey, max_bad: float) -> None:
    """Refuses a folder of which too much cannot be used.

    Args:
        survey_ (Survey): Of the folder.
        max_bad (float): Largest fraction of unusable files.

    Raises:
        UserError: Says which option allows them.
    """
    total, bad = len(survey_.found), survey_.faulty
    if len(bad) > max_bad * total:
        first = ', '.join(f'{printable(item.path)} ({item.fault})' for item in bad[:3])
        raise UserError(
            f'--data: {len(bad)} of {total} files cannot be used, more than --max-bad '
            f'{max_bad:g}: {first}{" ..." if len(bad) > 3 else ""}'
        )


def check_counts(survey_: Survey, batch: int) -> None:
    """Refuses a folder that does not fill a batch.

    Args:
        survey_ (Survey): Of the folder.
        batch (int): Of all processes.

    Raises:
        UserError: Says which option changes it.
    """
    images = len(split(item.path for item in survey_.used)['train'])
    if images < batch:
        raise UserError(
            f'--data: {images} images to train on are fewer than a batch of {batch} (the last, '
            'smaller batch is dropped): nothing would be trained; lower --batch-size'
        )


def disk_line(work_dir: str, checkpoint_bytes: int, kept: int, feature_bytes: int = 0) -> str:
    """What the checkpoints take, and what is free.

    Args:
        work_dir (str): It need not exist.
        checkpoint_bytes (int): Of one.
        kept (int): How many; one more is written before the oldest goes.
        feature_bytes (int): Of all images, which ``extract`` writes. Defaults
            to 0, not said.

    Raises:
        UserError: If they do not fit.
    """
    place = Path(work_dir).absolute()
    while not place.exists():
        place = place.parent
    free, need = shutil.disk_usage(place).free, checkpoint_bytes * (kept + 1)
    if need > free:
        raise UserError(
            f'{work_dir}: {need / 2**30:.1f} GiB of checkpoints do not fit the '
            f'{free / 2**30:.1f} GiB that are free; lower '
            'default_hooks.checkpoint.max_keep_ckpts, or choose another --work-dir'
        )
    features = f'features of all images {feature_bytes / 2**20:.1f} MiB; ' if feature_bytes else ''
    return (
        f'disk: checkpoints {checkpoint_bytes / 2**20:.0f} MiB each, {kept} kept; {features}'
        f'{free / 2**30:.0f} GiB free'
    )
