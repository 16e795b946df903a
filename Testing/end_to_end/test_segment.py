"""The main job as a user runs it: all outputs, in the input's geometry, with numbers that agree with each other."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.results.folder import OUTPUTS
from DRAMLesionLib.results.scene import available


def array(path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_all_outputs_are_there_and_nothing_else(results):
    assert sorted(path.name for path in results.iterdir()) == sorted(OUTPUTS)


@pytest.mark.parametrize("name", ["lesion.nii.gz", "dram.nii.gz", "lobes.nii.gz", "lesion.seg.nrrd"])
def test_images_have_the_input_geometry(results, phantom_folder, name):
    ct = sitk.ReadImage(str(phantom_folder / "ct.nii.gz"))
    image = sitk.ReadImage(str(results / name))
    assert image.GetSize() == ct.GetSize()
    np.testing.assert_allclose(image.GetSpacing(), ct.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), ct.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), ct.GetDirection(), atol=1e-6)


def test_the_mask_is_the_refined_map_cut_at_the_model_threshold(results):
    threshold = json.loads((results / "summary.json").read_text())["record"]["settings"]["threshold"]
    refined, lesion = array(results / "refined_dram.nii.gz"), array(results / "lesion.nii.gz")
    np.testing.assert_array_equal(lesion, refined > threshold)
    assert not np.array_equal(refined, array(results / "dram.nii.gz"))


def test_without_crf_the_mask_is_the_attended_map_cut(run, phantom_folder, tmp_path):
    command = ("segment", phantom_folder / "ct.nii.gz", "--out", tmp_path / "o", "--no-scene", "--no-crf")
    done = run(*command, "--method", "dram", "--json")
    assert done.code == 0, done.err
    assert done.events[-1]["record"]["settings"]["crf"]["enabled"] is False
    threshold = done.events[-1]["record"]["settings"]["threshold"]
    np.testing.assert_array_equal(
        array(tmp_path / "o" / "lesion.nii.gz"), array(tmp_path / "o" / "refined_dram.nii.gz") > threshold
    )


def test_the_map_is_a_fraction_inside_the_lobes(results):
    dram, lobes, lesion = (array(results / n) for n in ("dram.nii.gz", "lobes.nii.gz", "lesion.nii.gz"))
    assert dram.dtype == np.float32
    assert dram.min() >= 0 and dram.max() <= 1
    assert not dram[lobes == 0].any() and not lesion[lobes == 0].any()
    assert set(np.unique(lesion)) == {0, 1}
    np.testing.assert_array_equal(lesion, array(results / "lesion.seg.nrrd"))


def test_the_phantom_lesions_are_found(run, results, phantom_folder, tmp_path):
    """What ships has to be worth something on the demo's phantom, by either method; chance is an IoU of 0.1."""
    truth = array(phantom_folder / "lesion.nii.gz") > 0
    lobes = ("--lobes", phantom_folder / "lobes.nii.gz")
    done = run("segment", phantom_folder / "ct.nii.gz", *lobes, "--out", tmp_path, "--no-scene")
    assert done.code == 0, done.err
    for folder in (results, tmp_path):
        found = array(folder / "lesion.nii.gz") > 0
        assert (truth & found).sum() / (truth | found).sum() > 0.4


def test_the_table_agrees_with_the_images(results):
    lobes, lesion, dram = (array(results / n) for n in ("lobes.nii.gz", "lesion.nii.gz", "dram.nii.gz"))
    summary = json.loads((results / "summary.json").read_text())
    voxel_ml = np.prod(sitk.ReadImage(str(results / "lobes.nii.gz")).GetSpacing()) / 1000
    regions = {region["region"]: region for region in summary["regions"]}
    for value, key in enumerate(("LUL", "LLL", "RUL", "RML", "RLL"), 1):
        inside = lobes == value
        assert regions[key]["volume_ml"] == pytest.approx(inside.sum() * voxel_ml, rel=1e-4)
        assert regions[key]["lesion_percent"] == pytest.approx(100 * lesion[inside].mean(), abs=0.01)
        assert regions[key]["dram_percent"] == pytest.approx(100 * dram[inside].mean(), abs=0.01)
    assert regions["total"]["severity_score"] == sum(
        regions[k]["severity_score"] for k in ("LUL", "LLL", "RUL", "RML", "RLL")
    )
    rows = list(csv.reader((results / "lobes.csv").open(encoding="utf-8")))
    assert len(rows) == 1 + len(regions)


