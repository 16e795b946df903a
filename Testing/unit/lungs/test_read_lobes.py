"""Lobes as other programs write them: TotalSegmentator's two layouts, version 2 and 1, and lungmask's."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images.volume import Volume, from_image, to_image
from DRAMLesionLib.lungs.lobes import LOBES, lobe_by_name
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError

# The classes of TotalSegmentator's task "total" that lie in a chest CT, as its class map numbers them.
VERSION_2 = {
    "spleen": 1, "kidney_right": 2, "kidney_left": 3, "gallbladder": 4, "liver": 5, "stomach": 6,
    "lung_upper_lobe_left": 10, "lung_lower_lobe_left": 11, "lung_upper_lobe_right": 12,
    "lung_middle_lobe_right": 13, "lung_lower_lobe_right": 14, "esophagus": 15, "trachea": 16, "thyroid_gland": 17,
    "heart": 51, "aorta": 52, "pulmonary_vein": 53, "sternum": 116,
}  # fmt: skip
VERSION_1 = {
    "spleen": 1, "kidney_right": 2, "kidney_left": 3, "gallbladder": 4, "liver": 5, "stomach": 6, "aorta": 7,
    "pancreas": 10, "adrenal_gland_right": 11, "adrenal_gland_left": 12, "lung_upper_lobe_left": 13,
    "lung_lower_lobe_left": 14, "lung_upper_lobe_right": 15, "lung_middle_lobe_right": 16, "lung_lower_lobe_right": 17,
    "vertebrae_L5": 18, "trachea": 43, "pulmonary_artery": 49,
}  # fmt: skip


@pytest.fixture(scope="module", params=["LPS", "RAS"])
def phantom(request):
    return make_phantom((48, 48, 36), (7.2, 7.2, 8.0), orientation=request.param)


def classes(phantom, numbers):
    """A label image of all those structures: the lobes where they are, the others in soft tissue."""
    labels = np.zeros(phantom.ct.array.shape, np.uint8)
    tissue = np.argwhere((phantom.lobes.labels == 0) & (phantom.ct.array > 0))
    others = [name for name in numbers if not name.startswith("lung_")]
    for number, name in enumerate(others):
        labels[tuple(tissue[20 * number : 20 * (number + 1)].T)] = numbers[name]
    for lobe in LOBES:
        labels[phantom.lobes.labels == lobe.value] = numbers[lobe.total_segmentator]
    return labels


def write(array, ct: Volume, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(to_image(array, ct), str(path))


@pytest.mark.parametrize("numbers", [VERSION_2, VERSION_1], ids=["version 2", "version 1"])
def test_totalsegmentator_multilabel_file(tmp_path, phantom, numbers):
    """``TotalSegmentator -i ct.nii.gz -o segmentations.nii.gz --ml``."""
    write(classes(phantom, numbers), phantom.ct, tmp_path / "segmentations.nii.gz")
    found = read_lobes(tmp_path / "segmentations.nii.gz", phantom.ct)
    np.testing.assert_array_equal(found.labels, phantom.lobes.labels)


def test_totalsegmentator_multilabel_file_of_the_lobes_alone(tmp_path, phantom):
    """With ``--roi_subset lung_upper_lobe_left ...`` the numbers stay those of the whole task."""
    only = {lobe.total_segmentator: VERSION_2[lobe.total_segmentator] for lobe in LOBES}
    write(classes(phantom, only), phantom.ct, tmp_path / "lobes.nii")
    np.testing.assert_array_equal(read_lobes(tmp_path / "lobes.nii", phantom.ct).labels, phantom.lobes.labels)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_totalsegmentator_folder(tmp_path, phantom, suffix):
    """``TotalSegmentator -i ct.nii.gz -o segmentations --statistics``: one mask per class, empty ones too."""
    labels, folder = classes(phantom, VERSION_2), tmp_path / "segmentations"
    for name, number in {**VERSION_2, "prostate": 22}.items():
        write((labels == number).astype(np.uint8), phantom.ct, folder / f"{name}{suffix}")
    (folder / "statistics.json").write_text(json.dumps({"liver": {"volume": 1.0}}))
    np.testing.assert_array_equal(read_lobes(folder, phantom.ct).labels, phantom.lobes.labels)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_lungmask_lobes(tmp_path, phantom, suffix):
    """``lungmask ct.nii.gz lobes.nii.gz --modelname LTRCLobes``: uint8 1..5 with the CT's own header."""
    array = sitk.GetArrayFromImage(to_image(phantom.lobes.labels, phantom.ct))
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.CopyInformation(to_image(phantom.ct.array, phantom.ct))
    sitk.WriteImage(image, str(tmp_path / f"lobes{suffix}"))
    found = read_lobes(tmp_path / f"lobes{suffix}", phantom.ct)
    np.testing.assert_array_equal(found.labels, phantom.lobes.labels)


@pytest.mark.parametrize("allow_missing", [False, True])
def test_lungmask_lungs_are_not_taken_for_the_left_lobes(tmp_path, phantom, allow_missing):
    """Its default model R231 gives 1 right lung, 2 left lung."""
    lobes = phantom.lobes.labels
    lungs = np.select([lobes > 2, lobes > 0], [1, 2], 0).astype(np.uint8)
    write(lungs, phantom.ct, tmp_path / "lungs.nii.gz")
    with pytest.raises(InputError, match=r"lungs\.nii\.gz: holds two lungs, not lobes.*LTRCLobes"):
        read_lobes(tmp_path / "lungs.nii.gz", phantom.ct, allow_missing=allow_missing)


def test_a_left_lung_alone_is_two_lobes(tmp_path, phantom):
    left = np.where(phantom.lobes.labels <= 2, phantom.lobes.labels, 0)
    write(left, phantom.ct, tmp_path / "left.nii.gz")
    found = read_lobes(tmp_path / "left.nii.gz", phantom.ct, allow_missing=True)
    np.testing.assert_array_equal(found.labels, left)


def test_mirrored_lobes_are_refused(tmp_path, phantom):
    write(phantom.lobes.labels[:, :, ::-1].copy(), phantom.ct, tmp_path / "mirrored.nii.gz")
    with pytest.raises(InputError, match="mirrored"):
        read_lobes(tmp_path / "mirrored.nii.gz", phantom.ct)


def test_lobes_of_another_grid_are_refused(tmp_path, phantom):
    image = sitk.Shrink(to_image(phantom.lobes.labels, phantom.ct), [2, 2, 2])
    sitk.WriteImage(image, str(tmp_path / "coarse.nii.gz"))
    with pytest.raises(InputError, match="lobe mask has size"):
        read_lobes(tmp_path / "coarse.nii.gz", phantom.ct)
    assert from_image(image, "coarse").array.max() == 5


@pytest.mark.parametrize(
    ("name", "abbreviation"),
    [
        ("superior lobe of left lung", "LUL"),
        ("Inferior lobe of right lung", "RLL"),
        ("middle lobe of right lung", "RML"),
        ("superior vena cava", None),
        ("left superior", None),
        ("lung_left", None),
        ("lung_vessels", None),
    ],
)
def test_names_of_structures(name, abbreviation):
    lobe = lobe_by_name(name)
    assert (lobe.abbreviation if lobe else None) == abbreviation
