"""What ``tools/scale.py`` measures and computes: curves, traffic of processes, plans."""
