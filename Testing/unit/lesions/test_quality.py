"""Flags: silent on a usual result, each raised by the damage that it is for."""

from dataclasses import replace

import numpy as np
import pytest

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.amount import Amount
from DRAMLesionLib.lesions.quality import Flag, agreement_of, find_flags, flags_for_record, flags_of
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.phantom import Phantom, make_phantom


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom((110, 96, 76), (3.2, 3.0, 4.0), seed=4, severity=8)


def codes(
    ct: Volume, labels: np.ndarray, lesion: np.ndarray | None = None, agreement: float | None = None
) -> set[str]:
    lobes = LobeMap(labels, True, "built-in")
    mask = np.zeros(labels.shape, np.uint8) if lesion is None else lesion
    measured = quantify(ct.array, lobes, mask, ct.spacing_mm)
    return {flag.code for flag in find_flags(ct, lobes, measured, agreement)}


def hu_changed(ct: Volume, array: np.ndarray) -> Volume:
    return replace(ct, array=np.ascontiguousarray(array))


@pytest.mark.parametrize("seed", [4, 5])
def test_a_usual_scan_has_no_flags(seed: int) -> None:
    made = make_phantom((110, 96, 76), (3.2, 3.0, 4.0), seed=seed, severity=8)
    assert codes(made.ct, made.lobes.labels, made.lesion, 0.7) == set()


def test_lungs_cut_off_below_and_above_are_told_apart(phantom: Phantom) -> None:
    seen = np.flatnonzero((phantom.lobes.labels > 0).any(axis=(1, 2)))
    middle = int(seen.mean())
    for part, code in ((slice(middle, None), "lungs-cut-below"), (slice(0, middle), "lungs-cut-above")):
        found = codes(hu_changed(phantom.ct, phantom.ct.array[part]), phantom.lobes.labels[part])
        assert {"lungs-cut-below", "lungs-cut-above"} & found == {code}


def test_hu_shifted_or_windowed_are_none(phantom: Phantom) -> None:
    labels = phantom.lobes.labels
    assert "air-hu" in codes(hu_changed(phantom.ct, phantom.ct.array + 150), labels)
    assert "air-hu" in codes(hu_changed(phantom.ct, (phantom.ct.array * 0.8).astype(np.int16)), labels)
    assert "no-bone" in codes(hu_changed(phantom.ct, np.minimum(phantom.ct.array, 100)), labels)


def test_half_a_lung_missing_is_uneven_and_left_out(phantom: Phantom) -> None:
    labels = phantom.lobes.labels.copy()
    labels[labels == 2] = 0
    left_upper = np.argwhere(labels == 1)
    labels[: int(left_upper[:, 0].mean())][labels[: int(left_upper[:, 0].mean())] == 1] = 0
    found = codes(phantom.ct, labels)
    assert {"lungs-uneven", "lung-left-out"} <= found


def test_tiny_lungs_and_few_slices(phantom: Phantom) -> None:
    seen = np.flatnonzero((phantom.lobes.labels > 0).any(axis=(1, 2)))
    part = slice(int(seen.mean()) - 4, int(seen.mean()) + 4)
    found = codes(hu_changed(phantom.ct, phantom.ct.array[part]), phantom.lobes.labels[part])
    assert {"few-slices", "lung-volume"} <= found


def test_a_lobe_that_swallows_its_neighbour_has_an_unlikely_share(phantom: Phantom) -> None:
    labels = phantom.lobes.labels.copy()
    labels[labels == 3] = 5
    labels[:40][labels[:40] == 5] = 4
    assert "lobe-share-RML" in codes(phantom.ct, labels)


def test_a_lung_drawn_about_the_liver_is_dense(phantom: Phantom) -> None:
    array = phantom.ct.array.copy()
    right = phantom.lobes.labels >= 3
    array[right & (np.arange(array.shape[0])[:, None, None] < 45)] = 60
    assert "lung-dense" in codes(hu_changed(phantom.ct, array), phantom.lobes.labels)


