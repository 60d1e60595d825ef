"""What a folder of images holds, before the first step is trained on it.

Every file is read once: its header says size and kind, its content whether it
decodes and whether it was there before.
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
from mssl_plugins.datasets.image_io import decode_checked, printable, read_file
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


class Found(NamedTuple):
    """One file: its path from the folder on, what it is, or why it is not used.

    Attributes:
        path (str): With ``/``.
        height, width (int): In px; 0 where the header cannot be read.
        kind (str): See ``KINDS``.
        digest (bytes): Of its content.
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
        whole (bool): Decode it, not its header only. Defaults to True.
    """
    try:
        data = read_file(folder / path)
    except OSError as error:
        return Found(path, fault=f'cannot be read: {error.strerror or error}')
    digest = hashlib.blake2b(data, digest_size=16).digest()
    try:
        with Image.open(io.BytesIO(data)) as image:
            (width, height), kind = image.size, KINDS.get(image.mode, image.mode)
    except Exception:  # by format and damage, many types; decoding says which
        width = height = 0
        kind = ''
    found = Found(path, height, width, kind, digest)
    try:
        if whole or not width:
            decode_checked(data)
    except ValueError as error:
        return found._replace(fault=str(error))
    if min(height, width) < min_size:
        return found._replace(fault=f'smaller than --min-size {min_size}: {width} x {height} px')
    return found


class Survey(NamedTuple):
    """A folder's files.

    Attributes:
        folder (Path): Where.
        found (List[Found]): Every file, in sorted order.
    """

    folder: Path
    found: List[Found]

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
) -> Survey:
    """Looks at every image file of a folder.

    Args:
        folder (str): Sub-folders included.
        min_size (int): Least short side in px. Defaults to 0.
        shown (bool): Show a progress bar. Defaults to False.
        names (Sequence[str], optional): Only these. Defaults to None: all.
        threads (int, optional): Defaults to None: one a core, at most 8.

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
    with ThreadPoolExecutor(threads) as pool:
        looked = pool.map(lambda name: look(root, name, min_size), names, chunksize=16)
        found = list(progress(looked, len(names), shown))
    return Survey(root, found)


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
    order = sorted(
        paths,
        key=lambda p: hashlib.blake2b(p.encode(errors='surrogateescape'), digest_size=8).digest(),
    )
    held_out = set(order[:count])
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


def check_counts(survey_: Survey, max_bad: float, batch: int) -> None:
    """Refuses a folder that cannot be trained on.

    Args:
        survey_ (Survey): Of the folder.
        max_bad (float): Largest fraction of unusable files.
        batch (int): Of all processes.

    Raises:
        UserError: Too many unusable files, or fewer images than a batch; says
            which option changes it.
    """
    total, bad = len(survey_.found), survey_.faulty
    if len(bad) > max_bad * total:
        first = ', '.join(f'{printable(item.path)} ({item.fault})' for item in bad[:3])
        raise UserError(
            f'--data: {len(bad)} of {total} files cannot be used, more than --max-bad '
            f'{max_bad:g}: {first}{" ..." if len(bad) > 3 else ""}'
        )
    images = len(split(item.path for item in survey_.used)['train'])
    if images < batch:
        raise UserError(
            f'--data: {images} images to train on are fewer than a batch of {batch} (the last, '
            'smaller batch is dropped): nothing would be trained; lower --batch-size'
        )


def disk_lines(work_dir: str, checkpoint_bytes: int, kept: int) -> List[str]:
    """What the checkpoints take, and what is free.

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
    return [
        f'checkpoints: {checkpoint_bytes / 2**20:.0f} MiB each, {kept} kept; '
        f'{free / 2**30:.0f} GiB free'
    ]
