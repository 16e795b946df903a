"""Pooling, lobe samples and maps on the CT's grid, against brute force and geometry that is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from DRAMLesionLib.images.resampling import resample
from DRAMLesionLib.lesions.dram import predict_dram
from DRAMLesionLib.lesions.lung_grid import MapOnCT, lobe_samples, lung_grid, to_ct_grid
from DRAMLesionLib.lesions.networks.candidates import dram_logits
from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.training.tasks.dram_losses import lobe_mean

SPACING = (1.25, 1.4, 1.4)


def thorax(shape=(40, 48, 56)) -> tuple[np.ndarray, np.ndarray]:
    """HU and five box-shaped lobes; each lobe has its own HU."""
    hu = np.full(shape, 40, np.int16)
    labels = np.zeros(shape, np.uint8)
    z, y, x = shape
    labels[z // 2 : z - 4, 6 : y - 6, x // 2 + 2 : x - 4] = 1
    labels[4 : z // 2, 6 : y - 6, x // 2 + 2 : x - 4] = 2
    labels[2 * z // 3 : z - 4, 6 : y - 6, 4 : x // 2 - 2] = 3
    labels[z // 2 : 2 * z // 3, 6 : y - 6, 4 : x // 2 - 2] = 4
    labels[4 : z // 2, 6 : y - 6, 4 : x // 2 - 2] = 5
    hu[labels > 0] = -900 + 50 * labels[labels > 0].astype(np.int16)
    return hu, labels


class Brightness(torch.nn.Module):
    """A network whose dRAM is the image itself."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.logit(image.clamp(1e-4, 1 - 1e-4))


def test_pooling_is_the_mean_over_the_lobe():
    values = torch.rand(3, 1, 4, 5, 6, dtype=torch.float64)
    mask = torch.rand(3, 1, 4, 5, 6) > 0.6
    brute = [values[b, 0][mask[b, 0]].mean() for b in range(3)]
    torch.testing.assert_close(lobe_mean(values, mask), torch.stack(brute))


def test_pooling_of_an_empty_lobe_is_zero_not_nan():
    assert lobe_mean(torch.ones(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)).item() == 0


def test_samples_show_one_lobe_each_and_air_elsewhere():
    hu, labels = thorax()
    description = ModelDescription(spacing_mm=SPACING)
    samples = list(lobe_samples(lung_grid(hu, labels, SPACING, description), description))
    assert [s.lobe for s in samples] == [1, 2, 3, 4, 5]
    for sample in samples:
        assert sample.mask.sum() == (labels == sample.lobe).sum()
        assert not sample.image[~sample.mask].any()
        centre = sample.image[sample.mask].reshape(-1)
        assert np.median(centre) == pytest.approx((100 + 50 * sample.lobe) / 1000, abs=1e-3)


def test_samples_keep_the_lobe_volume_at_a_coarser_spacing():
    hu, labels = thorax((60, 80, 90))
    description = ModelDescription(spacing_mm=(2.5, 2.5, 2.5))
    grid = lung_grid(hu, labels, SPACING, description)
    voxel = np.prod([s * t for s, t in zip(SPACING, grid.step, strict=True)])
    for sample in lobe_samples(grid, description):
        true = (labels == sample.lobe).sum() * np.prod(SPACING)
        assert sample.mask.sum() * voxel == pytest.approx(true, rel=0.06)


@pytest.mark.parametrize("spacing", [SPACING, (5.0, 0.8, 0.8), (0.7, 2.9, 1.1)])
def test_map_comes_back_in_place(spacing):
    """A network that returns the image gives a map that is the image, wherever the lobes are smooth inside."""
    hu, labels = thorax()
    description = ModelDescription(spacing_mm=(2.0, 2.0, 2.0))
    dram = predict_dram(Brightness(), description, hu, labels, spacing)
    assert dram.dtype == np.float32 and dram.shape == hu.shape
    assert not dram[labels == 0].any()
    for lobe in range(1, 6):
        expected = (100 + 50 * lobe) / 1000
        assert np.median(dram[labels == lobe]) == pytest.approx(expected, abs=0.02)


def test_map_does_not_fade_at_the_pleura():
    hu, labels = thorax()
    description = ModelDescription(spacing_mm=(2.5, 2.5, 2.5))
    grid = lung_grid(hu, labels, SPACING, description)
    fine = to_ct_grid(np.where(grid.labels > 0, np.float32(1), 0), grid, labels[grid.box])
    assert fine[labels[grid.box] > 0].min() > 1 - 1e-6


