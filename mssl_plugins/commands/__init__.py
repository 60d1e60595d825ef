"""The command lines: they parse arguments and call the functions that do the work."""
