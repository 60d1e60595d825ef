"""Results and protocols as text."""

from typing import Sequence

from mssl_plugins.evaluation.protocols import PROTOCOLS


def table(rows: Sequence[dict]) -> str:
    """Rows of results as a table in plain text."""
    if not rows:
        return 'nothing measured'
    head = ('protocol', 'setting', 'metric', 'value', 'seconds')
    cells = [head] + [
        (r['protocol'], r['setting'], r['metric'], f'{r["value"]:.2f}', f'{r["seconds"]:.1f}')
        for r in rows
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(5)]
    return '\n'.join(
        '  '.join(
            c.rjust(w) if i > 2 else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    )


def listing() -> str:
    """The list of protocols that ``--list`` prints."""
    lines = []
    for name, p in PROTOCOLS.items():
        whom = ' and '.join('ViT' if f == 'vit' else 'ResNet' for f in p.configs)
        lines.append(f'{name:<20}{p.title} ({p.source}); {whom}')
    return '\n'.join(lines)
