"""A training on phantoms, from the command line to a segmentation with the model that results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from DRAMLesionLib.phantom import make_phantom, save_phantom

RECIPE = """
name: tiny
epochs: 2
learning_rate: 0.01
model:
  spacing_mm: [7, 7, 7]
  candidate_hu: -750
  network: {features: [2, 2, 4, 4, 4, 2]}
data: phantoms
licence: MIT
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    rows = []
    for seed, severity in enumerate(((10.0, 20.0, 5.0, 0.0, 30.0), 0)):
        made = make_phantom((64, 64, 48), (5.4, 5.4, 6.0), seed=seed, severity=severity)
        save_phantom(made, folder / str(seed))
        rows.append(
            {"image": f"{seed}/ct.nii.gz", "lobes": f"{seed}/lobes.nii.gz", "percent": list(made.percent)}
        )
    rows[1]["percent"][2] = None
    (folder / "list.json").write_text(json.dumps({"training": rows, "validation": rows[:1]}))
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def train(run, data, out, *more):
    return run(
        "train",
        data / "recipe.yaml",
        "--data",
        data / "list.json",
        "--out",
        out,
        "--device",
        "cpu",
        "--json",
        *more,
    )


def test_training_gives_a_model_that_segments(run, data, tmp_path):
    done = train(run, data, tmp_path / "tiny")
    assert done.code == 0, done.err
    steps = [e for e in done.events if e["event"] == "step"]
    assert len(steps) == 2 * 9  # two scans of five lobes, one of them unknown
    assert [e["step"] for e in steps] == list(range(1, 19)) and {e["steps"] for e in steps} == {18}
    assert not any(e.get("stage") == "Training" for e in done.events), "one line per step"
    assert done.events[-1] == {"event": "result", "model": str(tmp_path / "tiny")}
    epochs = [e for e in done.events if e["event"] == "epoch"]
    assert [e["epoch"] for e in epochs] == [1, 2]
    assert epochs[-1]["validation_mae_points"] >= 0
    card = (tmp_path / "tiny" / "docs" / "README.md").read_text()
    assert "phantoms" in card and "9 lobes" in card
    segmented = run(
        "segment",
        data / "0" / "ct.nii.gz",
        "--model",
        tmp_path / "tiny",
        "--out",
        tmp_path / "o",
        "--no-scene",
    )
    assert segmented.code == 0, segmented.err
    assert json.loads((tmp_path / "o" / "summary.json").read_text())["record"]["model"]["name"] == "tiny"


def test_training_repeats_itself_and_learns(run, data, tmp_path):
    """Two lobes are learnt almost by heart in a few steps, and twice in the same way."""
    rows = json.loads((data / "list.json").read_text())["training"][:1]
    known = rows[0]["percent"]
    rows[0]["percent"] = [None, known[1], None, None, known[4]]
    (data / "two.json").write_text(json.dumps({"training": rows}))
    losses = []
    for out in ("a", "b"):
        command = ("train", data / "recipe.yaml", "--data", data / "two.json", "--out", tmp_path / out)
        done = run(*command, "--device", "cpu", "--json", "--epochs", "20")
        assert done.code == 0, done.err
        losses.append([e["weak_loss"] for e in done.events if e["event"] == "epoch"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert sum(losses[0][-5:]) < 0.75 * sum(losses[0][:5])


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs POSIX")
def test_two_processes_train_as_one_does(run, data, tmp_path):
    """Batches of two, the last one of an epoch of one sample."""
    recipe = tmp_path / "pairs.yaml"
    recipe.write_text(RECIPE.replace("epochs: 2", "epochs: 1\nbatch: 2\nprecision: float32"))
    options = ("--data", data / "list.json", "--device", "cpu", "--json")
    alone = run("train", recipe, *options, "--out", tmp_path / "alone")
    assert alone.code == 0, alone.err
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = (*launcher, "-m", "DRAMLesionLib", "train", recipe, *options, "--out", tmp_path / "together")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    together = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    steps = [[e for e in events if e["event"] == "step"] for events in (alone.events, together)]
    assert len(steps[0]) == len(steps[1]) == 5, "only the first process reports"
    for one, two in zip(*steps, strict=True):
        assert one.keys() == two.keys()
        assert [two[key] for key in one if key != "event"] == pytest.approx(
            [one[key] for key in one if key != "event"], rel=1e-4
        )
    weights = [load_file(tmp_path / name / "models" / "model.safetensors") for name in ("alone", "together")]
    key = "unet.conv_0.conv_0.conv.weight"
    assert (weights[0][key].float() - weights[1][key].float()).abs().max() < 1e-2
