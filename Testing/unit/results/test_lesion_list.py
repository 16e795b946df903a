"""The list of lesions: hand-worked volumes, densities, distances and positions, and how it is kept."""

import csv
import json

import numpy as np
import pytest

from DRAMLesionLib.images.volume import Geometry, Volume
from DRAMLesionLib.results.lesion_list import LesionList, list_lesions, write_lesions
from DRAMLesionLib.system.errors import InputError

SHAPE = (20, 30, 40)
SPACING = (5.0, 2.0, 2.0)
VOXEL_ML = 0.02


def make_scene() -> tuple[Volume, np.ndarray, np.ndarray]:
    """Two block lungs of 16 x 24 x 16 voxels, the right one (low x) RLL below z 10 and RUL above; no lesion yet."""
    lobes = np.zeros(SHAPE, np.uint8)
    lobes[2:10, 3:27, 2:18], lobes[10:18, 3:27, 2:18] = 5, 3
    lobes[2:10, 3:27, 22:38], lobes[10:18, 3:27, 22:38] = 2, 1
    hu = np.where(lobes > 0, -850, 40).astype(np.int16)
    geometry = Geometry(
        (40, 30, 20), (2.0, 2.0, 5.0), (-10.0, 20.0, -30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
    )
    return Volume(hu, SPACING, geometry, "scene"), lobes, np.zeros(SHAPE, np.uint8)


def test_one_lesion_is_measured_as_by_hand():
    ct, lobes, lesion = make_scene()
    # 3 x 5 x 5 voxels, 8 voxels of x and y from the sides, 2 of z (15 to 17) from the top: 75 voxels, 1.5 mL.
    lesion[12:15, 11:16, 8:13] = 1
    ct.array[12:15, 11:16, 8:13] = -500
    ct.array[12, 11:16, 8:13] = -100
    ct.array[13, 11, 8:13] = -800
    (one,) = list_lesions(ct, lobes, lesion).lesions
    assert (one.number, one.lobe, one.also_in) == (1, "RUL", ())
    assert one.volume_ml == pytest.approx(75 * VOXEL_ML)
    assert one.consolidation_ml == pytest.approx(25 * VOXEL_ML)
    assert one.other_ml == pytest.approx(5 * VOXEL_ML)
    assert one.ground_glass_ml == pytest.approx(45 * VOXEL_ML)
    assert one.mean_hu == pytest.approx((25 * -100 + 5 * -800 + 45 * -500) / 75)
    # Outermost voxels: x 2 (6 voxels of 2 mm from 8), x 17 (5 from 12), y 3 and 26, z 17 (3 slices of 5 mm from 14).
    assert one.pleura_mm == pytest.approx(10.0)
    assert one.voxel == (12, 13, 10) and one.slice_number == 13
    # x toward left from -10, y toward posterior from 20, z toward superior from -30; RAS turns the first two around.
    assert one.ras_mm == pytest.approx((-(-10 + 20), -(20 + 26), -30 + 60))


@pytest.mark.parametrize(
    ("box", "distance"),
    [
        ((slice(6, 8), slice(11, 16), slice(2, 5)), 0.0),
        ((slice(6, 8), slice(11, 16), slice(3, 6)), 2.0),
        ((slice(3, 5), slice(11, 16), slice(8, 11)), 5.0),
        # 7 voxels of x, beyond the first box that is looked at; y has 11 of them, z 5 of 5 mm.
        ((slice(8, 10), slice(14, 16), slice(9, 11)), 14.0),
    ],
)
def test_the_distance_is_the_nearest_one_by_any_axis(box, distance):
    ct, lobes, lesion = make_scene()
    lesion[box] = 1
    (one,) = list_lesions(ct, lobes, lesion).lesions
    assert one.pleura_mm == pytest.approx(distance)


def test_a_far_surface_is_found_beyond_the_first_margin():
    ct, lobes, lesion = make_scene()
    lobes[:] = 0
    lobes[1:19, 1:29, 1:39] = 3
    lesion[9:11, 14:16, 19:21] = 1
    (one,) = list_lesions(ct, lobes, lesion).lesions
    # y 14 to the outermost voxel 1: 13 voxels of 2 mm.
    assert one.pleura_mm == pytest.approx(26.0)


def test_the_end_of_the_scan_is_no_pleura():
    ct, lobes, lesion = make_scene()
    lobes[0:2, 3:27, 2:18] = 5
    lesion[0:2, 12:17, 8:13] = 1
    (one,) = list_lesions(ct, lobes, lesion).lesions
    assert one.pleura_mm == pytest.approx(5 * 2.0)
    lobes[:] = 5
    (one,) = list_lesions(ct, lobes, lesion).lesions
    assert one.pleura_mm is None
    assert json.loads(json.dumps(LesionList((one,)).to_dict()))["lesions"][0]["pleura_mm"] is None


def test_a_lesion_over_a_fissure_stays_one_and_names_both_lobes():
    ct, lobes, lesion = make_scene()
    lesion[7:11, 10:15, 8:13] = 1
    (one,) = list_lesions(ct, lobes, lesion).lesions
    assert (one.lobe, one.also_in) == ("RLL", ("RUL",))
    lesion[4:7, 8:18, 6:16] = 1
    (one,) = list_lesions(ct, lobes, lesion).lesions
    # 25 of 400 voxels are in the upper lobe: less than a tenth.
    assert (one.lobe, one.also_in) == ("RLL", ())


def test_lesions_part_at_the_lungs_and_touch_by_corners():
    ct, lobes, lesion = make_scene()
    lobes[2:18, 3:27, 18:22] = np.where(np.arange(4) < 2, 3, 1)
    lesion[5:7, 10:15, 15:25] = 1
    two = list_lesions(ct, lobes, lesion).lesions
    assert [one.lobe for one in two] == ["RLL", "LLL"]
    assert [one.volume_ml for one in two] == pytest.approx([2 * 5 * 5 * VOXEL_ML] * 2)
    ct, lobes, lesion = make_scene()
    lesion[5:7, 10:12, 10:12] = 1
    lesion[7:9, 12:14, 12:14] = 1
    assert len(list_lesions(ct, lobes, lesion).lesions) == 1


def test_the_largest_comes_first_and_small_ones_are_summed_up():
    ct, lobes, lesion = make_scene()
    lesion[4:6, 6:9, 4:7] = 1
    lesion[12:14, 6:12, 30:36] = 1
    lesion[15, 20, 30] = 1
    lesion[15, 24:26, 25] = 1
    found = list_lesions(ct, lobes, lesion)
    assert [(one.number, one.lobe) for one in found.lesions] == [(1, "LUL"), (2, "RLL")]
    assert (found.rest_count, found.rest_ml) == (2, pytest.approx(3 * VOXEL_ML))
    total = sum(one.volume_ml for one in found.lesions) + found.rest_ml
    assert total == pytest.approx(np.count_nonzero(lesion) * VOXEL_ML)
    assert list_lesions(ct, lobes, lesion, least_ml=0.01).rest_count == 0


def test_equal_lesions_have_an_order_of_their_own():
    ct, lobes, lesion = make_scene()
    for corner in ((12, 6, 25), (4, 6, 25), (4, 6, 5)):
        lesion[tuple(slice(c, c + 3) for c in corner)] = 1
    voxels = [one.voxel for one in list_lesions(ct, lobes, lesion).lesions]
    assert voxels == [(4, 7, 6), (4, 7, 26), (12, 7, 26)]


def test_what_lies_outside_the_lobes_is_not_counted():
    ct, lobes, lesion = make_scene()
    lesion[0:2] = 1
    assert list_lesions(ct, lobes, lesion) == LesionList()
    lesion[:] = 0
    assert list_lesions(ct, lobes, lesion) == LesionList()


def test_the_voxel_of_a_hollow_lesion_lies_in_it():
    ct, lobes, lesion = make_scene()
    lesion[5:7, 5:16, 4:15] = 1
    lesion[5:7, 6:15, 5:14] = 0
    (one,) = list_lesions(ct, lobes, lesion).lesions
    assert lesion[one.voxel] == 1


def test_an_image_with_turned_axes_has_the_same_patient_coordinates():
    ct, lobes, lesion = make_scene()
    lesion[12:15, 11:16, 8:13] = 1
    # The same voxels with the image's own x axis toward the patient's right.
    turned = Geometry(
        ct.geometry.size,
        ct.geometry.spacing,
        (-10.0 + 39 * 2, 20.0, -30.0),
        (-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0),
    )
    other = Volume(ct.array, ct.spacing_mm, turned, "turned")
    assert list_lesions(other, lobes, lesion) == list_lesions(ct, lobes, lesion)


def test_the_list_is_kept_as_json_and_as_csv(tmp_path):
    ct, lobes, lesion = make_scene()
    lesion[7:11, 10:15, 8:13] = 1
    lesion[15, 20, 30] = 1
    found = list_lesions(ct, lobes, lesion)
    assert LesionList.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    write_lesions(found, tmp_path / "lesions.csv")
    rows = list(csv.DictReader((tmp_path / "lesions.csv").open(encoding="utf-8")))
    assert (rows[0]["lobe"], rows[0]["also_in"], rows[0]["volume_ml"]) == ("RLL", "RUL", "2.0000")
    assert (rows[0]["z"], rows[0]["axial_slice"], rows[0]["pleura_mm"]) == ("7", "8", "10.0000")
    assert (rows[1]["number"], rows[1]["lobe"], rows[1]["volume_ml"], rows[1]["z"]) == (
        "0",
        "1 smaller",
        "0.0200",
        "",
    )


@pytest.mark.parametrize(
    "values", [{}, {"lesions": [{}], "lesions_below": {"least_ml": 0, "count": 0, "ml": 0}}]
)
def test_a_summary_without_the_list_is_refused_in_one_line(values):
    with pytest.raises(InputError, match="segment the CT again"):
        LesionList.from_dict(values)
