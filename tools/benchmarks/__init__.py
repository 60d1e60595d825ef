"""Lines of the benchmark, a topic a module; each has ``LINES``."""
