"""A study on phantoms: every kind of row but the CAM, the table, the picture, and going on."""

import json

import pytest
from PIL import Image

from DRAMLesionLib.phantom import make_phantom, save_phantom

DRAM = """
task: dram
name: tiny
epochs: 2
learning_rate: 0.01
dram: {crf: target, refinement_from: 0, synthetic_first: 0.5}
model:
  spacing_mm: [7, 7, 7]
  candidate_hu: -750
  crf: {iterations: 1}
  network: {features: [2, 2, 4, 4, 4, 2]}
  attention: {channels: 2}
"""
FINAL = """
task: segmentation
name: tiny-final
epochs: 1
segmentation: {patches_per_scan: 2}
model: {spacing_mm: [8, 8, 8], patch: [32, 32, 32], network: {filters: [2, 4, 4]}}
"""
STUDY = """
seeds: [0]
rows:
  - {name: threshold, mask: threshold}
  - {name: line, mask: line}
  - {name: dRAM, mask: dram, recipe: dram.yaml}
  - {name: + attention, mask: attention, model_of: dRAM}
  - {name: + CRF, mask: crf, model_of: dRAM}
  - {name: final, mask: final, recipe: final.yaml, labels_of: dRAM, labels: {crf: false}}
  - {name: both, mask: combined, model_of: final}
  - {name: supervised, mask: final, recipe: final.yaml, labels_of: expert}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    rows = []
    for seed, severity in enumerate(((10.0, 20.0, 5.0, 0.0, 30.0), (0.0, 5.0, 15.0, 10.0, 0.0))):
        made = make_phantom((64, 64, 48), (5.4, 5.4, 6.0), seed=seed, severity=severity)
        save_phantom(made, folder / f"case{seed}")
        files = {key: f"case{seed}/{key}.nii.gz" for key in ("lobes", "lesion")}
        rows.append(
            {
                "image": f"case{seed}/ct.nii.gz",
                "lobes": files["lobes"],
                "label": files["lesion"],
                "percent": list(made.percent),
            }
        )
    (folder / "list.json").write_text(json.dumps({"training": rows[:1], "validation": rows[1:]}))
    for name, text in (("dram", DRAM), ("final", FINAL), ("study", STUDY)):
        (folder / f"{name}.yaml").write_text(text)
    return folder


def study(run, data, out, *more):
    return run("study", data / "study.yaml", "--data", data / "list.json", "--out", out, *more)


def test_a_study_gives_table_and_picture_and_goes_on(run, data, tmp_path):
    out = tmp_path / "out"
    done = study(run, data, out)
    assert done.code == 0, done.err
    table = (out / "study.md").read_text()
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:10]] == [
        *("threshold", "line", "dRAM", "+ attention", "+ CRF", "final", "both", "supervised")
    ]
    with Image.open(out / "stages.png") as picture:
        assert picture.width > 800
    # The weak stages never see the experts' masks.
    weak = json.loads((out / "weak.json").read_text())
    assert not any("label" in row for row in (*weak["training"], *weak["validation"]))
    guessed = json.loads((out / "final" / "seed-0" / "labels" / "datalist.json").read_text())
    assert guessed["training"][0]["label"].endswith("_pseudo.nii.gz")

    kept = (out / "dram" / "seed-0" / "scores.json").stat().st_mtime_ns
    weights = (out / "dram" / "seed-0" / "model" / "models" / "model.safetensors").stat().st_mtime_ns
    (out / "final" / "seed-0" / "scores.json").write_text("{")  # damaged: made again
    again = study(run, data, out, "--no-picture")
    assert again.code == 0, again.err
    assert (out / "study.md").read_text() == table
    assert (out / "dram" / "seed-0" / "scores.json").stat().st_mtime_ns == kept
    assert (out / "dram" / "seed-0" / "model" / "models" / "model.safetensors").stat().st_mtime_ns == weights


def test_a_study_without_masks_to_compare_with(run, data, tmp_path):
    content = json.loads((data / "list.json").read_text())
    del content["validation"][0]["label"]
    for row in (*content["training"], *content["validation"]):
        for key in ("image", "lobes", "label"):
            if key in row:
                row[key] = str(data / row[key])
    path = tmp_path / "list.json"
    path.write_text(json.dumps(content))
    done = run("study", data / "study.yaml", "--data", path, "--out", tmp_path / "out")
    assert done.code == 2
    assert "no label to compare with for case1" in done.err
