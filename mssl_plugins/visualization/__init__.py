"""The figures, one module each, with ``HELP``, ``add_arguments`` and ``run``.

``tools/visualize.py`` finds them here; a new figure is a new module and a
line in :data:`FIGURES`.  ``run`` raises a user's mistake as UserError, ValueError
or FileNotFoundError, which the command prints in one line.
"""

FIGURES = (
    'attention',
    'bias',
    'boxes',
    'contrast',
    'curves',
    'embedding',
    'masks',
    'mixmask',
    'mph',
    'neighbors',
    'pca',
    'propagation',
    'reconstruction',
    'segments',
    'similarity',
    'tokens',
    'views',
)
