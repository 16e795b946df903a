"""Lesions of two dates, worked out by hand: which belong together, and what became of them."""

import numpy as np
import pytest

from DRAMLesionLib.followup import matching
from DRAMLesionLib.followup.exam import Images
from DRAMLesionLib.followup.matching import Lesion, find_lesions, kind_of, match_lesions
from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.lesion_list import list_lesions

SPACING = (2.0, 2.0, 2.0)
SHAPE = (30, 30, 60)


def exam(*boxes: tuple[slice, slice, slice], spacing=SPACING, midline: int = 60) -> Images:
    """An exam with box-shaped lesions; voxels up to ``midline`` along x are right lung."""
    lobes = np.full(SHAPE, 2, np.uint8)
    lobes[:, :, :midline] = 5
    lesion = np.zeros(SHAPE, bool)
    for box in boxes:
        lesion[box] = True
    matrix = np.diag((*spacing[::-1], 1.0))
    return Images(np.zeros(SHAPE, np.int16), lobes, lesion, spacing, matrix, 0, SHAPE[0], np.zeros((2, 3)))


def block(z: int, y: int, x: int, size: int | tuple[int, int, int] = 6) -> tuple[slice, slice, slice]:
    size = (size,) * 3 if isinstance(size, int) else size
    a, b, c = (slice(start, start + length) for start, length in zip((z, y, x), size, strict=True))
    return a, b, c


def matched(before: Images, after: Images, covered=None, changed=None):
    (one, mine, _), (other, its, _) = find_lesions(before), find_lesions(after)
    return match_lesions(one, other, SPACING, (mine, its), covered, changed)


def kinds(before: Images, after: Images) -> list[str]:
    return [change.kind for change in matched(before, after)]


def test_volume_lobe_slice_and_place_of_each_lesion_the_largest_first():
    labels, lesions, small = find_lesions(exam(block(2, 2, 2, 4), block(10, 10, 40, 6), midline=30))
    assert [lesion.ml for lesion in lesions] == pytest.approx([216 * 0.008, 64 * 0.008])
    assert [lesion.lobe for lesion in lesions] == [2, 5]
    assert labels[10, 10, 40] == 1 and labels[2, 2, 2] == 2 and small == (0, 0.0)
    assert lesions[0].slice_number == 11  # slices 10 to 15 show as much of it; from 1
    assert lesions[0].ras_mm == pytest.approx((-84.0, -24.0, 20.0))


def test_numbers_slices_and_places_are_those_of_the_exams_own_list_of_lesions():
    """Two are of one size; one is crooked, so that its middle lies outside of it."""
    images = exam(block(20, 2, 2, 4), block(2, 10, 40, 4), midline=30)
    images.lesion[8:14, 20, 5:15] = images.lesion[8, 20:26, 5:15] = True
    geometry = Geometry(SHAPE[::-1], SPACING[::-1], (0.0, 0.0, 0.0), tuple(np.eye(3).ravel().tolist()))
    ct = Volume(images.hu, SPACING, geometry, "ct")
    listed = list_lesions(ct, images.lobes, images.lesion).lesions
    found = find_lesions(images)[1]
    assert [(one.number, LOBES[one.lobe - 1].abbreviation, one.slice_number) for one in found] == [
        (one.number, one.lobe, one.slice_number) for one in listed
    ]
    assert [one.ras_mm for one in found] == [pytest.approx(one.ras_mm) for one in listed]


def test_a_lesion_that_touches_at_a_corner_is_one_and_lungs_part_lesions():
    assert len(find_lesions(exam(block(2, 2, 2, 4), block(6, 6, 6, 4)))[1]) == 1
    assert len(find_lesions(exam(block(2, 2, 26, 8), midline=30))[1]) == 2


def test_what_is_smaller_than_a_tenth_of_a_millilitre_is_counted_and_not_followed():
    labels, lesions, small = find_lesions(exam(block(2, 2, 2, (3, 2, 2)), block(9, 9, 9, (13, 1, 1))))
    assert len(lesions) == 1 and lesions[0].ml == pytest.approx(0.104)
    assert small == (1, pytest.approx(0.096)) and labels[2, 2, 2] == 0


def test_new_and_resolved():
    assert kinds(exam(), exam(block(2, 2, 2))) == ["new"]
    assert kinds(exam(block(2, 2, 2)), exam()) == ["resolved"]
    assert kinds(exam(), exam()) == []
    assert kinds(exam(block(2, 2, 2)), exam(block(2, 2, 30))) == ["new", "resolved"]


