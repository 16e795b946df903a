"""The command view where its packages are missing, and its own environment beside this one."""

import json

import pytest
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.view import available


def test_what_is_missing_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(available, "MODULES", {"no_such_module": "trame-slicer"})
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    answer = CliRunner().invoke(app, ["view", str(tmp_path), "--json"])
    assert answer.exit_code == 2
    said = json.loads(answer.stdout.splitlines()[-1])
    assert "needs trame-slicer: pip install 'dramlesion[view]'" in said["message"]


def test_an_environment_of_its_own_is_gone_to(tmp_path, monkeypatch):
    python = tmp_path / "view" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    went = []
    monkeypatch.setattr(available, "MODULES", {"no_such_module": "trame-slicer"})
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.execve", lambda path, command, environment: went.append((path, command)))
    available.go_there(["view", "results"])
    path, command = went[0]
    assert path == str(python) and command[-3:] == ["DRAMLesionLib", "view", "results"]


@pytest.mark.parametrize("display", ["", ":0"])
def test_without_a_display_nothing_asks_for_one(monkeypatch, display):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv(available.BACKEND_VARIABLE, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    available.choose_rendering()
    import os

    assert (os.environ.get(available.BACKEND_VARIABLE) == "vtkEGLRenderWindow") == (not display)
    monkeypatch.delenv(available.BACKEND_VARIABLE, raising=False)
