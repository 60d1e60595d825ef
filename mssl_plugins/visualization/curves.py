"""Loss and k-NN of several runs side by side (MixMask's supplement, Fig. 1)."""

import argparse
import io
import math
import os
from pathlib import Path
from typing import Dict, List, Tuple

from mssl_plugins.files import Curve, as_curves, read_scalars, write_atomically
from mssl_plugins.visualization.canvas import distinct_names


def read_curves(work_dir: str) -> Dict[str, Curve]:
    """Every finite scalar a run logged, ``{name: [(step, value), ...]}``.

    A resumed run has several logs; where they overlap, the later one counts.
    Incomplete lines are left out.

    Raises:
        FileNotFoundError: If the folder holds no log.
    """
    pattern = '**/vis_data/scalars.json'
    if not any(Path(work_dir).glob(pattern)):
        raise FileNotFoundError(
            f'{work_dir}: no vis_data/scalars.json below it; is it the work directory of a run?'
        )
    return as_curves(read_scalars(work_dir, pattern))


def draw(runs: Dict[str, str], keys: List[str], out: str) -> None:
    """Draws one panel for each key with one line for each run.

    Args:
        runs (Dict[str, str]): Name in the legend -> work dir.
        keys (List[str]): Logged names, or beginnings of them.
        out (str): File to write; its suffix gives the format.

    Raises:
        ValueError: If no run logged a key.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    logged = {name: read_curves(folder) for name, folder in runs.items()}
    names = sorted({key for curves in logged.values() for key in curves})
    rows = 1 if len(keys) <= 4 else math.ceil(len(keys) / 3)
    columns = math.ceil(len(keys) / rows)
    across = min(len(logged), 2 * columns + 2)  # names beside each other in the legend
    size = (5 * columns, 3.6 * rows + 0.25 * math.ceil(len(logged) / across))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout='constrained')
    for axis in axes.flat[len(keys) :]:
        axis.set_visible(False)
    for axis, wanted in zip(axes.flat, keys):
        found = [wanted] if wanted in names else [k for k in names if k.startswith(wanted)][:1]
        if not found:
            plt.close(figure)
            raise ValueError(
                f"no run logged '{wanted}': logged were {', '.join(names) or 'no scalars at all'}"
            )
        for name, curves in logged.items():
            points = curves.get(found[0], [])
            axis.plot(
                [s for s, _ in points],
                [v for _, v in points],
                label=name,
                marker='o' if len(points) < 30 else None,
                markersize=3,
            )
        axis.set_xlabel('iteration')
        axis.set_title(found[0])
        axis.grid(alpha=0.3)
    lines, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, labels, loc='outside lower center', ncols=across, fontsize=8)
    data = io.BytesIO()
    figure.savefig(data, dpi=120, format=Path(out).suffix[1:] or 'png')
    plt.close(figure)
    write_atomically(data.getvalue(), out)


def _named(entry: str) -> Tuple[str, str]:
    """Name and folder of ``NAME=FOLDER`` or ``FOLDER``, both of which may hold more signs =."""
    parts = entry.split('=')
    for i in range(len(parts)):
        folder = '='.join(parts[i:])
        if os.path.isdir(folder):
            return '='.join(parts[:i]), folder
    return entry.rpartition('=')[::2]


def run(args: argparse.Namespace) -> None:
    """Plots what the runs logged."""
    given = [_named(entry) for entry in args.runs]
    names = distinct_names([folder for _, folder in given])
    runs = {name or own: folder for (name, folder), own in zip(given, names)}
    draw(runs, args.keys, args.out)
