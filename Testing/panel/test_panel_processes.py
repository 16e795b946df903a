"""Child processes as Slicer starts them: what they import, what is read of them, and how they end."""

import subprocess
import sys
from pathlib import Path

import pytest
from clicks import wait_until


def test_a_users_file_does_not_take_the_place_of_pythons(application, module, tmp_path, monkeypatch):
    """``python -m`` puts the current folder first."""
    from DRAMLesionPanel.shared.child_process import LibraryProcess

    (tmp_path / "random.py").write_text("raise SystemExit('the wrong random')\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job").mkdir()
    process = LibraryProcess(["doctor"], tmp_path / "job")
    wait_until(application, lambda: process.poll() is not None)
    assert "wrong random" not in process.log() and any(e["event"] == "result" for e in process.events())


def test_a_segmentators_line_that_is_no_text_does_not_end_the_reading(application, module):
    """A decode error ended the reader; the pipe filled, and the process waited for ever."""
    from DRAMLesionPanel.segment.total_segmentator import _LivelyProcess

    code = "import sys; sys.stdout.buffer.write(b'caf\\xe9\\n' + b'x' * 200000 + b'\\nlast\\n')"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    lively, lines = _LivelyProcess(child), []
    while line := lively.readline():
        lines.append(line.strip())
    assert lines[0].startswith("caf") and lines[-1] == "last"
    assert child.wait(120) == 0


def test_a_process_tree_is_ended_without_ps(application, module, monkeypatch):
    from DRAMLesionPanel.shared import child_process

    if not Path("/proc/self/stat").exists():
        pytest.skip("there is no /proc here")
    wait = "import time; time.sleep(99)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {wait!r}]); {wait}"
    parent = subprocess.Popen([sys.executable, "-c", code])

    def children() -> list[int]:
        return [child for child, above in child_process._parents() if above == parent.pid]

    wait_until(application, children)
    (child,) = children()
    monkeypatch.setenv("PATH", "")
    child_process.killTree(parent.pid)
    parent.wait(120)

    def gone() -> bool:
        state = Path(f"/proc/{child}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"

    wait_until(application, gone)
