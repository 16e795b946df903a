"""Installations that were cut off: found by the next one, and their pieces removed."""

import json
import os
import subprocess
import sys
import time

import pytest

from DRAMLesionLib.system import interrupted_install
from DRAMLesionLib.system.requirements import Environment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(interrupted_install, "packages_folder", lambda: tmp_path)
    return tmp_path


def leave_a_marker(folder, process: int, age_s: float = 0.0) -> None:
    marker = folder / interrupted_install.MARKER_NAME
    content = {"requirements": ["monai>=1.5"], "process": process, "since": time.time() - age_s}
    marker.write_text(json.dumps(content), encoding="utf-8")
    os.utime(marker, (time.time() - age_s,) * 2)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_an_ended_installation_leaves_nothing(folder):
    interrupted_install.begin(["monai>=1.5"])
    assert interrupted_install.interrupted() == ["monai>=1.5"]  # this process asks between two calls of pip
    interrupted_install.finish()
    assert interrupted_install.interrupted() is None
    assert list(folder.iterdir()) == []


def test_one_whose_process_is_gone_was_interrupted(folder):
    leave_a_marker(folder, dead_process())
    assert interrupted_install.interrupted() == ["monai>=1.5"]


@pytest.mark.skipif(os.name == "nt", reason="asks after another process")
def test_one_that_runs_in_another_process_was_not(folder):
    leave_a_marker(folder, os.getppid())
    assert interrupted_install.interrupted() is None
    leave_a_marker(folder, os.getppid(), age_s=2 * interrupted_install.RUNNING_S)  # the number was given anew
    assert interrupted_install.interrupted() == ["monai>=1.5"]
    interrupted_install.beat()
    assert interrupted_install.interrupted() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"requirements": 3}'])
def test_a_marker_in_pieces_counts(folder, text):
    (folder / interrupted_install.MARKER_NAME).write_text(text, encoding="utf-8")
    assert interrupted_install.interrupted() == []


def test_pieces_are_removed_and_nothing_else(folder):
    for name, files in {
        "whole-1.0.dist-info": ["METADATA", "RECORD"],
        "piece-1.0.dist-info": ["METADATA"],
        "old-1.0.dist-info": ["METADATA"],  # bundled by somebody who keeps no RECORD
        "piece": ["__init__.py"],
    }.items():
        (folder / name).mkdir()
        for file in files:
            (folder / name / file).write_text("Name: x\n", encoding="utf-8")
    os.utime(folder / "old-1.0.dist-info", (time.time() - 1000,) * 2)
    assert interrupted_install.remove_pieces() == []  # no installation, no pieces
    leave_a_marker(folder, dead_process(), age_s=100)
    assert interrupted_install.remove_pieces() == ["piece-1.0.dist-info"]
    left = {path.name for path in folder.iterdir()}
    assert left == {"whole-1.0.dist-info", "old-1.0.dist-info", "piece", interrupted_install.MARKER_NAME}


def test_beginning_again_keeps_the_first_time(folder):
    leave_a_marker(folder, dead_process(), age_s=500)
    interrupted_install.begin(["monai>=1.5"])
    since = json.loads((folder / interrupted_install.MARKER_NAME).read_text(encoding="utf-8"))["since"]
    assert time.time() - since > 400


@pytest.mark.parametrize(
    ("files", "cut_off"),
    [
        (["METADATA", "INSTALLER", "RECORD"], False),
        (["METADATA", "INSTALLER"], False),  # as Debian's packages
        (["METADATA"], True),
        (["WHEEL"], True),
    ],
)
def test_a_package_in_pieces_is_seen(folder, monkeypatch, files, cut_off):
    info = folder / "safetensors-0.8.0.dist-info"
    info.mkdir()
    for name in files:
        (info / name).write_text(
            "Metadata-Version: 2.1\nName: safetensors\nVersion: 0.8.0\n", encoding="utf-8"
        )
    monkeypatch.syspath_prepend(str(folder))
    assert ("safetensors" in Environment.here().cut_off) == cut_off
