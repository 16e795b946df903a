"""Resampling by slabs gives what the whole volume at once gives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DRAMLesionLib.images import resampling
from DRAMLesionLib.images.resampling import gaussian, linear_slabs, low_pass_resample, resample

sizes = st.tuples(*[st.integers(1, 14)] * 3)


@settings(max_examples=40, deadline=None)
@given(size=sizes, new=sizes, slab=st.sampled_from([1, 60, 1 << 19]))
def test_trilinear_is_torchs_own_whatever_the_slabs(size, new, slab):
    values = np.random.default_rng(0).random(size, np.float32)
    given_size = resampling.SLAB_VOXELS
    resampling.SLAB_VOXELS = slab
    try:
        found = resample(values, new, 1)
    finally:
        resampling.SLAB_VOXELS = given_size
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size=new, mode="trilinear"
    )
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=2e-5)


@pytest.mark.parametrize("new", [(10, 12, 9), (21, 30, 40), (5, 31, 17)])
def test_low_pass_is_a_gaussian_along_each_axis_that_gets_coarser(new):
    size = (21, 30, 40)
    values = np.random.default_rng(1).random(size, np.float32)
    found = low_pass_resample(torch.from_numpy(values).__getitem__, size, new)
    expected = values
    for axis, (n, m) in enumerate(zip(size, new, strict=True)):
        if n > m:
            sigma = 0.4 * np.sqrt((n / m) ** 2 - 1)
            expected = ndimage.gaussian_filter1d(expected, sigma, axis=axis, mode="nearest", truncate=3.0)
    np.testing.assert_allclose(found, resample(expected, new, 1), atol=1e-5)
    assert found.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(
    size=sizes,
    sigma=st.tuples(*[st.floats(0.05, 4)] * 3),
    slab=st.sampled_from([1, 60, 1 << 19]),
)
def test_gaussian_is_scipys_with_zeros_outside(size, sigma, slab):
    values = np.random.default_rng(2).random(size, np.float32)
    given_size = resampling.SLAB_VOXELS
    resampling.SLAB_VOXELS = slab
    try:
        found = gaussian(torch.from_numpy(values).__getitem__, size, sigma)
    finally:
        resampling.SLAB_VOXELS = given_size
    expected = ndimage.gaussian_filter(values.astype(float), sigma, mode="constant", truncate=3.0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    size=sizes, new=sizes, part=st.tuples(*[st.integers(0, 13)] * 3), slab=st.sampled_from([1, 60, 1 << 19])
)
def test_a_part_of_the_new_grid_holds_the_bits_of_the_whole(size, new, part, slab):
    values = torch.rand(size, generator=torch.Generator().manual_seed(0))
    whole = resample(values.numpy(), new, 1)
    z, y, x = (slice(min(start, n - 1), n) for start, n in zip(part, new, strict=True))
    given_size = resampling.SLAB_VOXELS
    resampling.SLAB_VOXELS = slab
    try:
        found = [one.clone() for _, one in linear_slabs(values.__getitem__, size, new, (z, y, x))]
    finally:
        resampling.SLAB_VOXELS = given_size
    np.testing.assert_array_equal(torch.cat(found).numpy(), whole[z, y, x])


def test_matrices_are_cut_into_bands_and_nothing_is_lost(monkeypatch):
    values = torch.rand((21, 30, 40), generator=torch.Generator().manual_seed(0))
    for rows in (1, 4, 1000):
        monkeypatch.setattr(resampling, "BAND_ROWS", rows)
        found = gaussian(values.__getitem__, values.shape, (1.5, 0.4, 3.0))
        expected = ndimage.gaussian_filter(
            values.double().numpy(), (1.5, 0.4, 3.0), mode="constant", truncate=3.0
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)
    matrix = resampling._axis_matrix(40, 9)
    joined = torch.zeros_like(matrix)
    for new, old, band in resampling._bands(matrix):
        joined[new, old] = band
    assert torch.equal(joined, matrix)