def test_lesion_of_unusual_density_and_methods_that_disagree(phantom: Phantom) -> None:
    labels = phantom.lobes.labels
    normal_lung = ((labels == 5) & (phantom.ct.array < -780)).astype(np.uint8)
    assert "lesion-hu" in codes(phantom.ct, labels, normal_lung)
    assert "methods-disagree" in codes(phantom.ct, labels, phantom.lesion, 0.1)
    assert "methods-disagree" not in codes(phantom.ct, labels, phantom.lesion, 0.6)


def test_a_lobe_of_which_density_says_more_than_the_map_is_told(phantom: Phantom) -> None:
    lobes = phantom.lobes
    measured = quantify(phantom.ct.array, lobes, phantom.lesion, phantom.ct.spacing_mm)
    amounts = {
        1: Amount(30.0, 20, 40, by_map=30.0, by_density=8.0),
        2: Amount(55.0, 40, 70, by_map=23.0, by_density=55.0),
        3: Amount(34.0, 20, 50, by_map=30.0, by_density=34.0),
        4: Amount(1.0, 0, 2, by_map=1.0, by_density=20.0),
        5: Amount(2.0, 0, 3, by_map=2.0, by_density=60.0),
    }
    flags = find_flags(phantom.ct, lobes, measured, None, amounts)
    told = {flag.code: flag for flag in flags if "dens" in flag.code}
    assert set(told) == {"amount-by-density-LLL", "lobe-dense-RLL"}
    assert "55 % of the left lower lobe" in told["amount-by-density-LLL"].sentence
    assert "23 %" in told["amount-by-density-LLL"].sentence
    assert not find_flags(phantom.ct, lobes, measured, None, {1: Amount(30.0, 20, 40)})


def test_a_lobe_that_both_lungs_raise_far_above_its_map_is_told(phantom: Phantom) -> None:
    lobes = phantom.lobes
    measured = quantify(phantom.ct.array, lobes, phantom.lesion, phantom.ct.spacing_mm)
    amounts = {
        1: Amount(52.0, 20, 80, by_map=30.0, by_lungs=52.0),
        2: Amount(34.0, 20, 50, by_map=30.0, by_lungs=34.0),
        3: Amount(8.0, 5, 11, by_map=8.0, by_lungs=9.0),
    }
    told = {f.code: f for f in find_flags(phantom.ct, lobes, measured, None, amounts) if "amount" in f.code}
    assert set(told) == {"amount-by-lungs-LUL"}
    assert "52 % of the left upper lobe" in told["amount-by-lungs-LUL"].sentence


def test_every_flag_says_what_was_seen_and_what_to_do(phantom: Phantom) -> None:
    array = (phantom.ct.array[20:50] * 0.8).astype(np.int16)
    ct, labels = hu_changed(phantom.ct, array), phantom.lobes.labels[20:50]
    lobes = LobeMap(labels, True, "built-in")
    flags = find_flags(ct, lobes, quantify(array, lobes, np.zeros_like(labels), ct.spacing_mm))
    assert len(flags) >= 3
    for flag in flags:
        assert any(sign.isdigit() for sign in flag.sentence)
        assert len(flag.remedy.split()) > 5
    assert flags_of({"flags": flags_for_record(flags)}) == flags
    assert flags_of({}) == ()
    assert isinstance(flags[0], Flag)


def test_agreement_is_a_dice_coefficient_of_masks_that_are_not_tiny() -> None:
    one, other = np.zeros((2, 40, 40), bool), np.zeros((2, 40, 40), bool)
    one[:, :20], other[:, 10:30] = True, True
    assert agreement_of(one, other, (10.0, 3.0, 3.0)) == pytest.approx(0.5)
    assert agreement_of(one, other, (1.0, 1.0, 1.0)) is None
