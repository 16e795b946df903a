"""Child processes import nothing from the folder that somebody works in."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from DRAMLesionLib.system import package
from DRAMLesionLib.system.package import module_command, module_environment

REPOSITORY = Path(__file__).resolve().parents[3]
TAKEN = ("random", "tempfile", "json", "platform", "numpy", "typer")
"""Modules that the command line imports."""


@pytest.fixture
def hostile(tmp_path, monkeypatch) -> Path:
    """The current folder, with files named as modules are that end who imports them."""
    for name in TAKEN:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the current folder')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(command: list[str], **more: str) -> str:
    environment = {**module_environment(), "PYTHONSAFEPATH": "", **more}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_module_is_run_without_the_current_folder(hostile):
    assert "0." in said(module_command("DRAMLesionLib", "--version"))


def test_an_older_python_runs_it_so_too_with_its_arguments(hostile, monkeypatch):
    monkeypatch.setattr(package.sys, "version_info", (3, 10, 0))
    command = module_command("DRAMLesionLib", "segment", "no-such-file.nii.gz", "--help")
    assert command[1] == "-c"
    assert "Usage" in said(command)


def test_the_command_that_people_type_leaves_the_current_folder_too(hostile):
    assert "0." in said([sys.executable, "-m", "DRAMLesionLib", "--version"])


def test_a_checkout_is_run_from_its_own_folder(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    assert "0." in said([sys.executable, "-m", "DRAMLesionLib", "--version"], PYTHONPATH="")


def begun_by(begin, monkeypatch) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of the process that a function starts; none is started."""

    def popen(command, env, **_options):
        begun.append((command, env))
        raise OSError("none is started here")

    begun: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(OSError, match="none is started"):
        begin()
    return begun[0]


def test_the_process_of_a_scene_begins_so(monkeypatch):
    from DRAMLesionLib.results.scene import process

    monkeypatch.setattr(
        process, "is_available", lambda: True
    )  # slicer-core is not everywhere, none is started

    def begin():
        with process.waiting_child():
            pass

    command, environment = begun_by(begin, monkeypatch)
    assert command[1] in ("-P", "-c") and environment["PYTHONSAFEPATH"] == "1"


def test_the_process_of_a_batch_begins_so(monkeypatch):
    from DRAMLesionLib.batch import process

    worker = process.CaseProcess(SimpleNamespace(threads=1))
    command, environment = begun_by(worker._launch, monkeypatch)
    assert command[1] in ("-P", "-c") and environment["PYTHONSAFEPATH"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"
    worker.close()


def test_no_part_of_the_library_starts_a_module_in_another_way():
    for path in (REPOSITORY / "DRAMLesionLib").rglob("*.py"):
        if path.name != "package.py":
            assert '"-m"' not in path.read_text(encoding="utf-8"), path
