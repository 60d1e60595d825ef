"""The names and labels of a large image set, kept in one file that all processes map.

Ours; no paper prescribes it.  A record is the path in UTF-8 and the label in four
bytes, so that MMEngine's ``data_bytes`` and ``data_address`` hold records as they
hold its pickled dicts.  The second start maps the file and only looks at the times
of the folders (or of the list file or shards): nothing is scanned, parsed or copied.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mssl_plugins.files import write_atomically

LEAST = 10_000  # listing a smaller set takes less time than looking for its kept listing
MAGIC = b'mssl_plugins listing 1\n'
UNLABELED = -1
# A folder written to while it was listed may change again within the same tick of
# its file system's clock: such a listing is used once and not kept.
SETTLED = 2_000_000_000  # ns


class Listing(NamedTuple):
    """Records of a set.

    Attributes:
        records (np.ndarray): (bytes,) uint8, path and label of all images.
        ends (np.ndarray): (N,) int64, where each record ends.
        classes (Tuple[str, ...], optional): Names of the classes that the set
            itself holds; None if it holds none.
    """

    records: np.ndarray
    ends: np.ndarray
    classes: Optional[Tuple[str, ...]] = None


def pack(paths: Sequence[str], labels: Optional[Sequence[int]], classes=None) -> Listing:
    """Makes the records of a set.

    Args:
        paths (Sequence[str]): N paths relative to the images' folder; names that
            are not UTF-8 as ``os.fsdecode`` gives them.
        labels (Sequence[int], optional): N labels, 0 or more; None: unlabeled.
        classes (Sequence[str], optional): See :class:`Listing`. Defaults to None.

    Returns:
        Listing: N records.
    """
    every = np.full(len(paths), UNLABELED, '<i4') if labels is None else np.array(labels, '<i4')
    tails = every.tobytes()
    rows = [
        path.encode(errors='surrogateescape') + tails[4 * i : 4 * i + 4]
        for i, path in enumerate(paths)
    ]
    ends = np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))
    return Listing(np.frombuffer(b''.join(rows), np.uint8), ends, classes and tuple(classes))


def unpack(record: bytes) -> Tuple[str, Optional[int]]:
    """Path and label of a record; the label is None if the set is unlabeled."""
    label = int.from_bytes(record[-4:], 'little', signed=True)
    path = record[:-4].decode(errors='surrogateescape')
    return path, None if label == UNLABELED else label


def stamp(info: os.stat_result) -> list:
    """Numbers that change when a folder gets or loses an entry, or a file is written."""
    return [info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size]


def cache_file(key: dict) -> Path:
    """The file of a set's listing, in ``~/.cache/mssl_plugins/listings``.

    Args:
        key (dict): Everything besides the files that the listing depends on, in
            JSON's types.
    """
    root = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16)
    return Path(root) / 'mssl_plugins' / 'listings' / digest.hexdigest()


def keep(key: dict, stamps: Dict[str, list], listing: Listing, began: float) -> None:
    """Writes a listing for the next start; a set that is changing or small is not kept.

    Args:
        key (dict): See :func:`cache_file`.
        stamps (dict[str, list]): :func:`stamp` of every folder or shard that was
            listed, or of the list file, taken before it was read.
        listing (Listing): What was found.
        began (float): ``time.time()`` before the first of them was read.
    """
    newest = max(mtime for _, _, mtime, _ in stamps.values())
    if len(listing.ends) < LEAST or newest > began * 1e9 - SETTLED:
        return
    facts = dict(
        key=key,
        stamps=stamps,
        classes=listing.classes,
        images=len(listing.ends),
        bytes=len(listing.records),
    )
    header = json.dumps(facts).encode()
    start = MAGIC + len(header).to_bytes(8, 'little') + header
    start += bytes(-len(start) % 8)  # the numbers lie at a multiple of their size
    try:
        write_atomically(
            start + listing.ends.astype('<i8').tobytes() + listing.records.tobytes(),
            cache_file(key),
        )
    except OSError:
        return  # no room or no home: the next start lists anew


def kept(key: dict) -> Optional[Listing]:
    """The listing of an earlier start, mapped; None if there is none or the set has changed.

    Args:
        key (dict): See :func:`cache_file`.
    """
    file = cache_file(key)
    try:
        with open(file, 'rb') as f:
            size = int.from_bytes(f.read(len(MAGIC) + 8)[len(MAGIC) :], 'little')
            facts = json.loads(f.read(size))
        first = -(-(len(MAGIC) + 8 + size) // 8) * 8
        images, count = facts['images'], facts['bytes']
        if facts['key'] != key or os.stat(file).st_size != first + 8 * images + count:
            return None
        if any(stamp(os.stat(path)) != was for path, was in facts['stamps'].items()):
            return None
        # Slices of one map, as plain arrays: a view of a memmap is slow to make.
        whole = np.memmap(file, np.uint8, 'r').view(np.ndarray)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # none, or damaged
    ends = whole[first : first + 8 * images].view('<i8')
    if images and ends[-1] != count:
        return None
    classes = facts['classes']
    return Listing(whole[first + 8 * images :], ends, classes and tuple(classes))
