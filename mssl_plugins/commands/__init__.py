"""The command lines: they parse arguments and call the functions that do the work.

``main`` of each raises a user's mistake as UserError, ValueError or
FileNotFoundError, which :func:`mssl_plugins.errors.run_cli` prints in one line.
"""
