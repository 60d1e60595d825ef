"""Checkpoints of any library: read without running code, keys renamed, backbone found."""
