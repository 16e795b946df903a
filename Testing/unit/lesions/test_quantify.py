"""Measurements per region: worked by hand, against a brute-force count, at the edges and on real scans."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DRAMLesionLib.lesions import quantify as module
from DRAMLesionLib.lesions.quantify import (
    CONSOLIDATION_HU,
    GROUND_GLASS_HU,
    Quantification,
    quantify,
    severity_score,
)
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.system.errors import InputError

KEYS = ("LUL", "LLL", "RUL", "RML", "RLL", "left", "right", "total")
MEMBERS = {
    "LUL": [1],
    "LLL": [2],
    "RUL": [3],
    "RML": [4],
    "RLL": [5],
    "left": [1, 2],
    "right": [3, 4, 5],
    "total": [1, 2, 3, 4, 5],
}


def lobe_map(labels: np.ndarray) -> LobeMap:
    return LobeMap(np.asarray(labels, dtype=np.uint8), approximate=False, source="test")


def five_lobes(shape: tuple[int, int, int] = (2, 4, 10)) -> np.ndarray:
    """Labels 1..5 side by side along x, two columns each."""
    return np.broadcast_to(np.repeat(np.arange(1, 6), shape[2] // 5), shape).astype(np.uint8).copy()


@pytest.mark.parametrize(
    ("percent", "score"),
    [
        (0, 0),
        (0.999, 0),
        (1, 1),
        (4.999, 1),
        (5, 2),
        (24.999, 2),
        (25, 3),
        (49.999, 3),
        (50, 4),
        (74.999, 4),
        (75, 5),
        (100, 5),
    ],
)
def test_severity_score_gives_an_edge_to_the_higher_score(percent: float, score: int) -> None:
    assert severity_score(percent) == score


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_severity_score_refuses_what_is_no_percentage(percent: float) -> None:
    with pytest.raises(ValueError, match="percent must be from 0 to 100"):
        severity_score(percent)


def test_hand_worked_case() -> None:
    # One row of ten voxels of 2 x 5 x 10 mm = 0.1 mL: LUL 4 voxels (2 lesion), LLL 2 (1), RLL 3 (0), 1 outside.
    labels = np.array([[[1, 1, 1, 1, 2, 2, 5, 5, 5, 0]]])
    hu = np.array([[[-800, -600, -500, -900, -100, -700, -850, -840, -830, 40]]], dtype=np.int16)
    lesion = np.array([[[0, 1, 1, 0, 1, 0, 0, 0, 0, 1]]], dtype=np.uint8)
    dram = np.array([[[0.0, 0.8, 0.6, 0.2, 1.0, 0.5, 0.0, 0.0, 0.3, 1.0]]], dtype=np.float32)
    found = quantify(hu, lobe_map(labels), lesion, (2.0, 5.0, 10.0), dram)

    lul, lll, rll, total = found["LUL"], found["LLL"], found["RLL"], found.total
    assert (lul.volume_ml, lul.lesion_ml) == pytest.approx((0.4, 0.2))
    assert (lul.percent, lul.dram_percent, lul.score) == pytest.approx((50.0, 40.0, 4))
    assert (lul.ground_glass_ml, lul.consolidation_ml, lul.other_ml) == pytest.approx((0.2, 0.0, 0.0))
    assert (lul.mean_hu, lul.lesion_mean_hu) == pytest.approx((-700.0, -550.0))
    assert (lll.percent, lll.dram_percent, lll.score, lll.consolidation_ml) == pytest.approx(
        (50.0, 75.0, 4, 0.1)
    )
    assert (rll.percent, rll.score, rll.lesion_mean_hu) == (0.0, 0, None)
    assert (found["left"].percent, found["left"].score) == (50.0, None)
    assert (total.volume_ml, total.lesion_ml, total.percent) == pytest.approx((0.9, 0.3, 100 / 3))
    assert (total.score, found.total_score) == (8, 8)
    assert total.lesion_mean_hu == pytest.approx(-400.0)


def test_regions_have_names_and_a_fixed_order() -> None:
    found = quantify(np.zeros((2, 4, 10)), lobe_map(five_lobes()), np.zeros((2, 4, 10)), (1, 1, 1))
    assert tuple(region.key for region in found.regions) == KEYS
    assert found.regions[3].name == "right middle lobe"
    assert [region.key for region in found.lobes] == list(KEYS[:5])
    with pytest.raises(KeyError):
        found["LML"]


@pytest.mark.parametrize(
    ("hu", "kind"),
    [
        (GROUND_GLASS_HU[0] - 1, "other_ml"),
        (GROUND_GLASS_HU[0], "ground_glass_ml"),
        (GROUND_GLASS_HU[1] - 1, "ground_glass_ml"),
        (CONSOLIDATION_HU[0], "consolidation_ml"),
        (CONSOLIDATION_HU[1], "consolidation_ml"),
        (CONSOLIDATION_HU[1] + 1, "other_ml"),
    ],
)
def test_each_hu_belongs_to_one_density_class(hu: float, kind: str) -> None:
    shape = (1, 1, 5)
    total = quantify(np.full(shape, hu), lobe_map(five_lobes(shape)), np.ones(shape), (10, 10, 10)).total
    amounts = {name: getattr(total, name) for name in ("ground_glass_ml", "consolidation_ml", "other_ml")}
    assert amounts == {name: (5.0 if name == kind else 0.0) for name in amounts}


def test_lobe_without_voxels_has_no_percentage_and_scores_nothing() -> None:
    labels = five_lobes()
    labels[labels == 4] = 0
    found = quantify(np.full(labels.shape, -500.0), lobe_map(labels), labels > 0, (1, 1, 1), labels * 0.1)
    missing = found["RML"]
    assert (missing.volume_ml, missing.percent, missing.dram_percent) == (0.0, None, None)
    assert (missing.score, missing.mean_hu, missing.lesion_mean_hu) == (0, None, None)
    assert found.total_score == 20
    assert found["right"].percent == 100.0


def test_no_lesion_and_no_map() -> None:
    labels = five_lobes()
    found = quantify(np.full(labels.shape, -850), lobe_map(labels), np.zeros(labels.shape), (1, 1, 1))
    assert found.total_score == 0
    for region in found.regions:
        assert (region.percent, region.dram_percent, region.lesion_mean_hu) == (0.0, None, None)
        assert region.mean_hu == -850.0


def test_whole_lobes_of_lesion_score_25() -> None:
    labels = five_lobes()
    found = quantify(np.full(labels.shape, -400), lobe_map(labels), np.ones(labels.shape, bool), (1, 1, 1))
    assert [region.score for region in found.regions] == [5] * 5 + [None, None, 25]
    assert all(region.percent == 100.0 for region in found.regions)


def test_no_lobes_at_all() -> None:
    shape = (2, 3, 4)
    found = quantify(np.zeros(shape), lobe_map(np.zeros(shape)), np.ones(shape), (1, 1, 1))
    assert (found.total.percent, found.total.volume_ml, found.total_score) == (None, 0.0, 0)


def test_any_value_but_zero_is_lesion_and_lesion_outside_the_lobes_is_not_counted() -> None:
    labels = five_lobes()
    labels[0] = 0
    lesion = np.full(labels.shape, 7, dtype=np.uint8)
    found = quantify(np.full(labels.shape, -500), lobe_map(labels), lesion, (10, 10, 10))
    assert found.total.lesion_ml == found.total.volume_ml == 40.0


def brute_force(
    hu: np.ndarray, labels: np.ndarray, lesion: np.ndarray, voxel_ml: float, dram: np.ndarray
) -> dict[str, tuple[float | None, ...]]:
    """The same numbers from one boolean mask per region."""
    found = {}
    for key, values in MEMBERS.items():
        inside = np.isin(labels, values)
        sick = inside & (lesion != 0)
        grey = sick & (hu >= -750) & (hu < -300)
        dense = sick & (hu >= -300) & (hu <= 50)
        n, s = inside.sum(), sick.sum()
        found[key] = (
            n * voxel_ml,
            s * voxel_ml,
            100 * s / n if n else None,
            100 * dram[inside].mean(dtype=np.float64) if n else None,
            grey.sum() * voxel_ml,
            dense.sum() * voxel_ml,
            (s - grey.sum() - dense.sum()) * voxel_ml,
            hu[inside].mean(dtype=np.float64) if n else None,
            hu[sick].mean(dtype=np.float64) if s else None,
        )
    return found


def as_tuples(found: Quantification) -> dict[str, tuple[float | None, ...]]:
    return {
        r.key: (
            r.volume_ml,
            r.lesion_ml,
            r.percent,
            r.dram_percent,
            r.ground_glass_ml,
            r.consolidation_ml,
            r.other_ml,
            r.mean_hu,
            r.lesion_mean_hu,
        )
        for r in found.regions
    }


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**32 - 1),
    kinds=st.integers(1, 6),
    slab=st.integers(1, 200),
    whole=st.booleans(),
)
def test_same_as_brute_force(
    shape: tuple[int, int, int], seed: int, kinds: int, slab: int, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, kinds, shape, dtype=np.uint8)
    hu = rng.integers(-1024, 300, shape).astype(np.int16 if whole else np.float32)
    lesion = (rng.random(shape) < rng.random()).astype(np.uint8)
    dram = rng.random(shape, dtype=np.float32)
    spacing = tuple(rng.uniform(0.3, 5.0, 3))
    before = module._SLAB_VOXELS
    module._SLAB_VOXELS = slab
    try:
        found = as_tuples(quantify(hu, lobe_map(labels), lesion, spacing, dram))
    finally:
        module._SLAB_VOXELS = before
    expected = brute_force(hu, labels, lesion, float(np.prod(spacing)) / 1000, dram)
    for key in KEYS:
        for value, wanted in zip(found[key], expected[key], strict=True):
            assert value == (wanted if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-9)), key


def test_sums_keep_their_precision_over_many_voxels() -> None:
    shape = (40, 256, 256)
    labels = np.full(shape, 3, dtype=np.uint8)
    found = quantify(
        np.full(shape, -700.1, np.float32),
        lobe_map(labels),
        labels,
        (1, 1, 1),
        np.full(shape, 0.1, np.float32),
    )
    assert found["RUL"].dram_percent == pytest.approx(100 * float(np.float32(0.1)), rel=1e-12)
    assert found["RUL"].mean_hu == pytest.approx(float(np.float32(-700.1)), rel=1e-12)


def test_memory_does_not_grow_with_the_number_of_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLAB_VOXELS", 8 * 64 * 64)
    peaks = []
    for slices in (32, 256):
        labels = np.full((slices, 64, 64), 1, dtype=np.uint8)
        hu, dram = labels.astype(np.int16), labels.astype(np.float32)
        tracemalloc.start()
        quantify(hu, lobe_map(labels), labels, (1, 1, 1), dram)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # lobe_map makes one copy of the labels; nothing else may depend on the slices.
    assert peaks[1] - 256 * 64 * 64 < 1.1 * (peaks[0] - 32 * 64 * 64)


def test_shapes_that_differ_are_named_with_both_sizes() -> None:
    labels = five_lobes()
    hu = np.zeros(labels.shape)
    with pytest.raises(InputError, match=r"lobes has shape \(2, 4, 5\), CT has \(2, 4, 10\)"):
        quantify(hu, lobe_map(labels[..., :5]), labels, (1, 1, 1))
    with pytest.raises(InputError, match=r"lesion has shape \(1, 4, 10\), CT has \(2, 4, 10\)"):
        quantify(hu, lobe_map(labels), labels[:1], (1, 1, 1))
    with pytest.raises(InputError, match=r"dRAM has shape \(2, 4\), CT has \(2, 4, 10\)"):
        quantify(hu, lobe_map(labels), labels, (1, 1, 1), hu[..., 0])
    with pytest.raises(InputError, match="CT has 2 dimensions"):
        quantify(hu[0], lobe_map(labels), labels, (1, 1, 1))


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, -1, 1), (1, 1, float("nan"))])
def test_spacing_that_is_none_is_refused(spacing: tuple[float, ...]) -> None:
    labels = five_lobes()
    with pytest.raises(InputError, match="three positive sizes"):
        quantify(np.zeros(labels.shape), lobe_map(labels), labels, spacing)


def test_unknown_label_is_named() -> None:
    labels = five_lobes()
    labels[0, 0, 0] = 6
    with pytest.raises(InputError, match="labels 1 to 6"):
        quantify(np.zeros(labels.shape), lobe_map(labels), labels, (1, 1, 1))


@pytest.mark.real
@pytest.mark.parametrize(
    ("case", "percent"),
    [
        ("case02", (2.47, 3.92, 7.95, 4.83, 3.73, 4.45)),
        ("case06", (0.00, 0.00, 3.33, 0.00, 25.78, 5.87)),
    ],
)
def test_real_scan_gives_the_published_percentages(covid_ct, case: str, percent: tuple[float, ...]) -> None:
    import SimpleITK as sitk

    hu, labels, lesion = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(covid_ct / f"{case}_{kind}.nii.gz")))
        for kind in ("ct", "lobes", "lesion")
    )
    found = quantify(hu, lobe_map(labels), lesion, (1.25, 1.4, 1.4))
    measured = [region.percent for region in (*found.lobes, found.total)]
    assert measured == pytest.approx(percent, abs=0.006)
    total = found.total
    assert total.ground_glass_ml + total.consolidation_ml + total.other_ml == pytest.approx(total.lesion_ml)


def test_a_change_that_is_counted_in_its_box_gives_the_table_of_the_whole_mask():
    from DRAMLesionLib.lesions.quantify import RunningQuantification

    rng = np.random.default_rng(4)
    shape = (12, 14, 10)
    hu = rng.integers(-1000, 100, shape).astype(np.int16)
    lobes = LobeMap(rng.integers(0, 6, shape).astype(np.uint8), False, "here")
    dram = rng.random(shape, dtype=np.float32)
    mask = rng.integers(0, 2, shape).astype(np.uint8)
    running = RunningQuantification(hu, lobes, mask.copy(), (1.0, 2.0, 3.0), dram)
    assert list(running.counting())[-1] >= shape[0]
    for _ in range(5):
        low = rng.integers(0, 8, 3)
        box = tuple(slice(int(a), int(a) + 3) for a in low)
        before = mask[box].copy()
        mask[box] = rng.integers(0, 2, before.shape)
        running.change(box, before, mask[box])
    whole = quantify(hu, lobes, mask, (1.0, 2.0, 3.0), dram)
    for ours, theirs in zip(running.table.regions, whole.regions, strict=True):
        for name in (
            "volume_ml",
            "lesion_ml",
            "percent",
            "dram_percent",
            "ground_glass_ml",
            "mean_hu",
            "lesion_mean_hu",
        ):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-9)
        assert ours.score == theirs.score
