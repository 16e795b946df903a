"""The manifest survives crashes, and one batch at a time writes it."""

import os
import subprocess
import sys
import time

import pytest

from DRAMLesionLib.batch import manifest as manifest_module
from DRAMLesionLib.batch.manifest import MANIFEST_NAME, Manifest, read_manifest
from DRAMLesionLib.batch.work import Outcome
from DRAMLesionLib.system.errors import InputError


def test_a_line_for_each_end_of_a_case(tmp_path):
    with Manifest(tmp_path, resume=False) as manifest:
        manifest.add(Outcome("a", "crashed", reason="SIGKILL"))
        manifest.add(Outcome("b", "failed", reason='b.nii: not a CT,\n give "another"'))
        manifest.add(
            Outcome("a", "done", seconds=2.25, peak_memory_mb=700.2, outputs={"x.csv": "ab", "y": "cd"})
        )
        assert len(list(read_manifest(tmp_path))) == 3
        manifest.compact(["b", "a"])
        manifest.add(Outcome("c", "done"))
    rows = list(read_manifest(tmp_path))
    assert [(row["case"], row["status"], row["attempts"]) for row in rows] == [
        ("b", "failed", "1"),
        ("a", "done", "2"),
        ("c", "done", "1"),
    ]
    assert rows[0]["reason"] == 'b.nii: not a CT, give "another"'
    assert (rows[1]["seconds"], rows[1]["peak_memory_mb"], rows[1]["outputs"]) == (
        "2.2",
        "700",
        "x.csv:ab y:cd",
    )


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_line_is_cut_off(tmp_path, cut):
    with Manifest(tmp_path, resume=False) as manifest:
        manifest.add(Outcome("a", "crashed"))
        manifest.add(Outcome("b", "done"))
    path = tmp_path / MANIFEST_NAME
    path.write_bytes(path.read_bytes()[:-cut])
    with Manifest(tmp_path, resume=True) as manifest:
        assert manifest.status == {"a": "crashed"} and manifest.crashes == {"a": 1}
        manifest.add(Outcome("b", "failed"))
    assert [row["status"] for row in read_manifest(tmp_path)] == ["crashed", "failed"]


def test_without_resume_it_begins_anew(tmp_path):
    for _ in range(2):
        with Manifest(tmp_path, resume=False) as manifest:
            manifest.add(Outcome("a", "done"))
    assert len(list(read_manifest(tmp_path))) == 1


def test_a_file_that_is_none_is_not_touched(tmp_path):
    (tmp_path / MANIFEST_NAME).write_text("patient,age\n1,2\n")
    with pytest.raises(InputError, match="not the manifest"):
        Manifest(tmp_path, resume=True)
    assert (tmp_path / MANIFEST_NAME).read_text() == "patient,age\n1,2\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_one_batch_at_a_time(tmp_path):
    hold = (
        "import sys, time\nfrom pathlib import Path\nfrom DRAMLesionLib.batch.manifest import Manifest\n"
        "with Manifest(Path(sys.argv[1]), False):\n    print('in', flush=True)\n    time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(InputError, match="another batch"):
            Manifest(tmp_path, resume=True)
    finally:
        other.kill()
        other.wait()
    with Manifest(tmp_path, resume=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_NAME]


def test_the_lock_of_a_dead_batch_elsewhere_gives_way(tmp_path):
    lock = tmp_path / ".dramlesion-0123abcd-1-batch.lock"
    lock.touch()
    with pytest.raises(InputError, match="another batch"):
        Manifest(tmp_path, resume=True)
    os.utime(lock, (time.time() - 3600,) * 2)
    with Manifest(tmp_path, resume=True):
        assert not lock.exists()


def test_each_line_is_on_the_disk_before_the_next_case(tmp_path, monkeypatch):
    flushed = []
    with Manifest(tmp_path, resume=False) as manifest:
        monkeypatch.setattr(manifest_module.os, "fsync", lambda handle: flushed.append(os.fstat(handle)))
        for name in ("a", "b"):
            manifest.add(Outcome(name, "done"))
            written = (tmp_path / MANIFEST_NAME).stat()
            assert (flushed[-1].st_ino, flushed[-1].st_size) == (written.st_ino, written.st_size)
    assert len(flushed) == 2


def test_what_is_left_of_a_manifest_is_each_case_s_last_line(tmp_path):
    with Manifest(tmp_path, resume=False) as manifest:
        for status in ("crashed", "failed", "done"):
            manifest.add(Outcome("a", status))
        manifest.add(Outcome("gone", "done"))
        manifest.compact(["a"])
    assert [(row["case"], row["status"]) for row in read_manifest(tmp_path)] == [("a", "done")]
