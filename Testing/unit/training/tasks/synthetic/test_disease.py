import numpy as np
import pytest

from DRAMLesionLib.training.tasks.synthetic.disease import (
    SPREADS,
    TEXTURES,
    TISSUE_HU,
    DiseaseStyle,
    Lungs,
    draw_fractions,
    fill_air,
    paste_disease,
    smooth_noise,
    vary_normal,
)

SPACING = (3.0, 2.5, 2.5)
LUNG_HU, WALL_HU = -870.0, 40.0


@pytest.fixture
def lungs():
    labels = np.zeros((28, 30, 44), np.uint8)
    labels[14:26, 4:26, 3:20], labels[2:14, 4:26, 3:20] = 1, 2
    labels[14:26, 4:26, 24:41], labels[9:14, 4:26, 24:41], labels[2:9, 4:26, 24:41] = 3, 4, 5
    hu = np.where(labels > 0, LUNG_HU, WALL_HU).astype(np.float32)
    hu[:, 14, 10:12] = np.maximum(hu[:, 14, 10:12], 0)  # a vessel
    return Lungs.of(hu, labels, SPACING)


def shares(lungs, lesion):
    return [float(lesion[lungs.labels == lobe].mean()) for lobe in range(1, 6)]


@pytest.mark.parametrize("spread", SPREADS)
def test_each_lobe_has_the_fraction_that_was_asked_for(lungs, spread):
    wanted = (0.005, 0.95, 0.3, 0.0, 0.6)
    _, lesion = paste_disease(
        lungs, np.random.default_rng(1), DiseaseStyle(spreads=(spread,)), fractions=wanted
    )
    assert shares(lungs, lesion) == pytest.approx(wanted, abs=0.002)
    assert not lesion[lungs.labels == 0].any()


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_sick_lobe_is_denser_and_a_healthy_one_as_it_was(lungs, texture):
    style = DiseaseStyle(textures=(texture,), gap_share=(0.0, 0.0))
    hu, lesion = paste_disease(lungs, np.random.default_rng(2), style, fractions=(0.9, 0, 0.5, 0, 0))
    assert hu[lesion].mean() > lungs.hu[lesion].mean() + 25
    assert hu[lungs.labels == 2] == pytest.approx(lungs.hu[lungs.labels == 2], abs=1e-3)
    assert np.array_equal(hu[lungs.labels == 0], lungs.hu[lungs.labels == 0])
    assert (hu >= lungs.hu).all() and hu.max() <= WALL_HU


def test_vessels_stay_as_bright_as_they_were(lungs):
    hu, lesion = paste_disease(lungs, np.random.default_rng(3), fractions=(0.9,) * 5)
    vessel = lesion & (lungs.hu == 0)
    assert vessel.any() and (hu[vessel] >= 0).all() and (hu[vessel] <= TISSUE_HU).all()


def test_gaps_of_spared_lung_lie_inside_the_lesion(lungs):
    style = {"textures": ("ground glass",), "spreads": ("diffuse",)}
    dark = []
    for gaps in (0.0, 0.45):
        results = [
            paste_disease(
                lungs, np.random.default_rng(seed), DiseaseStyle(**style, gap_share=(gaps, gaps)), (0.8,) * 5
            )
            for seed in range(8)
        ]
        dark.append(np.mean([(hu[lesion] < LUNG_HU + 60).mean() for hu, lesion in results]))
    assert dark[0] < 0.01 and dark[1] > 0.04


def test_a_small_lesion_is_not_faint(lungs):
    style = DiseaseStyle(textures=("consolidation",), gap_share=(0.0, 0.0))
    for seed in range(5):
        hu, lesion = paste_disease(lungs, np.random.default_rng(seed), style, fractions=(0.01, 0, 0, 0, 0))
        assert lesion.any() and hu[lesion].mean() > -650


def test_chance_comes_from_the_generator_alone(lungs):
    one, other, third = (paste_disease(lungs, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])
    assert not np.array_equal(one[0], third[0])


def test_all_amounts_are_drawn():
    drawn = np.array([draw_fractions(np.random.default_rng(seed), DiseaseStyle()) for seed in range(600)])
    sick = drawn[drawn > 0]
    assert 0.5 < len(sick) / drawn.size < 0.85
    assert sick.min() < 0.01 and sick.max() > 0.9
    assert 0.05 < (sick > 0.5).mean() < 0.5 and 0.05 < (sick < 0.05).mean() < 0.6


def test_filling_moves_air_towards_tissue_and_nothing_else():
    hu = np.array([-1000.0, -500.0, TISSUE_HU, 300.0], np.float32)
    assert fill_air(hu, np.full(4, 0.5, np.float32)) == pytest.approx([-485, -235, TISSUE_HU, 300])
    assert np.array_equal(fill_air(hu, np.zeros(4, np.float32)), hu)


def test_dependent_density_lies_at_the_back_and_stays_moderate(lungs):
    inside = lungs.labels > 0
    behind = lungs.behind_mm[inside]
    assert behind.min() == 0 and behind.max() == pytest.approx(21 * SPACING[1])
    steeper = 0
    for seed in range(12):
        change = (vary_normal(lungs, np.random.default_rng(seed)) - lungs.hu)[inside]
        assert change.min() >= 0 and change.max() < 500
        steeper += change[behind < 5].mean() > change[behind > 40].mean() + 5
    assert steeper >= 4
    assert np.array_equal(vary_normal(lungs, np.random.default_rng(0))[~inside], lungs.hu[~inside])


def test_noise_is_as_smooth_as_it_was_asked_to_be():
    fine, coarse = (
        smooth_noise((24, 24, 24), sigma, (2.0, 2.0, 2.0), np.random.default_rng(0)) for sigma in (2.0, 12.0)
    )
    for noise in (fine, coarse):
        assert (
            noise.shape == (24, 24, 24)
            and abs(noise.mean()) < 1e-3
            and noise.std() == pytest.approx(1, abs=0.01)
        )
    assert np.abs(np.diff(coarse, axis=0)).mean() < 0.4 * np.abs(np.diff(fine, axis=0)).mean()
