"""How images are prepared for a backbone: one rule for evaluation, extraction and export.

The short side is resized (bicubic, antialiased), the center is cut out, values
are normalized.  An export's metadata says the same.
"""

#: of ImageNet, 0-255 RGB: where nothing else is said
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
INTERPOLATION = 'bicubic'
SMALL = 128  # px; networks for smaller images see the whole short side


def crop_fraction(size: int) -> float:
    """Side of the center crop over the short side: 0.875 (224 of 256), 1 for small sizes."""
    return 0.875 if size >= SMALL else 1.0


def resize_for(size: int) -> int:
    """Short side in px to resize to before the center crop of ``size`` px."""
    return int(size / crop_fraction(size))
