import numpy as np
import pytest

from DRAMLesionLib.training.tasks.synthetic.scanner import (
    ANCHORS_HU,
    ScannerStyle,
    equalise_slices,
    equalised,
    vary_scanner,
)


@pytest.fixture
def chest():
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 48, 60), np.uint8)
    labels[:, 8:40, 6:26], labels[:, 8:40, 34:54] = 1, 3
    hu = np.where(labels > 0, -860.0, 30.0) + rng.normal(0, 25, labels.shape)
    hu[:, :4] = -1000
    return hu.astype(np.float32), labels


def test_the_order_of_hu_survives_a_scanner_without_noise(chest):
    hu, labels = chest
    style = ScannerStyle(equalised=0.0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ramp = np.broadcast_to(np.linspace(-1000, 200, 60, dtype=np.float32), hu.shape)
        varied = vary_scanner(ramp, labels, rng, style)
        means = varied.mean((0, 1))
        assert varied.shape == hu.shape and varied.dtype == np.float32
        assert means[50] > means[30] > means[10]
        assert np.abs(means - ramp[0, 0]).max() < 250


def test_noise_and_shift_follow_the_style(chest):
    hu, labels = chest
    quiet = ScannerStyle(equalised=0.0, noise_hu=(0.1, 0.2), shift_hu=0.0, gain=0.0)
    loud = ScannerStyle(equalised=0.0, noise_hu=(80.0, 90.0), shift_hu=0.0, gain=0.0)
    lung = labels == 1
    spread = [
        np.mean([vary_scanner(hu, labels, np.random.default_rng(s), style)[lung].std() for s in range(12)])
        for style in (quiet, loud)
    ]
    assert spread[1] > spread[0] + 20


def test_equalised_slices_keep_their_anchors_and_gain_contrast(chest):
    hu, labels = chest
    hu = hu.copy()
    hu[:, 20:26, 10:14] = -700  # faint
    flat = equalised(hu, labels, np.random.default_rng(1))
    lung, tissue = labels > 0, (labels == 0) & (hu > 0)
    assert np.median(flat[lung]) == pytest.approx(ANCHORS_HU[1], abs=60)
    assert np.median(flat[tissue]) == pytest.approx(ANCHORS_HU[2], abs=60)
    assert flat[lung].std() > hu[lung].std()


def test_equalisation_stretches_a_narrow_histogram_and_leaves_order_within_a_tile():
    rng = np.random.default_rng(2)
    grey = (0.4 + 0.05 * rng.random((2, 40, 40))).astype(np.float32)
    flat = equalise_slices(grey, 1, 100.0)
    assert flat.min() >= 0 and flat.max() <= 1 and flat.std() > 3 * grey.std()
    order = np.argsort(grey[0].ravel())
    assert (np.diff(flat[0].ravel()[order]) >= -1e-6).all()
    gentle = equalise_slices(grey, 1, 1.0)
    assert gentle.std() < flat.std()


def test_published_pictures_are_not_equalised_again(chest):
    hu, labels = chest
    style = ScannerStyle(equalised=1.0, noise_hu=(0.1, 0.2), shift_hu=0.0, gain=0.0)
    lung = labels == 1
    changes = [
        np.abs(
            vary_scanner(hu, labels, np.random.default_rng(4), style, published=known)[lung] - hu[lung]
        ).mean()
        for known in (True, False)
    ]
    assert changes[0] < changes[1]


def test_chance_comes_from_the_generator_alone(chest):
    one, other, third = (vary_scanner(*chest, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(one, other) and not np.array_equal(one, third)
