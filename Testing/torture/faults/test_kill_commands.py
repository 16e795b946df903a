"""``segment``, ``refine`` and ``train``, killed: files are whole, results of one run, the next run as if nothing was."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from killing import kills, needs_fork, train_words
from safetensors.torch import load_file
from wholeness import check_files, hidden, visible_files

from DRAMLesionLib.lesions.networks.bundle import load_model

pytestmark = needs_fork
IMAGES = ("*.nii.gz", "*.nrrd")


def arrays(folder: Path) -> dict[str, bytes]:
    """The voxels of each image: times and file headers may differ from run to run."""
    paths = [path for pattern in IMAGES for path in sorted(folder.glob(pattern))]
    return {path.name: sitk.GetArrayFromImage(sitk.ReadImage(str(path))).tobytes() for path in paths}


def segment_words(phantoms: Path, model: Path, out: Path) -> list[str]:
    ct, lobes = phantoms / "0" / "ct.nii.gz", phantoms / "0" / "lobes.nii.gz"
    words = ["segment", ct, "--lobes", lobes, "--model", model, "--out", out, "--no-scene", "--device", "cpu"]
    return [str(word) for word in words]


@pytest.fixture(scope="session")
def segmented(nursery, phantoms, models, tmp_path_factory):
    """Unbroken runs with both models."""
    made = {}
    for name in "ab":
        made[name] = tmp_path_factory.mktemp("segmented") / name
        words = segment_words(phantoms, models / name, made[name])
        done = nursery.run("command", {"words": words}, made[name])
        assert done.code == 0, done.said
    return made


@kills(2, 30)
def test_segment(number, killer, phantoms, models, segmented, tmp_path):
    """Every second one replaces an earlier run's results."""
    out, replaces = tmp_path / "out", number % 2 == 0
    words = segment_words(phantoms, models / "b", out)
    killer.measure("segment", lambda: killer.nursery.run("command", {"words": words}, out))
    shutil.rmtree(out, ignore_errors=True)
    if replaces:
        shutil.copytree(segmented["a"], out)
    death = killer.nursery.run("command", {"words": words}, out, **killer.point("segment", number))
    assert death.killed or death.code == 0, death.said

    check_files(out)
    before, after = arrays(segmented["a"]), arrays(segmented["b"])
    for name, voxels in arrays(out).items():
        assert voxels in (before[name], after[name]), name
    if (out / "summary.json").exists():  # then all are there, and of one run
        model = json.loads((out / "summary.json").read_text())["record"]["model"]["name"]
        assert arrays(out) == {"a": before, "b": after}[model]
    assert not replaces or set(arrays(out)) == set(before), "what was there is there, old or new"

    again = killer.nursery.run("command", {"words": words}, out)
    assert again.code == 0, again.said
    assert arrays(out) == after and not hidden(tmp_path)
    assert {path.name for path in visible_files(out)} == {path.name for path in visible_files(segmented["b"])}


@kills(1, 16)
def test_refine(number, killer, phantoms, segmented, tmp_path):
    """The painted voxels lie in the folder that the results go to: they must never be lost."""
    folder, out = phantoms / "0", tmp_path / "out"
    out.mkdir()
    ct = sitk.ReadImage(str(folder / "ct.nii.gz"))
    painted = np.zeros(sitk.GetArrayViewFromImage(ct).shape, np.uint8)
    painted[20:23, 25:30, 20:24] = 1
    edits = sitk.GetImageFromArray(painted)
    edits.CopyInformation(ct)
    sitk.WriteImage(edits, str(out / "edits.nii.gz"))
    options = {
        "--map": segmented["a"] / "dram.nii.gz",
        "--lobes": folder / "lobes.nii.gz",
        "--edits": out / "edits.nii.gz",
        "--out": out,
    }
    words = ["refine", str(folder / "ct.nii.gz"), *(str(w) for pair in options.items() for w in pair)]
    original = painted.tobytes()
    killer.measure("refine", lambda: killer.nursery.run("command", {"words": words}, out))
    death = killer.nursery.run("command", {"words": words}, out, **killer.point("refine", number))
    assert death.killed or death.code == 0, death.said
    check_files(out)
    assert arrays(out)["edits.nii.gz"] == original
    again = killer.nursery.run("command", {"words": words}, out)
    assert again.code == 0, again.said
    assert arrays(out)["edits.nii.gz"] == original and not hidden(out)
    assert len(check_files(out)) == 8


@pytest.fixture(scope="session")
def trained(killer, training, tmp_path_factory) -> Path:
    """Of an unbroken training."""
    folder = tmp_path_factory.mktemp("trained")
    words = train_words(training, folder / "tiny")
    killer.measure("train", lambda: killer.nursery.run("command", {"words": words}, folder))
    return folder / "tiny"


@kills(1, 24)
def test_train(number, killer, training, trained, models, tmp_path):
    """Every second one replaces an earlier model, which stays whole until then; resumed, the weights are the same."""
    out, replaces = tmp_path / "tiny", number % 2 == 0
    if replaces:
        shutil.copytree(models / "a", out)
    words = train_words(training, out)
    death = killer.nursery.run("command", {"words": words}, tmp_path, **killer.point("train", number))
    assert death.killed or death.code == 0, death.said

    check_files(tmp_path)
    if out.exists():
        assert load_model(out).name in ("a", "tiny")
    else:
        aside = [path for path in hidden(tmp_path) if path.name.endswith("-aside-tiny")]
        assert bool(aside) == replaces, "the earlier model is lost"

    again = killer.nursery.run("command", {"words": words}, tmp_path)
    assert again.code == 0, again.said
    found, expected = (load_file(path / "models" / "model.safetensors") for path in (out, trained))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key] - value).abs().max() < 1e-3, key
    assert load_model(out).name == "tiny" and not hidden(tmp_path)
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "tiny.training" / "log.jsonl").read_text().splitlines()
        if '"event": "step"' in line
    ]
    assert steps == list(range(1, 7)), "each step is in the log once"
