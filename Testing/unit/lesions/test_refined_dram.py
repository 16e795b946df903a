"""The refined dRAM: where the CRF is undecided."""

from dataclasses import replace

import numpy as np
import pytest

from DRAMLesionLib.lesions.networks.description import CRFSettings, ModelDescription
from DRAMLesionLib.lesions.refined_dram import refine_dram

SPACING = (2.0, 2.0, 2.0)
LOBES = np.pad(np.ones((8, 10, 12), np.uint8), 2)
HU = np.where(LOBES > 0, -700, 40).astype(np.int16)


def refined(value: float, threshold: float, **crf) -> np.ndarray:
    description = ModelDescription(threshold=threshold, crf=replace(CRFSettings(), **crf))
    return refine_dram(np.full(HU.shape, value, np.float32) * LOBES, HU, SPACING, LOBES, description)[
        LOBES > 0
    ]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_a_flat_map_at_the_threshold_stays_and_others_move_away_from_it(threshold):
    np.testing.assert_allclose(refined(threshold, threshold), threshold, atol=1e-4)
    assert (refined(threshold + 0.05, threshold) > threshold + 0.1).all()
    assert (refined(threshold - 0.05, threshold) < threshold - 0.1).all()


def test_without_any_kernel_the_map_comes_back():
    np.testing.assert_allclose(refined(0.35, 0.2, gaussian_weight=0.0, bilateral_weight=0.0), 0.35, atol=1e-4)


def test_outside_the_lobes_it_is_zero_and_the_given_map_stays():
    dram = np.full(HU.shape, 0.7, np.float32)
    result = refine_dram(dram, HU, SPACING, LOBES, ModelDescription())
    assert not result[LOBES == 0].any() and (result[LOBES > 0] > 0.5).all()
    assert (dram == np.float32(0.7)).all()
    assert not refine_dram(dram, HU, SPACING, LOBES * 0, ModelDescription()).any()
