"""Weights and features for other libraries."""
