"""What is taken off the lungs' border: pads that the network doubts all around, and nothing of ground glass or edges."""

import numpy as np
import pytest

from DRAMLesionLib.lungs.body import doubted_air
from DRAMLesionLib.lungs.doubtful import dense_slivers, doubtful_haze

SPACING = np.full(3, 2.5)
PAD = np.s_[8:16, 8:16, 20:24]
"""Haze at the border of a block of lung that ends at 24 along x."""


def a_lung(hu: float, probability: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lungs, probability and HU (24, 24, 32), with something at the border."""
    lungs = np.zeros((24, 24, 32), bool)
    lungs[4:20, 4:20, 4:24] = True
    coarse = np.where(lungs, -850, 40).astype(np.float32)
    likely = np.where(lungs, 0.999, 0.001).astype(np.float32)
    coarse[PAD], likely[PAD] = hu, probability
    return lungs, likely, coarse


def test_a_pad_of_fat_that_the_network_doubts_is_taken_off_and_no_more() -> None:
    off = doubtful_haze(*a_lung(-100, 0.7), SPACING)
    assert off[PAD].all()
    assert off.sum() == off[PAD].sum()


@pytest.mark.parametrize(("hu", "probability"), [(-500, 0.97), (20, 0.7), (-850, 0.7)])
def test_sure_ground_glass_and_what_is_no_haze_stay(hu: float, probability: float) -> None:
    assert not doubtful_haze(*a_lung(hu, probability), SPACING).any()


def test_ground_glass_keeps_a_border_that_the_network_doubts() -> None:
    lungs, likely, coarse = a_lung(-500, 0.999)
    likely[8:16, 8:16, 22:24] = 0.6
    assert not doubtful_haze(lungs, likely, coarse, SPACING).any()


def test_the_edge_of_aerated_lung_stays() -> None:
    lungs, likely, coarse = a_lung(-850, 0.999)
    coarse[4:20, 4:20, 23], likely[4:20, 4:20, 23] = -450, 0.55
    assert not doubtful_haze(lungs, likely, coarse, SPACING).any()


def test_what_lung_encloses_stays() -> None:
    lungs, likely, coarse = a_lung(-850, 0.999)
    coarse[10:14, 10:14, 10:14], likely[10:14, 10:14, 10:14] = -100, 0.6
    assert not doubtful_haze(lungs, likely, coarse, SPACING).any()


def test_a_thread_in_the_liver_is_taken_off_and_a_consolidation_is_not() -> None:
    lungs, _, coarse = a_lung(40, 0.9)  # the pad is a consolidation at the border
    lungs[10:12, 10, 24:32] = True  # a thread that goes on into what is beside the lung
    off = dense_slivers(lungs, coarse)
    assert off[10:12, 10, 26:].all()
    assert not off[:, :, :24].any()
    coarse[10:12, 10, 24:32] = -850  # a thin recess with air in it
    assert not dense_slivers(lungs, coarse).any()


def test_a_windpipe_that_lung_touches_is_no_lung_and_emphysema_is() -> None:
    _, likely, coarse = a_lung(40, 0.001)
    coarse[:, 8:14, 24:28], likely[:, 8:14, 24:26] = -980, 0.4  # its near half looks like lung
    coarse[6:10, 6:9, 6:9] = -980  # a bulla
    off = doubted_air(coarse, likely, SPACING)
    assert off[:, 8:14, 24:28].all()
    assert not off[:, :, :20].any()
