"""Lobes of other versions and tools: what is plain in them is read, and what is left over is told."""

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images.volume import Volume, to_image
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.lungs.read_lobes import lobes_of_values, read_lobes
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((40, 40, 36), (8.8, 8.8, 8.2), seed=5)


def write(path, image, keys):
    for key, value in keys.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def segments(names, **more):
    """Header keys of segments, with the fields in ``more`` (a function of the segment's number)."""
    keys = {}
    for number, name in enumerate(names):
        keys |= {f"Segment{number}_ID": f"Segment_{number}", f"Segment{number}_Name": name}
        keys |= {f"Segment{number}_{field}": value(number) for field, value in more.items()}
    return keys


def components(phantom, values):
    """A vector image with a mask for each label value; 0 gives an empty one."""
    planes = [to_image((phantom.lobes.labels == v) & (v > 0), phantom.ct) for v in values]
    return sitk.Compose(planes)


@pytest.mark.parametrize("order", [(1, 2, 3, 4, 5), (5, 3, 1, 4, 2), (4, 5, 1, 2, 3)])
@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nrrd", ".Seg.NRRD"])
def test_one_component_for_each_segment_without_layer_and_value(tmp_path, phantom, order, suffix):
    names = [LOBES[value - 1].name for value in order]
    path = write(tmp_path / f"lobes{suffix}", components(phantom, order), segments(names))
    np.testing.assert_array_equal(read_lobes(path, phantom.ct).labels, phantom.lobes.labels)


def test_other_segments_among_the_components(tmp_path, phantom):
    names = ["heart", *(lobe.abbreviation for lobe in LOBES), "trachea"]
    path = write(tmp_path / "old.seg.nrrd", components(phantom, (0, 1, 2, 3, 4, 5, 0)), segments(names))
    np.testing.assert_array_equal(read_lobes(path, phantom.ct).labels, phantom.lobes.labels)


def test_values_without_layers(tmp_path, phantom):
    image = to_image(phantom.lobes.labels, phantom.ct)
    keys = segments([lobe.name for lobe in LOBES], LabelValue=lambda number: f"{number + 1}.0")
    np.testing.assert_array_equal(
        read_lobes(write(tmp_path / "a.seg.nrrd", image, keys), phantom.ct).labels, phantom.lobes.labels
    )


def test_layers_without_values(tmp_path, phantom):
    keys = segments([lobe.name for lobe in LOBES], Layer=str)
    path = write(tmp_path / "a.seg.nrrd", components(phantom, (1, 2, 3, 4, 5)), keys)
    np.testing.assert_array_equal(read_lobes(path, phantom.ct).labels, phantom.lobes.labels)


def test_one_layer_without_values_is_not_guessed_at(tmp_path, phantom):
    image = to_image(phantom.lobes.labels, phantom.ct)
    path = write(tmp_path / "a.seg.nrrd", image, segments([lobe.name for lobe in LOBES]))
    with pytest.raises(InputError, match=r"which values are the 5 segments: save it again"):
        read_lobes(path, phantom.ct, allow_missing=True)


def test_names_in_a_nrrd_of_any_name_count_more_than_values(tmp_path, phantom):
    """Values 1..5 in another order, which the names put right."""
    order = (3, 5, 1, 4, 2)
    labels = np.array((0, *order), np.uint8)[phantom.lobes.labels]
    keys = segments(
        [lobe.name for lobe in LOBES], LabelValue=lambda number: str(order[number]), Layer=lambda number: "0"
    )
    path = write(tmp_path / "exported.nrrd", to_image(labels, phantom.ct), keys)
    np.testing.assert_array_equal(read_lobes(path, phantom.ct).labels, phantom.lobes.labels)


def test_a_plain_label_map_that_is_called_a_segmentation(tmp_path, phantom):
    path = tmp_path / "lobes.seg.nrrd"
    sitk.WriteImage(to_image(phantom.lobes.labels, phantom.ct), str(path))
    np.testing.assert_array_equal(read_lobes(path, phantom.ct).labels, phantom.lobes.labels)


def test_segments_that_overlap_are_told_of(tmp_path, phantom):
    labels = phantom.lobes.labels
    grown = labels == 4
    grown[:, :-1] |= grown[:, 1:]
    planes = [to_image(labels == v if v != 4 else grown, phantom.ct) for v in (1, 2, 3, 4, 5)]
    path = write(tmp_path / "a.seg.nrrd", sitk.Compose(planes), segments([lobe.name for lobe in LOBES]))
    lobes = read_lobes(path, phantom.ct)
    assert len(lobes.warnings) == 1 and "voxels lie in two lobes" in lobes.warnings[0]


