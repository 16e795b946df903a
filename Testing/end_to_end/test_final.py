"""From percentages to the final network on phantoms: pseudo labels, training, and a segmentation by either method."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DRAMLesionLib.lesions.networks.bundle import save_model
from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.phantom import make_phantom, save_phantom
from DRAMLesionLib.results.folder import OUTPUTS, PROBABILITY

NETWORK = NetworkDescription((2, 2, 2, 2, 2, 2))
RECIPE = """
task: segmentation
name: tiny-final
epochs: 2
batch: 2
learning_rate: 0.01
segmentation: {patches_per_scan: 4}
model:
  spacing_mm: [8, 8, 8]
  patch: [16, 16, 16]
  threshold: 0.3
  dram_model: map
  network: {filters: [2, 4, 4]}
data: phantoms
licence: MIT
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two phantoms with their percentages, a dRAM model with random weights, and a recipe."""
    folder = tmp_path_factory.mktemp("final")
    rows = []
    for seed in range(2):
        made = make_phantom((64, 64, 48), (5.4, 5.4, 6.0), seed=seed, severity=(10.0, 20.0, 5.0, 0.0, 30.0))
        save_phantom(made, folder / str(seed))
        rows.append(
            {"image": f"{seed}/ct.nii.gz", "lobes": f"{seed}/lobes.nii.gz", "percent": list(made.percent)}
        )
    (folder / "list.json").write_text(json.dumps({"training": rows, "validation": rows[:1]}))
    (folder / "recipe.yaml").write_text(RECIPE)
    torch.manual_seed(0)
    description = ModelDescription(spacing_mm=(8, 8, 8), candidate_hu=-750, threshold=0.05, network=NETWORK)
    texts = {"version": "0.0.1", "card": "", "summary": "s", "data": "d", "licence": "MIT"}
    save_model(folder / "map", DenseNetwork(NETWORK), description, name="map", **texts)
    return folder


@pytest.fixture(scope="module")
def final(run, folder):
    """The folder of a final network that the command line has made, from the percentages on."""
    labels = folder / "labels"
    arguments = ("--data", folder / "list.json", "--model", folder / "map", "--out", labels)
    done = run("pseudo-label", *arguments, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    assert done.events[-1]["data"] == str(labels / "datalist.json")
    data = labels / "datalist.json"
    command = ("train", folder / "recipe.yaml", "--data", data, "--out", folder / "final", "--device", "cpu")
    done = run(*command, "--json")
    assert done.code == 0, done.err
    epochs = [event for event in done.events if event["event"] == "epoch"]
    assert len(epochs) == 2 and epochs[-1]["validation_mae_points"] >= 0
    assert {"cross_entropy", "dice_loss"} <= set(epochs[-1])
    return folder / "final"


def array(path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def segment(run, folder, out, *more):
    command = ("segment", folder / "0" / "ct.nii.gz", "--lobes", folder / "0" / "lobes.nii.gz", "--out", out)
    done = run(*command, "--no-scene", "--device", "cpu", "--json", *more)
    assert done.code == 0, done.err
    return done.events[-1]["record"], {path.name for path in out.iterdir()}


def test_the_pseudo_labels_have_the_known_percentages(final, folder):
    known = json.loads((folder / "list.json").read_text())["training"]
    rows = json.loads((folder / "labels" / "datalist.json").read_text())["training"]
    for row, expected in zip(rows, known, strict=True):
        label = array(folder / "labels" / row["label"])
        lobes = array(folder / "labels" / row["lobes"])
        found = [100 * label[lobes == value].mean() for value in range(1, 6)]
        assert found == pytest.approx(expected["percent"], abs=0.1)


def test_the_final_network_makes_the_mask_and_the_map_is_given_too(run, final, folder, tmp_path):
    record, names = segment(run, folder, tmp_path / "o", "--model", final)
    assert names == {*OUTPUTS, PROBABILITY}
    assert record["settings"]["method"] == "final"
    assert (record["segmentation_model"]["name"], record["model"]["name"]) == ("tiny-final", "map")
    probability, lesion = array(tmp_path / "o" / PROBABILITY), array(tmp_path / "o" / "lesion.nii.gz")
    np.testing.assert_array_equal(lesion, probability > record["settings"]["segmentation"]["threshold"])
    assert array(tmp_path / "o" / "dram.nii.gz").max() > 0
    assert not probability[array(tmp_path / "o" / "lobes.nii.gz") == 0].any()
    regions = {r["region"]: r for r in json.loads((tmp_path / "o" / "summary.json").read_text())["regions"]}
    inside = array(tmp_path / "o" / "lobes.nii.gz") == 2
    assert regions["LLL"]["lesion_percent"] == pytest.approx(100 * lesion[inside].mean(), abs=0.01)
    html = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    assert "the final network" in html and "tiny-final" in html


def test_the_maps_own_segmentation_on_request(run, final, folder, tmp_path):
    """The same folder again: nothing of the final network's run may stay in it."""
    segment(run, folder, tmp_path / "o", "--model", final)
    record, names = segment(run, folder, tmp_path / "o", "--model", final, "--method", "dram")
    assert names == set(OUTPUTS)
    assert record["settings"]["method"] == "dram" and "segmentation_model" not in record
    refined = array(tmp_path / "o" / "refined_dram.nii.gz")
    np.testing.assert_array_equal(
        array(tmp_path / "o" / "lesion.nii.gz"), refined > record["settings"]["threshold"]
    )
    assert "cut at the model" in (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    by_map, _ = segment(run, folder, tmp_path / "p", "--model", folder / "map", "--no-crf")
    assert by_map["settings"]["method"] == "dram" and by_map["settings"]["crf"]["enabled"] is False


def test_what_cannot_be_is_said_in_one_line(run, final, folder, tmp_path):
    ct = folder / "0" / "ct.nii.gz"
    for more, named in (
        (("--model", folder / "map", "--method", "final"), "dRAM model"),
        (("--method", "best"), "best"),
    ):
        done = run("segment", ct, "--out", tmp_path / "o", *more)
        assert done.code == 2 and named in done.err and not (tmp_path / "o").exists()
    arguments = ("--data", folder / "list.json", "--out", tmp_path / "o")
    done = run("pseudo-label", *arguments, "--rule", "median")
    assert done.code == 2 and "median" in done.err and not (tmp_path / "o").exists()
    command = ("train", folder / "recipe.yaml", "--data", folder / "list.json", "--out", tmp_path / "o")
    done = run(*command)
    assert done.code == 2 and "pseudo-label" in done.err
