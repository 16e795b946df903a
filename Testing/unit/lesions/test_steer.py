"""A reader's numbers steer the mask: hand-worked maps, ties, painted voxels, and what every case must keep."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions import mask as mask_module
from DRAMLesionLib.lesions import rank as rank_module
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.mask import take_speckle_off
from DRAMLesionLib.lesions.quantify import quantify, severity_score
from DRAMLesionLib.lesions.rank import rank_lesion
from DRAMLesionLib.lesions.reading import Reading, parse_numbers, score_range
from DRAMLesionLib.lesions.steer import Steering, nearest_count, steer
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.system.errors import InputError

COARSE = (90.0, 90.0, 90.0)
"""Voxels so large that no Gaussian reaches the next one."""


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, -1)


def findings_of(lesion_map, labels, spacing_mm=COARSE, threshold=0.5) -> Findings:
    shape = lesion_map.shape
    size, spacing = shape[::-1], tuple(reversed(spacing_mm))
    geometry = Geometry(size, spacing, (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    ct = Volume(np.full(shape, -600, np.int16), spacing_mm, geometry, "ct")
    lobes = LobeMap(labels.astype(np.uint8), False, "drawn")
    lesion = ((lesion_map > threshold) & (labels > 0)).astype(np.uint8)
    table = quantify(ct.array, lobes, lesion, spacing_mm, lesion_map)
    return Findings(ct, lobes, lesion_map, lesion, table, {"settings": {"threshold": threshold}})


def test_a_lobe_of_ten_voxels_by_hand():
    """Voxels 1 and 2 are the model's; 30 % takes the next likely one, 10 % leaves the likelier of the two."""
    lesion_map = row(0.1, 0.8, 0.9, 0.4, 0.3, 0.2, 0.05, 0.04, 0.03, 0.02)
    steering = Steering(lesion_map, 0.5, np.ones_like(lesion_map, np.uint8), COARSE)
    assert steering.lesion.ravel().tolist() == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    cut = steering.set_percent(1, 30)
    assert steering.lesion.ravel().tolist() == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert (cut.voxels, cut.percent) == (3, 30.0) and cut.rank < 0.5
    assert steering.set_percent(1, 10).rank > 0.5
    assert steering.lesion.ravel().tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert steering.set_percent(1, 55).voxels == 6, "half a voxel is rounded up"
    assert steering.set_percent(1, 54.9).voxels == 5
    assert steering.set_percent(1, 0).voxels == 0 and not steering.lesion.any()
    assert steering.set_percent(1, 100).voxels == 10 and steering.lesion.all()
    assert steering.reset(1).percent == 20.0
    assert steering.lesion.ravel().tolist() == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("start", "score", "expected"),
    [
        (60, 2, 49),
        (60, 3, 60),
        (60, 4, 100),
        (10, 2, 10),
        (10, 1, 9),
        (10, 0, 1),
        (3, 0, 1),
        (0, 1, 2),
        (0, 5, 150),
    ],
)
def test_a_score_takes_the_nearest_percentage_of_its_range(start, score, expected):
    """Of 200 voxels: 1 % are 2, 5 % are 10, 25 % are 50, 50 % are 100, 75 % are 150; an edge is the higher score's."""
    assert nearest_count(200, start, score) == expected
    assert severity_score(100 * expected / 200) == score


@given(count=st.integers(1, 3000), share=st.floats(0, 1), score=st.integers(0, 5))
def test_no_count_of_the_score_is_nearer(count, share, score):
    start = round(share * count)
    fitting = [n for n in range(count + 1) if severity_score(100.0 * n / count) == score]
    found = nearest_count(count, start, score)
    if fitting:
        assert found in fitting and abs(found - start) == min(abs(n - start) for n in fitting)
    else:
        low, high = score_range(score)
        off = [max(low - 100 * n / count, 100 * n / count - high, 0) for n in range(count + 1)]
        assert off[found] == pytest.approx(min(off))


def test_voxels_of_equal_rank_go_together():
    """Five voxels tie: 30 % of ten is nearer to 20 % than to 70 %, 50 % is nearer to 70 %."""
    lesion_map = row(0.9, 0.8, 0.3, 0.3, 0.3, 0.3, 0.3, 0.01, 0.02, 0.03)
    steering = Steering(lesion_map, 0.5, np.ones_like(lesion_map, np.uint8), COARSE)
    assert steering.set_percent(1, 30).voxels == 2 and steering.lesion.sum() == 2
    assert steering.set_percent(1, 50).voxels == 7 and steering.lesion.sum() == 7


def test_a_map_without_any_difference_is_all_or_nothing():
    steering = Steering(row(*[0.2] * 8), 0.5, np.ones((1, 1, 8), np.uint8), COARSE)
    assert [steering.set_percent(1, percent).voxels for percent in (0, 40, 60, 100)] == [0, 0, 8, 8]


