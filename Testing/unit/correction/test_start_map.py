"""A map from a segment and HU alone."""

import numpy as np

from DRAMLesionLib.correction.start_map import map_from_segment

SPACING = (2.0, 2.0, 2.0)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A block of lung at -850 HU with two balls of ground glass at -500 HU, the first of which is segmented."""
    grid = np.indices((24, 24, 48))
    balls = [
        ((grid - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0) <= 25
        for centre in ((12, 12, 12), (12, 12, 34))
    ]
    noise = np.random.default_rng(0).normal(0, 30, grid.shape[1:])
    hu = (np.where(balls[0] | balls[1], -500, -850) + noise).astype(np.int16)
    region = np.zeros(hu.shape, np.uint8)
    region[2:-2, 2:-2, 2:-2] = 1
    return hu, region, balls[0].astype(np.uint8)


def test_the_segment_is_what_lies_above_one_half():
    hu, region, label = scene()
    found = map_from_segment(hu, region, label, SPACING)
    assert found.dtype == np.float32 and found.shape == hu.shape
    np.testing.assert_array_equal(found > 0.5, (label > 0) & (region > 0))
    assert (found[region == 0] == 0).all() and found.min() >= 0 and found.max() < 1


def test_what_looks_like_the_segment_is_the_likelier_lesion():
    hu, region, label = scene()
    found = map_from_segment(hu, region, label, SPACING)
    assert found[12, 12, 34] > 2 * found[12, 4, 23], "the other ball, and plain lung"


def test_the_segments_own_densities_count_more_than_what_is_expected():
    hu, region, label = scene()
    fluid = np.where(hu > -650, hu + 540, hu).astype(np.int16)
    found = map_from_segment(fluid, region, label, SPACING)
    assert found[12, 12, 34] > 2 * found[12, 4, 23]


def test_an_empty_segment_leaves_what_is_expected():
    hu, region, label = scene()
    found = map_from_segment(hu, region, np.zeros_like(label), SPACING)
    assert found[12, 12, 12] > found[12, 4, 23] and found.max() < 0.5


def test_no_region_gives_no_map():
    hu, _, label = scene()
    assert not map_from_segment(hu, np.zeros_like(label), label, SPACING).any()
