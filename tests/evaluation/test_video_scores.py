"""J&F of drawn squares: hand-computed values, contours by loops."""

import math

import cv2
import numpy as np
import pytest

from helpers.videos import square
from mssl_plugins.evaluation.video_scores import contour, contour_pixels, region, score_video


def test_j_and_f_of_drawn_squares():
    """On 100 x 100 px contours match within ceil(0.008 * 141.4) = 2 px."""
    one = square(30, 30) > 0
    assert region(one, one) == contour(one, one) == 1
    assert contour_pixels(one).sum() == 40  # a ring of 11 x 11 px
    # 1 px beside: 90 of 110 px are common, every contour pixel is near
    assert region(square(30, 31) > 0, one) == 90 / 110 and contour(square(30, 31) > 0, one) == 1
    # 5 px beside: 50 of 150; of the ring's 40 px 8 above, 8 below and 4 between are near
    assert region(square(30, 35) > 0, one) == 50 / 150
    assert contour(square(30, 35) > 0, one) == 0.5
    # 3 px larger to the right and below: 25 px of each ring, of 52 and 40, are near
    large = square(30, 30, 13) > 0
    assert region(large, one) == 100 / 169
    assert contour(large, one) == pytest.approx(2 / (52 / 25 + 40 / 25), abs=1e-12)
    nothing = np.zeros((100, 100), bool)
    assert region(nothing, nothing) == contour(nothing, nothing) == 1
    for score in (region, contour):
        assert score(one, nothing) == score(nothing, one) == 0
    assert contour(square(0, 60) > 0, one) == 0  # nowhere near
    whole = np.ones((100, 100), bool)
    assert contour_pixels(whole).sum() == 0  # the frame's edge is no contour


def test_contours_by_loops():
    rng = np.random.default_rng(0)
    for size in ((40, 70), (150, 130)):
        masks = [
            cv2.resize(rng.random((6, 7)), size[::-1], interpolation=cv2.INTER_CUBIC) > 0.55
            for _ in range(2)
        ]
        height, width = size
        far = math.ceil(0.008 * math.sqrt(height**2 + width**2))
        rings = []
        for mask in masks:
            ring = set()
            for y in range(height):
                for x in range(width):
                    others = [
                        mask[v, u]
                        for v, u in ((y, x + 1), (y + 1, x), (y + 1, x + 1))
                        if v < height and u < width
                    ]
                    if any(other != mask[y, x] for other in others):
                        ring.add((y, x))
            rings.append(ring)
            assert {tuple(p) for p in np.argwhere(contour_pixels(mask)).tolist()} == ring
        near = [
            sum(
                any(
                    (y + dy, x + dx) in other
                    for dy in range(-far, far + 1)
                    for dx in range(-far, far + 1)
                    if dy * dy + dx * dx <= far * far
                )
                for y, x in ring
            )
            / len(ring)
            for ring, other in (rings, rings[::-1])
        ]
        wanted = 2 * near[0] * near[1] / (near[0] + near[1])
        assert contour(*masks) == pytest.approx(wanted, abs=1e-12) and 0 < wanted < 1


def test_scores_of_a_video():
    """The first frame and the last do not count; 255 is of nobody."""
    truth = [square(30, 30) + square(60, 60, number=2) for _ in range(4)]
    truth[1][0:20] = 255
    predicted = [truth[0], square(30, 31), square(30, 35), np.zeros((100, 100), np.uint8)]
    predicted[1][5:15, 5:15] = 1  # where the truth is void
    scores = score_video(predicted, truth, 2)
    assert scores['J'] == pytest.approx([(90 / 110 + 50 / 150) / 2, 0])
    assert scores['F'] == pytest.approx([(1 + 0.5) / 2, 0])
    with pytest.raises(ValueError, match='3 or more'):
        score_video(predicted[:2], truth[:2], 2)