def test_lobes_without_a_number_stay_as_they_were():
    lesion_map = row(0.9, 0.2, 0.1, 0.8, 0.7, 0.3)
    labels = np.array([1, 1, 1, 2, 2, 2], np.uint8).reshape(1, 1, -1)
    edited = findings_of(lesion_map, labels)
    edited = replace(edited, lesion=np.array([0, 0, 1, 1, 0, 1], np.uint8).reshape(1, 1, -1))
    done = steer(edited, percent=(None, 100, None, None, None), who="A. Reader")
    assert done.lesion.ravel().tolist() == [0, 0, 1, 1, 1, 1]
    assert done.reading == Reading((None, 100, None, None, None), who="A. Reader")
    assert done.cuts[0] is None and done.cuts[1] is not None
    assert done.quantification["LLL"].percent == 100.0 and done.quantification["LUL"].percent < 34
    np.testing.assert_array_equal(edited.lesion.ravel(), [0, 0, 1, 1, 0, 1], "what was given is not changed")


def test_what_was_painted_always_holds():
    lesion_map = row(0.9, 0.8, 0.4, 0.3, 0.2, 0.1, 0.05, 0.04, 0.03, 0.02)
    painted = np.array([2, 0, 0, 0, 0, 0, 0, 0, 1, 1], np.uint8).reshape(1, 1, -1)
    labels = np.ones_like(painted)
    steering = Steering(lesion_map, 0.5, labels, COARSE, painted=painted)
    for percent in (0, 10, 20):
        assert steering.set_percent(1, percent).voxels == 2
        assert steering.lesion.ravel().tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert steering.set_percent(1, 40).percent == 40.0
    assert steering.lesion.ravel().tolist() == [0, 1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert steering.set_percent(1, 100).percent == 90.0
    assert steering.lesion.ravel().tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert steering.reset(1).voxels == 3


def test_a_missing_lobe_has_no_percentage_but_0():
    found = findings_of(row(0.9, 0.1), np.array([1, 1], np.uint8).reshape(1, 1, -1))
    with pytest.raises(InputError, match="right middle lobe: has no voxels"):
        steer(found, percent=(None, None, None, 12, None))
    with pytest.raises(InputError, match="no voxels"):
        steer(found, score=(None, None, None, 1, None))
    done = steer(found, percent=(50, 0, 0, 0, 0))
    np.testing.assert_array_equal(done.lesion, found.lesion)


def test_a_number_that_can_not_be_met_is_told():
    flat = findings_of(row(*[0.9] * 2, *[0.2] * 8), np.ones((1, 1, 10), np.uint8))
    told = steer(flat, percent=(40, None, None, None, None)).record["warnings"]
    assert len(told) == 1 and told[0].startswith("left upper lobe: 40 % was wanted, 20.0 % found")
    assert "warnings" not in steer(flat, percent=(20, None, None, None, None)).record
    assert (
        steer(flat, score=(4, None, None, None, None))
        .record["warnings"][0]
        .startswith("left upper lobe: score 4 was wanted, 20.0 % found")
    )
    assert "warnings" not in flat.record


def test_all_0_empties_and_all_100_fills_the_lobes_and_nothing_else():
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 6, (6, 7, 8)).astype(np.uint8)
    found = findings_of(chance.random(labels.shape, np.float32), labels)
    assert not steer(found, percent=(0,) * 5).lesion.any()
    np.testing.assert_array_equal(steer(found, percent=(100,) * 5).lesion, labels > 0)
    assert steer(found, score=(5,) * 5).quantification.total_score == 25


def blobs(shape=(40, 48, 44), seed=0):
    """A noisy map of soft lesions in two lobes, and the lobes."""
    chance = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(chance.normal(size=shape), 4)
    noise = 0.35 * chance.normal(size=shape)
    lesion_map = (1 / (1 + np.exp(-(3 * soft / soft.std() + 3 * noise) / 2 + 1))).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    labels[3:-3, 3:-3, 3:22], labels[3:-3, 3:-3, 22:-3] = 1, 2
    return lesion_map, labels


SPACING = (1.25, 1.4, 1.4)


@settings(max_examples=25, deadline=None)
@given(percent=st.floats(0, 100), lobe=st.integers(1, 2), seed=st.integers(0, 5))
def test_the_percentage_is_met_within_a_voxel(percent, lobe, seed):
    lesion_map, labels = blobs(seed=seed)
    steering = Steering(lesion_map, 0.5, labels, SPACING)
    before = steering.lesion.copy()
    cut = steering.set_percent(lobe, percent)
    count = (labels == lobe).sum()
    share = 100 * steering.lesion[labels == lobe].sum() / count
    assert cut.percent == pytest.approx(share) and abs(share - percent) <= 100 / count
    np.testing.assert_array_equal(steering.lesion[labels != lobe], before[labels != lobe])


