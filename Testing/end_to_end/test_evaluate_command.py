"""Masks against masks from the command line."""

import csv
import json

import numpy as np
import pytest

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.phantom import make_phantom, save_phantom


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """Two phantoms; of the first one, half of each slice's lesion was found, of the second all of it."""
    folder = tmp_path_factory.mktemp("masks")
    for seed, name in enumerate(("ann", "bob")):
        made = make_phantom((32, 28, 24), (11, 11, 12), seed=seed, severity=(20.0, 30.0, 10.0, 60.0, 5.0))
        save_phantom(made, folder / "ref" / name)
        found = made.lesion.copy()
        if name == "ann":
            found[:, ::2] = 0
        (folder / "out").mkdir(exist_ok=True)
        write_volume(found, made.ct, folder / "out" / f"{name}_lesion.nii.gz")
    return folder


def test_a_folder_against_a_folder(run, masks, tmp_path):
    ref = masks / "ref"
    out = tmp_path / "scores.csv"
    done = run("evaluate", masks / "out", ref, "--lobes", ref, "--out", out)
    assert done.code == 0, done.err
    for part in ("ann", "bob", "1.000", "all, mean of 2", f"Scores in {out}"):
        assert part in done.out.replace("\n", "") or part in done.out
    with out.open(newline="") as file:
        ann, bob, mean = csv.DictReader(file)
    assert 0.3 < float(ann["iou"]) < 0.7 and float(ann["mae_points"]) > 5
    assert (bob["iou"], bob["mae_points"], bob["kappa_lobes"]) == ("1", "0", "1")
    assert float(mean["iou"]) == pytest.approx((float(ann["iou"]) + 1) / 2, abs=1e-5)


def test_one_file_against_one_file_as_json(run, masks, tmp_path):
    one, other = masks / "out" / "ann_lesion.nii.gz", masks / "ref" / "ann" / "lesion.nii.gz"
    done = run("evaluate", one, other, "--json", "--out", tmp_path / "scores.json")
    assert done.code == 0, done.err
    result = done.events[-1]
    assert result["event"] == "result"
    written = json.loads((tmp_path / "scores.json").read_text())
    assert {key: result[key] for key in written} == written
    (scan,) = written["scans"]
    assert 0.3 < scan["iou"] < 0.7 and scan["mae_points"] is None


def test_a_data_list_made_by_datalist(run, masks, tmp_path):
    listed = tmp_path / "list.json"
    assert run("datalist", masks / "ref", "--from-labels", "--validation", "bob", "--out", listed).code == 0
    done = run("evaluate", masks / "out", listed, "--json")
    assert done.code == 0, done.err
    result = done.events[-1]
    assert [(scan["name"], scan["part"]) for scan in result["scans"]] == [
        ("ann", "training"),
        ("bob", "validation"),
    ]
    known = json.loads(listed.read_text())["training"][0]["percent"]
    assert result["scans"][0]["reference_percent"] == pytest.approx(known, abs=1e-3)


def test_another_grid_is_one_line(run, masks, tmp_path):
    made = make_phantom((32, 28, 20), (11, 11, 12), seed=0)
    write_volume(np.zeros(made.ct.array.shape, np.uint8), made.ct, tmp_path / "short.nii.gz")
    done = run("evaluate", tmp_path / "short.nii.gz", masks / "ref" / "ann" / "lesion.nii.gz")
    assert done.code == 2 and "Traceback" not in done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert "short.nii.gz: prediction has size (32, 28, 20), reference has (32, 28, 24)" in line


def test_another_format_is_refused_before_the_work(run, masks):
    done = run("evaluate", masks / "out", masks / "ref", "--out", "scores.xlsx")
    assert done.code == 2 and "Comparing" not in done.err
