"""Training in processes of their own: what a signal and a process that dies leave behind."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import toy_task
from safetensors.torch import load_file

from DRAMLesionLib.training.engine import STOP_FILE, state_folder, train
from DRAMLesionLib.training.recipes.recipe import SECTIONS, read_recipe
from DRAMLesionLib.training.run_log import LOG, read_log
from DRAMLesionLib.training.tasks.kinds import TASKS

HERE = Path(__file__).parent
DRIVER = """
import os, signal, sys, time
sys.path.insert(0, {here!r})
import toy_task
toy_task.register()
from DRAMLesionLib.cli import main
from DRAMLesionLib.training.distributed import is_restart
if {dies} and os.environ["RANK"] == "1" and not is_restart():
    sample = toy_task.ToyTask.sample
    def deadly(self, index, epoch):
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return sample(self, index, epoch)
    toy_task.ToyTask.sample = deadly
if is_restart() and os.environ["RANK"] == "0":
    time.sleep(2)  # the others come first, and must not find the address of the process that ended
main()
"""
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS, "toy", toy_task.TASK)
    monkeypatch.setitem(SECTIONS, "toy", toy_task.TOY_SECTIONS)
    (tmp_path / "ct.nii.gz").touch()
    row = {"image": "ct.nii.gz", "lobes": "ct.nii.gz", "percent": [1, 2, 3, 4, 5]}
    (tmp_path / "list.json").write_text(json.dumps({"training": [row]}))
    values = {
        "task": "toy",
        "epochs": 4,
        "batch": 3,
        "ema": 0.9,
        "learning_rate": 0.05,
        "precision": "float32",
    }
    (tmp_path / "toy.yaml").write_text(json.dumps(values))
    return tmp_path


PATIENCE = 600
"""Seconds; the processes need a few, but the machine may be busy."""


@pytest.fixture
def start(folder):
    """Starts a training; what still runs at the end of the test is killed, with its children."""
    started = []

    def start(*options, launcher=(), dies=False) -> subprocess.Popen:
        started.append(launch(folder, *options, launcher=launcher, dies=dies))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def launch(folder, *options, launcher, dies) -> subprocess.Popen:
    (folder / "driver.py").write_text(DRIVER.format(here=str(HERE), dies=dies))
    command = [
        sys.executable,
        *launcher,
        "driver.py",
        "train",
        "toy.yaml",
        "--data",
        "list.json",
        "--out",
        "out",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[2])}
    return subprocess.Popen(
        [*command, "--device", "cpu", "--json", *options],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def events(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def in_this_process(folder, **options):
    out = train(
        read_recipe(folder / "toy.yaml"), folder / "list.json", folder / "here", device="cpu", **options
    )
    return load_file(out / "toy.safetensors")


def test_sigterm_ends_at_a_checkpoint_and_resume_goes_on(folder, start):
    process = start("--epochs", "100000")
    assert process.stdout is not None and process.stderr is not None
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    told = []
    for line in process.stdout:  # one reader to the end: a second one would miss what the first has buffered
        told.append(json.loads(line))
        if told[-1].get("step") == 5:
            process.send_signal(signal.SIGTERM)
    patience.cancel()
    err = process.stderr.read()
    assert process.wait() == 75, err
    *steps, stopped = told
    assert stopped["event"] == "stopped" and Path(stopped["checkpoint"]).is_file()
    last = [e["step"] for e in steps if e["event"] == "step"][-1]
    assert read_log(state_folder(folder / "out") / LOG)[-1]["step"] == last
    assert not (folder / "out").exists()
    # The next step of this training is that of an unbroken one.
    (state_folder(folder / "out") / STOP_FILE).touch()
    seen = []
    with pytest.raises(KeyboardInterrupt):
        recipe, data = read_recipe(folder / "toy.yaml"), folder / "list.json"
        train(
            recipe, data, folder / "out", epochs=100000, device="cpu", resume=True, log=_until(last + 3, seen)
        )
    assert [e["step"] for e in seen if e["event"] == "step"] == [last + 1, last + 2, last + 3]


def _until(step, seen):
    def log(event):
        seen.append(event)
        if event["step"] == step:
            raise KeyboardInterrupt

    return log


def test_two_processes_go_on_when_one_dies_and_equal_a_single_one(folder, start):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1")
    process = start(launcher=launcher, dies=True)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    steps = [e["step"] for e in events(out) if e["event"] == "step"]
    # Samples are made ahead: it dies between the checkpoints after steps 3 and 6, or just after the latter.
    assert steps in [[*range(1, last + 1), *range(4, 13)] for last in (3, 4, 5, 6)]
    assert "Sending" in err or "restart" in err.lower()
    together, alone = load_file(folder / "out" / "toy.safetensors"), in_this_process(folder)
    for key, value in alone.items():
        assert torch.allclose(together[key], value, rtol=1e-4, atol=1e-5)
    logs = [read_log(state_folder(folder / name) / LOG) for name in ("out", "here")]
    losses = [[e["loss"] for e in log] for log in logs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_an_error_in_one_process_ends_all(folder, start):
    values = json.loads((folder / "toy.yaml").read_text())
    # In the first batch of this seed's order one process has the bad sample.
    (folder / "toy.yaml").write_text(json.dumps({**values, "toy": {"bad_sample": 2, "bad_epoch": 1}}))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    out, err = start(launcher=launcher).communicate(timeout=PATIENCE)
    message = [e["message"] for e in events(out) if e["event"] == "error"]
    assert message and all("toy 2 is not finite" in text for text in message), err