def test_a_part_of_a_map_is_made_as_the_whole_is():
    hu, labels = thorax()
    description = ModelDescription(spacing_mm=(2.5, 2.5, 2.5), margin_mm=0.0)
    grid = lung_grid(hu, labels, SPACING, description)
    coarse = np.random.default_rng(0).random(grid.labels.shape, np.float32)
    whole = np.zeros(hu.shape, np.float32)
    to_ct_grid(coarse, grid, labels[grid.box], out=whole[grid.box])
    parts = MapOnCT(coarse, grid, labels)
    assert parts.shape == whole.shape
    z, y, x = (one.stop for one in grid.box)
    for box in (
        np.s_[0 : hu.shape[0], 0 : hu.shape[1], 0 : hu.shape[2]],
        np.s_[z // 2 : z, y // 3 : y // 2, 3 : x // 2],
        np.s_[z - 2 : hu.shape[0], 0:y, x - 4 : hu.shape[2]],
    ):
        np.testing.assert_array_equal(parts[box], whole[box])
        assert parts[box].any()
    assert not parts[np.s_[0:1, 0:1, 0:1]].any() and not MapOnCT(labels, None, labels)[box].any()


def test_mirrored_ct_gives_the_mirrored_map():
    hu, labels = thorax()
    hu = (hu + np.random.default_rng(0).normal(0, 30, hu.shape)).astype(np.int16)
    description = ModelDescription(spacing_mm=(2.5, 2.5, 2.5), network=NetworkDescription((2, 2, 2, 2, 2, 2)))
    torch.manual_seed(0)
    network = DenseNetwork(description.network).eval()
    dram = predict_dram(network, description, hu, labels, SPACING)
    mirrored = predict_dram(network, description, hu[..., ::-1].copy(), labels[..., ::-1].copy(), SPACING)
    # Not bitwise: the crop may start one coarse voxel off when counted from the other side.
    assert np.abs(dram - mirrored[..., ::-1]).mean() < 0.01


def test_no_lobes_give_an_empty_map():
    hu, labels = thorax()
    assert not predict_dram(Brightness(), ModelDescription(), hu, labels * 0, SPACING).any()


def test_candidate_prior_closes_dark_voxels_only():
    description = ModelDescription(candidate_hu=-750)
    image = torch.tensor([0.05, 0.25, 0.6]).view(1, 1, 1, 1, 3)
    logits = dram_logits(lambda x: torch.zeros_like(x), image, description).flatten()
    torch.testing.assert_close(logits, torch.tensor([-10.0, -5.0, 0.0]), atol=0.02, rtol=0)


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 9)] * 3),
    new=st.tuples(*[st.integers(1, 12)] * 3),
    value=st.floats(-5, 5, width=32),
)
def test_resampling_keeps_constants_and_sizes(size, new, value):
    for order in (0, 1):
        result = resample(np.full(size, value, np.float32), new, order)
        assert result.shape == new
        np.testing.assert_allclose(result, value, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 12), m=st.integers(1, 20), axis=st.integers(0, 2))
def test_nearest_resampling_takes_the_voxel_that_holds_the_centre(n, m, axis):
    shape = [1, 1, 1]
    shape[axis] = n
    new = [1, 1, 1]
    new[axis] = m
    result = resample(np.arange(n, dtype=np.uint8).reshape(shape), tuple(new), 0).ravel()
    expected = [min(n - 1, int((i + 0.5) * n / m)) for i in range(m)]
    assert result.tolist() == expected


@pytest.mark.parametrize("size", [(3, 5, 7), (16, 16, 16), (33, 20, 49)])
def test_network_takes_any_size_and_keeps_it(size):
    torch.manual_seed(0)
    network = DenseNetwork(NetworkDescription((2, 2, 2, 2, 2, 2))).eval()
    with torch.inference_mode():
        logits = network(torch.rand(1, 1, *size))
    assert logits.shape == (1, 1, *size)
    assert torch.isfinite(logits).all()


class Side(torch.nn.Module):
    """Sees the image, and more of it towards the end of x: what a network sees depends on the side."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        slope = torch.linspace(-1, 1, image.shape[-1])
        return torch.logit(image.clamp(1e-4, 1 - 1e-4)) + slope


def test_the_mirrored_view_is_mirrored_back_before_the_average():
    hu, labels = thorax()
    hu = hu + np.where(labels > 0, np.arange(hu.shape[2]) * 6, 0).astype(np.int16)  # brighter along x
    description = ModelDescription(spacing_mm=SPACING)
    plain = predict_dram(Brightness(), description, hu, labels, SPACING, flips=False)
    both = predict_dram(Brightness(), description, hu, labels, SPACING, flips=True)
    np.testing.assert_allclose(both, plain, atol=1e-4)  # a network without sides sees the same in the mirror
    one_sided = predict_dram(Side(), description, hu, labels, SPACING, flips=False)
    averaged = predict_dram(Side(), description, hu, labels, SPACING, flips=True)
    inside = labels > 0
    assert np.abs(one_sided - plain)[inside].max() > 0.05
    assert np.abs(averaged - plain)[inside].max() < 0.5 * np.abs(one_sided - plain)[inside].max()
