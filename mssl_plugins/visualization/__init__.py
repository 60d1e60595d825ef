"""One picture a module: each has ``HELP``, ``add_arguments`` and ``run``.

``tools/visualize.py`` finds them here; a new picture is a new module and a
line in :data:`PICTURES`.
"""

PICTURES = (
    'attention',
    'boxes',
    'curves',
    'masks',
    'mixmask',
    'mph',
    'reconstruction',
    'segments',
    'views',
)
