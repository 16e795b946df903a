"""nnU-Net v2: the raw data set it accepts, and its predictions back as results."""

import importlib.util
import json

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.images.volume import to_image, write_volume
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.datalist import DataList, Scan, write_datalist
from DRAMLesionLib.training.data.nnunet import case_names, export_nnunet, import_nnunet

ORIENTATIONS = ("LPS", "RAS", "PIR")
PERCENT = (10.0, 20.0, 5.0, None, 30.0)


@pytest.fixture(scope="module")
def phantoms():
    return [
        make_phantom((32, 34, 28), (10.8, 10.2, 10.4), seed=seed, orientation=axes)
        for seed, axes in enumerate(ORIENTATIONS)
    ]


@pytest.fixture
def data(tmp_path, phantoms):
    """A list of two training scans, the second corrected, and one validation scan without label."""
    scans = []
    for number, phantom in enumerate(phantoms):
        folder = tmp_path / "scans" / f"patient {number}"
        for name, array in (
            ("ct", phantom.ct.array),
            ("lobes", phantom.lobes.labels),
            ("lesion", phantom.lesion),
        ):
            write_volume(array, phantom.ct, folder / f"{name}.nrrd")
        write_volume(np.zeros_like(phantom.lesion), phantom.ct, folder / "edits.nrrd")
        scans.append(Scan(folder / "ct.nrrd", folder / "lobes.nrrd", PERCENT, label=folder / "lesion.nrrd"))
    corrected = Scan(**{**vars(scans[1]), "edits": scans[1].image.parent / "edits.nrrd"})
    bare = Scan(**{**vars(scans[2]), "label": None})
    write_datalist(tmp_path / "list.json", DataList((scans[0], corrected), (bare,)))
    return tmp_path / "list.json"


def read(path):
    return sitk.ReadImage(str(path))


