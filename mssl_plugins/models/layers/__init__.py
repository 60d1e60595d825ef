"""Building blocks of backbones and heads."""
