"""Mistakes are told in a line; errors of foreign code keep their traceback."""

import pytest

from mssl_plugins import errors


def test_later_errors_of_foreign_code_keep_their_traceback():
    def foreign():
        return int('seven')

    assert errors.run_cli(foreign, lambda: True) == 1
    with pytest.raises(ValueError):
        errors.run_cli(foreign, lambda: False)
