import numpy as np
import pytest

from DRAMLesionLib.training.tasks.synthetic import mingled
from DRAMLesionLib.training.tasks.synthetic.disease import TISSUE_HU, DiseaseStyle, Lungs, paste_disease
from DRAMLesionLib.training.tasks.synthetic.mingled import paste_mingled
from DRAMLesionLib.training.tasks.synthetic.texture import LesionTexture

EVEN = DiseaseStyle(textures=("ground glass",), gap_share=(0.0, 0.0), steepness=(40.0, 40.0))
TEXTURE_HU = -250.0


@pytest.fixture(scope="module")
def lungs():
    labels = np.zeros((24, 24, 36), np.uint8)
    labels[13:22, 3:21, 2:17], labels[2:13, 3:21, 2:17] = 1, 2
    labels[16:22, 3:21, 19:34], labels[10:16, 3:21, 19:34], labels[2:10, 3:21, 19:34] = 3, 4, 5
    return Lungs.of(np.where(labels > 0, -870, 40).astype(np.float32), labels, (2.5, 2.5, 2.5))


@pytest.fixture(scope="module")
def texture():
    lesion = np.zeros((16, 16, 16), bool)
    lesion[3:13, 3:13, 3:13] = True
    return LesionTexture.of(np.where(lesion, TEXTURE_HU, -850), lesion)


@pytest.mark.parametrize("seed", range(3))
def test_each_lobe_has_the_fraction_that_was_asked_for_whatever_lies_where(lungs, texture, seed):
    wanted = (0.05, 0.95, 0.3, 0.0, 1.0)
    hu, lesion = paste_mingled(lungs, [texture], np.random.default_rng(seed), fractions=wanted)
    shares = [float(lesion[lungs.labels == lobe].mean()) for lobe in range(1, 6)]
    assert shares == pytest.approx(wanted, abs=0.003)
    outside = lungs.labels == 0
    assert not lesion[outside].any() and np.array_equal(hu[outside], lungs.hu[outside])
    assert (hu >= lungs.hu - 1e-3).all() and hu[~outside].max() <= TISSUE_HU
    assert np.allclose(hu[lungs.labels == 4], lungs.hu[lungs.labels == 4], atol=5)


def test_regions_with_textures_of_their_own_go_through_the_lobes(lungs, monkeypatch):
    def even(given, style, rng):
        return np.full(given.hu.shape, rng.uniform(0.2, 0.9), np.float32)

    def everywhere(given, rng, style, fractions):
        return (given.labels > 0).astype(np.float32), given.labels > 0

    monkeypatch.setattr(mingled, "filling", even)
    monkeypatch.setattr(mingled, "place_disease", everywhere)
    counts = []
    for seed in range(8):
        hu, lesion = paste_mingled(lungs, [], np.random.default_rng(seed), EVEN, (1.0,) * 5)
        counts.append(len(np.unique(hu[lesion])))
    assert set(counts) == {1, 2, 3}


def test_lobes_may_differ_in_how_disease_spreads(lungs, monkeypatch):
    calls = iter(["left", "right"])

    def half(given, rng, style, fractions):
        left = np.arange(given.labels.shape[2]) % 15 < 7
        here = np.broadcast_to(left if next(calls) == "left" else ~left, given.labels.shape)
        return here.astype(np.float32), here & (given.labels > 0)

    monkeypatch.setattr(mingled, "place_disease", half)
    rng = np.random.default_rng(0)
    _, lesion = paste_mingled(lungs, [], rng, EVEN, (0.5,) * 5)
    first = np.arange(lungs.labels.shape[2]) % 15 < 7
    kinds = {
        bool((lesion[lungs.labels == v] == np.broadcast_to(first, lesion.shape)[lungs.labels == v]).all())
        for v in range(1, 6)
    }
    assert kinds == {True, False}


def test_texture_of_other_scans_lies_in_its_share_of_the_regions(lungs, texture):
    def dense(share):
        hu, lesion = paste_mingled(lungs, [texture], np.random.default_rng(4), EVEN, (1.0,) * 5, share)
        return hu[lesion]

    assert np.median(dense(1.0)) == pytest.approx(TEXTURE_HU, abs=10)
    assert np.median(dense(0.0)) < TEXTURE_HU - 100


def test_lungs_without_any_disease_stay_as_they_are(lungs):
    hu, lesion = paste_mingled(lungs, [], np.random.default_rng(0), fractions=(0.0,) * 5)
    assert not lesion.any() and np.array_equal(hu, lungs.hu)