# --- label maps ----------------------------------------------------------------------------------------------------


def spoiled(labels, strays):
    """Labels with a few voxels of other values in a corner."""
    array = labels.astype(np.int32)
    for number, (value, count) in enumerate(strays.items()):
        array[0, number, :count] = value
    return array


@pytest.mark.parametrize("strays", [{6: 1}, {7: 5, 200: 3}, {12: 2}, {255: 9, 14: 1}, {1000: 4}])
def test_a_few_voxels_of_other_labels_are_left_out_and_told_of(phantom, strays):
    labels, warnings = lobes_of_values("a.nii", spoiled(phantom.lobes.labels, strays), phantom.ct)
    np.testing.assert_array_equal(labels, phantom.lobes.labels)
    assert len(warnings) == 1
    for value, count in strays.items():
        assert f"{value} ({count} voxels)" in warnings[0]


def test_a_large_sixth_label_is_told_of_where_the_five_hold_air(phantom):
    array = phantom.lobes.labels.astype(np.int32)
    outside = np.argwhere((array == 0) & (phantom.ct.array > 0))[:3000]
    array[tuple(outside.T)] = 6
    labels, warnings = lobes_of_values("a.nii", array, phantom.ct)
    np.testing.assert_array_equal(labels, phantom.lobes.labels)
    assert "6 (3000 voxels)" in warnings[0]


def test_organs_that_are_numbered_one_to_six_are_no_lobes(phantom):
    tissue = np.argwhere((phantom.lobes.labels == 0) & (phantom.ct.array > 0))
    array = np.zeros(phantom.ct.array.shape, np.int32)
    for value in range(1, 7):
        array[tuple(tissue[value * 100 : value * 100 + 90].T)] = value
    with pytest.raises(InputError, match="no lobes among its values"):
        lobes_of_values("a.nii", array, phantom.ct)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda labels: labels * np.float32(1.0000001),
        lambda labels: labels.astype(np.float16) * np.float16(1.001),
        lambda labels: np.round(labels - 1e-5, 5),
        lambda labels: labels / 255.0 * 255.0 + 3e-4,
    ],
)
def test_labels_that_are_off_whole_numbers_by_rounding(phantom, spoil):
    spoiled_labels = np.asarray(spoil(phantom.lobes.labels))
    labels, warnings = lobes_of_values("a.nii", np.abs(spoiled_labels), phantom.ct)
    np.testing.assert_array_equal(labels, phantom.lobes.labels)
    assert warnings == ()


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.99])
def test_labels_that_are_fractions_are_refused(phantom, factor):
    with pytest.raises(InputError, match="fractional values, not labels"):
        lobes_of_values("a.nii", phantom.lobes.labels * np.float32(factor), phantom.ct)


# --- folders of masks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", ["._{}.nii.gz", ".{}.nii.gz", "._{}.nrrd"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, "probability", 255])
def test_masks_beside_hidden_files_in_any_numbers(tmp_path, phantom, hidden, kind):
    for lobe in LOBES:
        inside = phantom.lobes.labels == lobe.value
        if kind == "probability":
            mask = np.where(inside, 0.93, 0.02).astype(np.float32)
        else:
            mask = inside * np.uint8(255) if kind == 255 else inside.astype(kind)
        sitk.WriteImage(to_image(mask, phantom.ct), str(tmp_path / f"{lobe.total_segmentator}.nii.gz"))
        (tmp_path / hidden.format(lobe.total_segmentator)).write_bytes(b"\0\5\x16\7" + bytes(100))
    found = read_lobes(tmp_path, phantom.ct)
    np.testing.assert_array_equal(found.labels, phantom.lobes.labels)
    assert found.warnings == ()


def test_what_was_left_out_stands_among_the_warnings_of_the_results(phantom, tmp_path):
    from DRAMLesionLib.lungs.read_lobes import find_lobes

    path = tmp_path / "lobes.nii.gz"
    array = spoiled(phantom.lobes.labels, {9: 2}).astype(np.uint8)
    sitk.WriteImage(to_image(array, phantom.ct), str(path))
    ct = Volume(phantom.ct.array, phantom.ct.spacing_mm, phantom.ct.geometry, "ct")
    assert "9 (2 voxels)" in find_lobes(ct, path).warnings[0]