def test_masks_grow_with_the_percentage_through_the_models_own():
    lesion_map, labels = blobs()
    take_speckle_off(lesion_map, labels, 0.5, SPACING)
    steering = Steering(lesion_map, 0.5, labels, SPACING)
    model = steering.lesion.copy()
    assert 10 < steering.current(1).percent < 60
    masks = {}
    for percent in (0, 2, 10, 25, steering.current(1).percent, 70, 99, 100):
        steering.set_percent(1, percent)
        masks[percent] = steering.lesion.copy()
    np.testing.assert_array_equal(list(masks.values())[4], model)
    ordered = [masks[percent] for percent in sorted(masks)]
    assert all((small <= large).all() for small, large in itertools.pairwise(ordered))


def parts_and_surface(mask):
    """How many pieces, and the surface in voxel faces for a mask of a fixed volume and the same shape."""
    faces = sum(int((np.diff(mask.astype(np.int8), axis=axis) != 0).sum()) for axis in range(3))
    return ndimage.label(mask)[1], faces / mask.sum() ** (2 / 3)


@pytest.mark.parametrize("percent", [5, 15, 50, 80])
def test_a_steered_mask_is_as_smooth_and_connected_as_one_whose_speckle_was_taken_off(percent):
    """Against the same percentage cut from the raw map, and that with the speckle taken off as the main job does."""
    lesion_map, labels = blobs()
    lobe = labels == 1
    rough = np.zeros(labels.shape, bool)
    threshold = np.quantile(lesion_map[lobe], 1 - percent / 100)
    rough[lobe] = lesion_map[lobe] > threshold
    usual = lesion_map.copy()
    take_speckle_off(usual, lobe.astype(np.uint8), float(threshold), SPACING)
    own = lesion_map.copy()
    take_speckle_off(own, labels, 0.5, SPACING)
    steering = Steering(own, 0.5, labels, SPACING)
    steering.set_percent(1, percent)
    parts, surface = parts_and_surface(steering.lesion.astype(bool) & lobe)
    expected_parts, expected_surface = parts_and_surface((usual > threshold) & lobe)
    assert parts <= expected_parts + 2 and parts < parts_and_surface(rough)[0] / 10
    assert surface <= 1.1 * expected_surface


def test_where_a_map_is_flat_the_lesion_grows_outward():
    """A mask as a map, as other networks give it: the percentage is met, by what lies nearest to the lesion."""
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[2:-2, 2:-2, 2:-2] = 1
    lesion_map = np.zeros(labels.shape, np.float32)
    lesion_map[9:15, 9:15, 9:15] = 1
    steering = Steering(lesion_map, 0.5, labels, (2.0, 2.0, 2.0))
    distance = ndimage.distance_transform_edt(lesion_map == 0)
    for percent in (10, 30):
        cut = steering.set_percent(1, percent)
        assert cut.percent == pytest.approx(percent, abs=0.1)
        grown = steering.lesion.astype(bool)
        assert grown[lesion_map > 0].all() and ndimage.label(grown)[1] == 1
        assert distance[grown].max() < distance[(labels == 1) & ~grown].min() + 3


def test_a_lesion_at_the_pleura_ranks_as_high_as_one_inside():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[:, :, 10:] = 1
    ranks = rank_lesion(np.full(labels.shape, 0.6, np.float32), 0.5, labels, (1.0,) * 3, (slice(0, 20),) * 3)
    assert np.ptp(ranks[labels > 0]) < 1e-5


def test_the_rank_smooths_as_far_as_the_main_job_does():
    assert rank_module.EDGE_MM == mask_module.EDGE_MM


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"percent": (101, None, None, None, None)}, "percent of LUL is 101"),
        ({"score": (None, 2.5, None, None, None)}, "score of LLL is 2.5"),
        ({"score": (None, None, None, None, 6)}, "score of RLL is 6"),
        ({"percent": (1, 2, 3)}, "give 5 numbers"),
        ({"percent": (float("nan"),) * 5}, "is nan"),
        ({"who": "x" * 101}, "longer than 100"),
    ],
)
def test_numbers_that_nobody_can_mean_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Reading(**values)


def test_numbers_from_a_text():
    assert parse_numbers("percent", "16, 65%,-,4.5,0") == (16.0, 65.0, None, 4.5, 0.0)
    for text in ("1,2,3,4", "1,2,3,4,5,6", "a,2,3,4,5"):
        with pytest.raises(InputError, match="--score"):
            parse_numbers("score", text)


def test_a_later_reading_keeps_what_it_leaves_of_an_earlier_one():
    first = Reading((16, None, 13, None, None), (None, 4, None, None, None), "A")
    both = Reading((None, 50, None, None, None), (1, None, None, None, None), "B").over(first)
    names = ("B", "B", "A", "", "")
    assert both == Reading((None, 50, 13, None, None), (1, None, None, None, None), names)
    assert not Reading() and Reading(**both.to_dict()) == both