def test_the_summary_tells_how_it_was_made(results):
    summary = json.loads((results / "summary.json").read_text())
    text = json.dumps(summary)
    for part in ("checksum", "versions", "seconds", "spacing_mm", "Research use only"):
        assert part in text


def test_the_report_stands_alone(results):
    html = (results / "report.html").read_text(encoding="utf-8")
    assert "esearch use only" in html
    assert len(re.findall(r'src="data:image/png;base64,', html)) >= 3
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)


def test_json_lines_for_machines(run, phantom_folder, tmp_path):
    done = run(
        "segment", phantom_folder / "ct.nii.gz", "--out", tmp_path / "o", "--no-scene", "--no-crf", "--json"
    )
    assert done.code == 0
    events = done.events
    assert {"progress", "result"} == {event["event"] for event in events}
    assert events[-1]["event"] == "result" and events[-1]["out"] == str(tmp_path / "o")
    stages = [event["stage"] for event in events if event["event"] == "progress"]
    assert "Computing the dRAM" in stages
    assert all(0 <= event["fraction"] <= 1 for event in events if event["event"] == "progress")


def test_lobes_made_here_are_called_approximate(run, phantom_folder, tmp_path):
    assert run("segment", phantom_folder / "ct.nii.gz", "--out", tmp_path, "--no-scene").code == 0
    assert "pproximate" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "approximate" in (tmp_path / "summary.json").read_text()


def test_lobes_that_were_given_are_not(results):
    assert "lobes (approximate)" not in (results / "report.html").read_text(encoding="utf-8").lower()


def test_permuting_and_flipping_the_ct_permutes_and_flips_the_result(run, tmp_path):
    """The same patient in two orientations gives the same result, voxel by voxel."""
    found = []
    for orientation in ("LPS", "RIP"):
        made = make_phantom((64, 64, 48), (5.4, 5.4, 6.0), seed=1, orientation=orientation)
        folder = tmp_path / orientation
        from DRAMLesionLib.phantom import save_phantom

        save_phantom(made, folder)
        assert run("segment", folder / "ct.nii.gz", "--out", folder / "out", "--no-scene").code == 0
        image = sitk.DICOMOrient(sitk.ReadImage(str(folder / "out" / "dram.nii.gz")), "LPS")
        found.append(sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


@pytest.mark.skipif(not available.is_available(), reason="slicer-core is not installed")
def test_scene_and_pictures(run, phantom_folder, tmp_path):
    done = run("segment", phantom_folder / "ct.nii.gz", "--out", tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / "scene.mrb").stat().st_size > 10_000
    for name in ("view_axial.png", "view_coronal.png", "view_3d.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_new_run_replaces_an_older_one_and_leaves_other_files(run, phantom_folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "lobes.csv").write_text("old")
    for name in ("scene.mrb", "view_3d.png", "lesion_probability.nii.gz"):
        (tmp_path / name).write_text("of an earlier run")
    command = ("segment", phantom_folder / "ct.nii.gz", "--out", tmp_path, "--no-scene")
    assert run(*command, "--method", "dram").code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not {"scene.mrb", "view_3d.png", "lesion_probability.nii.gz"} & {
        p.name for p in tmp_path.iterdir()
    }
    assert (tmp_path / "lobes.csv").read_text() != "old"


def test_module_and_help_start_without_torch():
    script = (
        "import sys, DRAMLesionLib.cli; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'monai', 'SimpleITK', 'matplotlib', 'slicer')))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    helped = subprocess.run([sys.executable, "-m", "DRAMLesionLib", "--help"], capture_output=True, text=True)
    assert helped.returncode == 0
    for command in ("segment", "phantom", "doctor", "train", "refine"):
        assert command in helped.stdout


def test_doctor(run):
    done = run("doctor", "--json")
    assert done.code == 0
    result = done.events[-1]
    assert result["problems"] == []
    assert "cpu" in result["devices"]
    assert "dram-covid" in result["models"]
    assert run("doctor").code == 0
