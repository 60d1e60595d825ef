"""The figures, one module each, with ``HELP``, ``add_arguments`` and ``run``.

``tools/visualize.py`` finds them here; a new figure is a new module and a
line in :data:`FIGURES`.
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
