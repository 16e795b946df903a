import numpy as np
import pytest

from DRAMLesionLib.training.tasks.synthetic.disease import Lungs
from DRAMLesionLib.training.tasks.synthetic.texture import FEWEST, LesionTexture, paste_texture, quilt


@pytest.fixture(scope="module")
def texture():
    rng = np.random.default_rng(0)
    lesion = np.zeros((16, 20, 20), bool)
    lesion[3:13, 4:16, 4:16] = True
    hu = np.where(lesion, -400 + 80 * rng.standard_normal(lesion.shape), -850)
    made = LesionTexture.of(hu, lesion)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def lungs():
    labels = np.zeros((24, 24, 30), np.uint8)
    labels[2:22, 3:21, 2:14], labels[2:22, 3:21, 16:28] = 1, 5
    hu = np.where(labels > 0, -860, 40).astype(np.float32)
    hu[10:12, 10:12, 5:9] = 20  # a vessel
    return Lungs.of(hu, labels, (2.5, 2.5, 2.5))


def test_too_few_lesion_voxels_are_no_texture():
    lesion = np.zeros((10, 10, 10), bool)
    lesion.ravel()[: FEWEST - 1] = True
    assert LesionTexture.of(np.zeros(lesion.shape), lesion) is None


def test_healthy_lung_of_the_donor_is_no_texture(texture):
    assert texture.hu.max() < 0 and texture.hu.min() > -800
    assert len(texture.voxels) == 10 * 12 * 12


def test_a_quilt_has_the_mean_and_the_contrast_of_its_texture(texture):
    made = quilt(texture, (30, 25, 41), np.random.default_rng(1))
    assert made.shape == (30, 25, 41) and np.isfinite(made).all()
    assert made.mean() == pytest.approx(-400, abs=15)
    assert 55 < made.std() < 110


def test_each_lobe_gets_its_fraction_and_the_rest_stays(lungs, texture):
    hu, lesion = paste_texture(lungs, texture, np.random.default_rng(2), fractions=(0.6, 0, 0, 0, 0))
    assert lesion[lungs.labels == 1].mean() == pytest.approx(0.6, abs=0.001)
    assert not lesion[lungs.labels != 1].any()
    assert (hu[lungs.labels == 0] == lungs.hu[lungs.labels == 0]).all()
    assert hu[lesion].mean() > -600 and (hu >= lungs.hu - 1e-3).all()
    assert (hu[10:12, 10:12, 5:9] >= 20 - 1e-3).all()


def test_nothing_changes_without_a_fraction(lungs, texture):
    hu, lesion = paste_texture(lungs, texture, np.random.default_rng(3), fractions=(0,) * 5)
    assert not lesion.any() and (hu == lungs.hu).all()