def test_the_data_set_has_nnunets_layout_and_values(tmp_path, data, phantoms):
    out = tmp_path / "raw" / "Dataset501_Lesion"
    done = CliRunner().invoke(app, ["export-nnunet", "--data", str(data), "--out", str(out)])
    assert done.exit_code == 0, done.stderr
    assert "2 training cases (1 corrected), 1 test cases" in done.stdout
    assert json.loads((out / "dataset.json").read_text()) == {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "description": "COVID-19 lesions, pseudo labels of DRAMLesion. Research use only, not for diagnosis.",
    }
    assert {p.relative_to(out).as_posix() for p in out.rglob("*.nii.gz")} == {
        "imagesTr/patient_0_0000.nii.gz",
        "imagesTr/patient_1_0000.nii.gz",
        "imagesTs/patient_2_0000.nii.gz",
        "labelsTr/patient_0.nii.gz",
        "labelsTr/patient_1.nii.gz",
    }
    for number in (0, 1):
        ct = read(data.parent / "scans" / f"patient {number}" / "ct.nrrd")
        image = read(out / "imagesTr" / f"patient_{number}_0000.nii.gz")
        label = read(out / "labelsTr" / f"patient_{number}.nii.gz")
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(ct))
        lesion = read(data.parent / "scans" / f"patient {number}" / "lesion.nrrd")
        np.testing.assert_array_equal(sitk.GetArrayFromImage(label), sitk.GetArrayFromImage(lesion))
        assert image.GetSize() == label.GetSize()
        np.testing.assert_allclose(image.GetDirection(), label.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(image.GetOrigin(), label.GetOrigin(), atol=1e-4)
    cases = json.loads((out / "dramlesion.json").read_text())["cases"]
    assert {name: (case["part"], case["corrected"]) for name, case in cases.items()} == {
        "patient_0": ("Tr", False),
        "patient_1": ("Tr", True),
        "patient_2": ("Ts", False),
    }


@pytest.mark.skipif(importlib.util.find_spec("nnunetv2") is None, reason="nnunetv2 is not installed")
def test_nnunets_own_integrity_check_accepts_it(tmp_path, data):
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    out = tmp_path / "Dataset501_Lesion"
    export_nnunet(data, out)
    verify_dataset_integrity(str(out), num_processes=1)
    label = read(out / "labelsTr" / "patient_0.nii.gz")
    label[0, 0, 0] = 7
    sitk.WriteImage(label, str(out / "labelsTr" / "patient_0.nii.gz"))
    with pytest.raises(RuntimeError):
        verify_dataset_integrity(str(out), num_processes=1)


def test_predictions_come_back_as_measured_results(tmp_path, data, phantoms):
    out = tmp_path / "Dataset501_Lesion"
    export_nnunet(data, out)
    predicted = tmp_path / "predicted"
    for number in (0, 2):
        write_volume(phantoms[number].lesion, phantoms[number].ct, predicted / f"patient_{number}.nii.gz")
    (predicted / "dataset.json").write_text("{}")  # what nnU-Net leaves beside them
    (predicted / "patient_0.npz").touch()
    arguments = ["import-nnunet", predicted, "--dataset", out, "--out", tmp_path / "results"]
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.stderr
    for number in (0, 2):
        phantom, folder = phantoms[number], tmp_path / "results" / f"patient_{number}"
        lesion = read(folder / "lesion.nii.gz")
        ct = read(data.parent / "scans" / f"patient {number}" / "ct.nrrd")
        np.testing.assert_allclose(lesion.GetDirection(), ct.GetDirection(), atol=1e-6)
        summary = json.loads((folder / "summary.json").read_text())
        for region, percent in zip(summary["regions"], phantom.percent, strict=False):
            assert region["lesion_percent"] == pytest.approx(percent, abs=1e-6)
            assert region["dram_percent"] is None
        assert (folder / "report.html").is_file() and (folder / "lobes.csv").is_file()
        assert any("nnU-Net" in warning for warning in summary["warnings"])


def test_a_prediction_off_the_grid_is_refused(tmp_path, data, phantoms):
    out = tmp_path / "Dataset501_Lesion"
    export_nnunet(data, out)
    image = to_image(phantoms[0].lesion, phantoms[0].ct)
    image.SetOrigin([value + 3 for value in image.GetOrigin()])
    (tmp_path / "predicted").mkdir()
    sitk.WriteImage(image, str(tmp_path / "predicted" / "patient_0.nii.gz"))
    with pytest.raises(InputError, match=r"patient_0\.nii\.gz: lesion mask .* CT"):
        import_nnunet(tmp_path / "predicted", out, tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["Lesion", "Dataset5_Lesion", "Dataset501", "Dataset501-Lesion"])
def test_a_name_that_nnunet_does_not_find_is_refused(tmp_path, data, name):
    with pytest.raises(InputError, match="Dataset501_Lesion"):
        export_nnunet(data, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_list_without_labels_and_masks_with_other_values_are_refused(tmp_path, data, phantoms):
    rows = json.loads(data.read_text())
    for row in rows["training"]:
        row.pop("label")
    (tmp_path / "bare.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match="2 training scans have no label"):
        export_nnunet(tmp_path / "bare.json", tmp_path / "Dataset501_Lesion")
    write_volume(phantoms[0].lesion * 3, phantoms[0].ct, data.parent / "scans" / "patient 0" / "lesion.nrrd")
    with pytest.raises(InputError, match=r"lesion\.nrrd: has the values 0, 3"):
        export_nnunet(data, tmp_path / "Dataset501_Lesion")
    assert not (tmp_path / "Dataset501_Lesion").exists()


def test_an_unknown_case_is_named(tmp_path, data, phantoms):
    out = tmp_path / "Dataset501_Lesion"
    export_nnunet(data, out)
    write_volume(phantoms[0].lesion, phantoms[0].ct, tmp_path / "predicted" / "stranger.nii.gz")
    with pytest.raises(InputError, match=r"stranger\.nii\.gz: no case"):
        import_nnunet(tmp_path / "predicted", out, tmp_path / "results")


def test_names_serve_as_file_names_and_are_unique(tmp_path):
    scans = [Scan(tmp_path / name / "ct.nrrd", tmp_path / "l") for name in ("a b", "a_b", "ä.1", "---")]
    assert case_names(scans) == ["a_b", "a_b_2", "1", "case"]


def test_lesion_outside_the_lobes_is_dropped_and_told(tmp_path, data, phantoms):
    out = tmp_path / "Dataset501_Lesion"
    export_nnunet(data, out)
    phantom = phantoms[0]
    everywhere = np.ones_like(phantom.lesion)
    write_volume(everywhere, phantom.ct, tmp_path / "predicted" / "patient_0.nii.gz")
    import_nnunet(tmp_path / "predicted", out, tmp_path / "results")
    folder = tmp_path / "results" / "patient_0"
    written = sitk.GetArrayFromImage(read(folder / "lesion.nii.gz"))
    labels = phantom.lobes.labels
    assert written.sum() == (labels > 0).sum()
    summary = json.loads((folder / "summary.json").read_text())
    dropped = int((labels == 0).sum())
    assert f"{dropped} lesion voxels outside the lobes were dropped" in summary["warnings"]
    assert summary["regions"][0]["lesion_percent"] == pytest.approx(100)
