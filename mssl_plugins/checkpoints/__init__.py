"""Checkpoints of anybody: read without running code, keys named, backbone found."""