def test_grown_shrunk_and_stable_by_a_quarter_of_the_volume():
    small, large = exam(block(2, 2, 2, (4, 10, 10))), exam(block(2, 2, 2, (6, 10, 10)))
    assert kinds(small, large) == ["grown"]
    assert kinds(large, small) == ["shrunk"]
    assert kinds(small, exam(block(2, 2, 2, (5, 10, 10)))) == ["stable"]  # 25 % is not more than 25 %
    change = matched(small, large)[0]
    assert (change.before_ml, change.after_ml) == pytest.approx((3.2, 4.8))
    assert change.change_ml == pytest.approx(1.6) and change.lobe == 5


def test_a_change_of_less_than_a_tenth_of_a_millilitre_is_stable_however_large_in_percent():
    tiny = (Lesion(1, 0.11, 5),)
    assert kind_of(tiny, (Lesion(1, 0.20, 5),)) == "stable"
    assert kind_of(tiny, (Lesion(1, 0.22, 5),)) == "grown"


def test_merged_and_split():
    apart = exam(block(2, 2, 2, (6, 6, 6)), block(2, 2, 14, (6, 6, 6)))
    joined = exam(block(2, 2, 2, (6, 6, 18)))
    assert kinds(apart, joined) == ["merged"]
    assert kinds(joined, apart) == ["split"]
    assert [len(side) for side in (matched(apart, joined)[0].before, matched(apart, joined)[0].after)] == [
        2,
        1,
    ]


def test_a_crumb_beside_a_large_lesion_does_not_split_it():
    whole = exam(block(2, 2, 2, (10, 10, 10)))
    crumbled = exam(block(2, 2, 2, (10, 10, 7)), block(2, 2, 10, (2, 4, 2)))
    change = matched(whole, crumbled)
    assert [(one.kind, len(one.after)) for one in change] == [("shrunk", 2)]


def test_neighbours_within_the_tolerance_on_one_side_alone_stay_apart():
    """Two blocks of 12 mm, 2 mm apart: a third of it lies within 4 mm, a block of 24 mm has a sixth there."""
    gap = 1
    assert kinds(exam(block(2, 2, 2, 12)), exam(block(2, 2, 14 + gap, 12))) == ["new", "resolved"]


def test_a_lesion_that_registration_misses_by_less_than_the_tolerance_is_the_same():
    """A ball-like block of 6 mm moved by 8 mm: 2 mm lie between."""
    assert kinds(exam(block(4, 4, 4, 3)), exam(block(4, 4, 8, 3))) == ["stable"]
    assert kinds(exam(block(4, 4, 4, 3)), exam(block(4, 4, 12, 3))) == ["new", "resolved"]


def test_a_small_rest_of_a_large_lesion_is_still_that_lesion():
    assert kinds(exam(block(2, 2, 2, 16)), exam(block(10, 10, 10, 3))) == ["shrunk"]


def test_a_lesion_outside_the_other_field_of_view_is_neither_new_nor_resolved():
    covered = np.ones(SHAPE, bool)
    part = covered.copy()
    part[:10] = False
    low, high = block(2, 2, 2), block(20, 2, 2)
    changes = matched(exam(low, high), exam(), (covered, part))
    assert [(one.kind, one.before[0].slice_number) for one in changes] == [
        ("resolved", 21),
        ("not covered", 3),
    ]
    changes = matched(exam(), exam(low, high), (part, covered))
    assert sorted(one.kind for one in changes) == ["new", "not covered"]


def test_a_lesion_of_one_date_where_the_density_stayed_is_uncertain():
    one, other = block(2, 2, 2), block(20, 2, 2)
    denser, less_dense = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    denser[other] = True
    changed = (denser, less_dense)
    found = matched(exam(), exam(one, other), changed=changed)
    assert [(change.kind, change.after[0].slice_number) for change in found] == [
        ("new", 21),
        ("uncertain", 3),
    ]
    assert [change.kind for change in matched(exam(other), exam(), changed=changed)] == ["uncertain"]
    assert [change.kind for change in matched(exam(other), exam(), changed=changed[::-1])] == ["resolved"]
    denser[:, :5] = False  # half of it stays: 3 of 6 rows
    assert [change.kind for change in matched(exam(), exam(other), changed=changed)] == ["new"]
    denser[:, :6] = False
    assert [change.kind for change in matched(exam(), exam(other), changed=changed)] == ["uncertain"]


def test_every_lesion_is_in_one_group_and_volumes_add_up():
    chance = np.random.default_rng(0)
    exams = [
        exam(*(block(*chance.integers(0, 22, 2), int(chance.integers(0, 50)), 5) for _ in range(9)))
        for _ in "ab"
    ]
    changes = matched(*exams)
    for side, images in zip(("before", "after"), exams, strict=True):
        numbers = sorted(lesion.number for change in changes for lesion in getattr(change, side))
        assert numbers == list(range(1, len(find_lesions(images)[1]) + 1))
        whole = sum(getattr(change, f"{side}_ml") for change in changes)
        assert whole == pytest.approx(images.lesion.sum() * images.voxel_ml)
    assert all(change.kind in matching.KINDS for change in changes)
