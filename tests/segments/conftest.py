"""The images that segments are made of."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """12 images of several sizes in sub-folders, one name not ASCII."""
    from helpers.segment_sets import write_set

    return write_set(tmp_path / 'set')
