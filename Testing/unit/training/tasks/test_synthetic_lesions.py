import numpy as np
import pytest
from scipy import ndimage

from DRAMLesionLib.training.tasks.synthetic_lesions import LesionStyle, paste_lesions

WINDOW = (-1000.0, 0.0)


@pytest.fixture
def lobe():
    shape = (24, 28, 20)
    zyx = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"), -1)
    mask = (zyx**2).sum(-1) < 0.95
    vessels = np.zeros(shape, np.float32)
    vessels[:, 13:15, 9:11] = 0.95
    image = np.where(mask, np.maximum(0.15, vessels), 0).astype(np.float32)
    return image, mask


def paste(lobe, seed=0, **style):
    image, mask = lobe
    return paste_lesions(
        image, mask, (2.5, 2.5, 2.5), WINDOW, np.random.default_rng(seed), LesionStyle(**style)
    )


def test_patches_are_brighter_and_only_inside_the_lobe(lobe):
    image, mask = lobe
    pasted, lesion = paste(lobe)
    assert lesion.any()
    assert not (lesion & ~mask).any()
    assert np.array_equal(pasted[~mask], image[~mask])
    assert pasted.dtype == np.float32
    assert pasted.min() >= 0
    assert pasted.max() <= 1
    dark = lesion & (image < 0.2)
    assert pasted[dark].mean() > 0.3  # patches are -680 HU and more: 0.32 of this window
    far = mask & ~lesion & (np.abs(pasted - image) < 1e-3)
    assert far.sum() > 0.1 * mask.sum()


def test_vessels_stay_visible_in_ground_glass(lobe):
    pasted, lesion = paste(lobe, hu=(-600.0, -600.0), texture_hu=(0.0, 0.0), radius_mm=(30.0, 30.0))
    vessel = lesion & (lobe[0] > 0.9)
    assert vessel.any()
    assert (pasted[vessel] > 0.9).all()


def test_chance_comes_from_the_generator_alone(lobe):
    one, other, third = (paste(lobe, seed) for seed in (5, 5, 6))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])
    assert not np.array_equal(one[1], third[1])


def test_size_follows_the_style(lobe):
    small, large = (
        np.mean([paste(lobe, seed, radius_mm=(r, r), patches=(1, 1))[1].mean() for seed in range(6)])
        for r in (4.0, 16.0)
    )
    assert large > 5 * small


def test_spacing_is_in_mm(lobe):
    image, mask = lobe
    style = LesionStyle(radius_mm=(8.0, 8.0), patches=(1, 1), raggedness=(0.0, 0.0))
    fine, coarse = (
        np.mean(
            [
                paste_lesions(image, mask, (s, s, s), WINDOW, np.random.default_rng(seed), style)[1].sum()
                for seed in range(6)
            ]
        )
        for s in (1.5, 3.0)
    )
    assert fine > 3 * coarse  # 8 times, less what the lobe's border cuts off


def test_a_lobe_of_one_voxel():
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    image = np.where(mask, 0.1, 0).astype(np.float32)
    pasted, lesion = paste_lesions(image, mask, (2.5, 2.5, 2.5), WINDOW, np.random.default_rng(0))
    assert np.isfinite(pasted).all()
    assert lesion.sum() <= 1


def test_most_patches_lie_near_the_lobe_s_surface(lobe):
    depth = ndimage.distance_transform_edt(lobe[1], sampling=2.5)
    style = {"patches": (1, 1), "radius_mm": (3.0, 3.0), "raggedness": (0.0, 0.0)}

    def mean_depth(pleura_mm: float) -> float:
        lesions = (paste(lobe, seed, pleura_mm=pleura_mm, **style)[1] for seed in range(200))
        return float(np.mean([depth[lesion].mean() for lesion in lesions if lesion.any()]))

    assert mean_depth(4.0) < 0.9 * mean_depth(1e9)
