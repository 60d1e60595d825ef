"""Puts configs, tools and the model index into the wheel, as `.mim`.

The metadata is in pyproject.toml.  `mim` looks for a config's file name in
the whole package, or in the whole source tree of an editable install, and
refuses two hits: so `.mim` exists in built wheels only, never as a link in
the tree, and the build happens outside the tree.
"""

import shutil
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithMim(build_py):
    """Copies the parts that `mim` and the command line need."""

    def run(self):
        """Builds; a wheel also gets `.mim`, where `mim` looks for configs and tools."""
        super().run()
        if self.editable_mode:
            return
        mim = Path(self.build_lib) / 'mssl_plugins' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        for name in ('configs', 'tools'):
            shutil.copytree(
                ROOT / name, mim / name, ignore=shutil.ignore_patterns('__pycache__', '*.pyc')
            )
        for name in ('model-index.yml', 'dataset-index.yml'):
            if (ROOT / name).exists():
                shutil.copy(ROOT / name, mim)


# Removed when this process ends.
OUTSIDE = tempfile.TemporaryDirectory(prefix='mssl_build_')
setup(
    cmdclass={'build_py': BuildWithMim},
    options={
        'build': {'build_base': OUTSIDE.name},
        'egg_info': {'egg_base': OUTSIDE.name},
    },
)
