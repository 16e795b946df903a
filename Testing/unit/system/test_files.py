"""Outputs are whole or absent, and what killed processes leave is removed."""

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from DRAMLesionLib.system import files
from DRAMLesionLib.system.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]
posix = pytest.mark.skipif(os.name == "nt", reason="asks after processes and permissions as POSIX does")


def names(folder):
    return sorted(item.name for item in folder.iterdir())


# --- one file ------------------------------------------------------------------------------------------------------


def test_a_file_appears_whole_under_its_name(tmp_path):
    out = tmp_path / "deep" / "summary.json"
    with files.atomic_file(out) as temporary:
        temporary.write_text("new")
        assert not out.exists()
    assert out.read_text() == "new"
    assert names(out.parent) == ["summary.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    out = tmp_path / "summary.json"
    out.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_file(out) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert out.read_text() == "old"
    assert names(tmp_path) == ["summary.json"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.nii.gz", ".nii.gz"),
        ("A.NII.GZ", ".NII.GZ"),
        ("a.seg.nrrd", ".seg.nrrd"),
        ("a.v2.json", ".json"),
        ("a", ""),
    ],
)
def test_the_temporary_name_keeps_the_suffix(tmp_path, name, suffix):
    assert files.suffixes(Path(name)) == suffix
    with files.atomic_file(tmp_path / name) as temporary:
        assert temporary.name.endswith(suffix)
        assert temporary.name.startswith(files.STAGING_PREFIX)


@posix
def test_a_file_gets_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "é")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
    assert (tmp_path / "a.txt").read_bytes() == "é".encode()


# --- a folder ------------------------------------------------------------------------------------------------------


def test_a_folder_gets_all_results_at_the_end_and_keeps_its_others(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "table.csv").write_text("old")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "old.png").touch()
    with files.staged_directory(tmp_path) as staging:
        (staging / "table.csv").write_text("new")
        (staging / "pictures").mkdir()
        (staging / "pictures" / "new.png").touch()
        assert (tmp_path / "table.csv").read_text() == "old"
    assert names(tmp_path) == ["old.txt", "pictures", "table.csv"]
    assert (tmp_path / "table.csv").read_text() == "new"
    assert names(tmp_path / "pictures") == ["new.png"]


@pytest.mark.parametrize("existed", (True, False))
def test_a_failure_changes_nothing_in_the_folder(tmp_path, existed):
    out = tmp_path / "out"
    if existed:
        out.mkdir()
        (out / "table.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt), files.staged_directory(out) as staging:
        (staging / "table.csv").write_text("half")
        raise KeyboardInterrupt
    assert out.exists() == existed
    if existed:
        assert names(out) == ["table.csv"]
        assert (out / "table.csv").read_text() == "old"


# --- what killed processes leave -----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from DRAMLesionLib.system import files
with files.staged_directory(sys.argv[1]) as staging, files.atomic_file(sys.argv[1] + "/a.txt") as temporary:
    (staging / "half.nii").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
@pytest.mark.parametrize("way", ("folder", "file"))
def test_the_next_run_removes_what_a_killed_one_left(tmp_path, way):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=REPOSITORY, check=False)
    assert done.returncode < 0
    assert len(names(tmp_path)) == 2
    assert all(name.startswith(files.STAGING_PREFIX) for name in names(tmp_path))
    if way == "folder":
        with files.staged_directory(tmp_path) as staging:
            (staging / "b.txt").touch()
    else:
        files.write_text(tmp_path / "b.txt", "")
    assert names(tmp_path) == ["b.txt"]


def test_a_running_process_keeps_its_temporary_files(tmp_path):
    with files.staged_directory(tmp_path) as first:
        (first / "a.txt").write_text("first")
        with files.staged_directory(tmp_path) as second:
            (second / "b.txt").write_text("second")
        files.write_text(tmp_path / "c.txt", "third")
    assert names(tmp_path) == ["a.txt", "b.txt", "c.txt"]


@pytest.mark.parametrize(("days", "left"), [(1, True), (8, False)])
def test_another_machines_leavings_go_when_they_are_old(tmp_path, days, left):
    other = tmp_path / f"{files.STAGING_PREFIX}00000000-1-abc"
    other.touch()
    when = time.time() - days * 86400
    os.utime(other, (when, when))
    files.remove_stale(tmp_path)
    assert other.exists() == left


def test_other_hidden_files_stay(tmp_path):
    old = tmp_path / ".profile"
    old.touch()
    os.utime(old, (0, 0))
    files.remove_stale(tmp_path)
    assert old.exists()


# --- where nothing can be written ----------------------------------------------------------------------------------


def refusal(context, path):
    with pytest.raises(files.OutputError) as caught, context(path) as temporary:
        (temporary / "a" if temporary.is_dir() else temporary).write_text("x")
    message = str(caught.value)
    assert message.startswith(f"{path}: can't be written: ")
    assert "\n" not in message
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, OSError)
    return message


both = pytest.mark.parametrize("context", (files.atomic_file, files.staged_directory))


@both
@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only")],
)
def test_a_disk_that_fills_up_is_named_and_nothing_stays(tmp_path, context, code, said):
    with pytest.raises(files.OutputError, match=said) as caught, context(tmp_path / "out") as temporary:
        raise OSError(code, os.strerror(code), str(temporary))
    assert str(caught.value).startswith(f"{tmp_path / 'out'}: ")
    assert names(tmp_path) == []


@both
def test_a_path_through_a_file_is_named(tmp_path, context):
    (tmp_path / "taken").touch()
    assert "not a folder" in refusal(context, tmp_path / "taken" / "out")


def test_a_file_where_a_folder_should_be_and_the_reverse(tmp_path):
    (tmp_path / "taken").touch()
    assert "is a file, not a folder" in refusal(files.staged_directory, tmp_path / "taken")
    assert "is a folder: give a file name" in refusal(files.atomic_file, tmp_path)


@posix
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root writes anywhere")
@both
def test_a_folder_without_permission_is_named(tmp_path, context):
    tmp_path.chmod(0o500)
    try:
        assert "no permission" in refusal(context, tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


@both
@pytest.mark.parametrize("code", (errno.EACCES, errno.EROFS, errno.ENAMETOOLONG))
def test_a_folder_that_can_not_be_made_is_named(tmp_path, monkeypatch, context, code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    refusal(context, tmp_path / "new" / "out")


def test_errors_that_are_not_of_the_disk_pass_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), files.staged_directory(tmp_path):
        (tmp_path / "none").read_text()


def test_an_error_inside_names_the_users_folder_not_the_temporary_one(tmp_path):
    with pytest.raises(files.OutputError) as caught, files.staged_directory(tmp_path / "out") as staging:
        raise files.OutputError(f"{staging / 'lesion.nii.gz'}: can't be written whole")
    assert str(caught.value) == f"{tmp_path / 'out' / 'lesion.nii.gz'}: can't be written whole"


# --- what a machine that loses its power leaves ------------------------------------------------------------------------


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    flushed = []

    def fsync(handle):
        flushed.append((os.fstat(handle).st_ino, os.fstat(handle).st_size, path.exists()))

    monkeypatch.setattr(files.os, "fsync", fsync)
    files.write_text(path, "whole")
    assert flushed == [(path.stat().st_ino, 5, False)]


def test_a_run_that_ends_while_its_files_are_moved_leaves_no_last_file(tmp_path, monkeypatch):
    """Who sees ``last`` may trust all the others to be of the same run."""
    for name in ("a.txt", "summary.json"):
        (tmp_path / name).write_text("old")
    moved, replace = [], Path.replace

    def move(self, target):
        if Path(target).parent == tmp_path:
            moved.append(Path(target).name)
            if len(moved) == 2:
                raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", move)
    with pytest.raises(KeyboardInterrupt), files.staged_directory(tmp_path, last="summary.json") as staging:
        for name in ("a.txt", "b.txt", "summary.json"):
            (staging / name).write_text("new")
    assert moved == ["a.txt", "b.txt"]
    assert (tmp_path / "a.txt").read_text() == "new" and not (tmp_path / "summary.json").exists()


# --- asked before the work -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", ["results", "a/b/c", "."])
def test_a_folder_that_can_be_written_is_told_by_nothing_left_behind(tmp_path, deep):
    files.check_folder(tmp_path / deep)
    files.check_output_file(tmp_path / deep / "scores.csv")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file", "is a file, not a folder"),
        ("file/results", "a part of the path is a file"),
        ("x" * 300, "the path is too long"),
        pytest.param("/proc/results", "/proc/results: can't be written: nothing can be made", marks=posix),
    ],
)
def test_a_folder_that_can_not_be_written_is_refused_before_the_work(tmp_path, name, said):
    (tmp_path / "file").write_text("x")
    with pytest.raises((InputError, OSError), match=said):
        files.check_folder(tmp_path / name)
    assert names(tmp_path) == ["file"]


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_without_permission_is_refused_before_the_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(files.OutputError, match="no permission to write there"):
        files.check_folder(tmp_path / "results")


@pytest.mark.parametrize(
    ("name", "said"), [("folder", "is a folder: give a file name"), ("file/scores.csv", "is a file")]
)
def test_a_file_that_can_not_be_written_is_refused_before_the_work(tmp_path, name, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(files.OutputError, match=said):
        files.check_output_file(tmp_path / name)


def test_a_disk_that_refuses_is_told_before_the_work(tmp_path, monkeypatch):
    def full(**given):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.tempfile, "mkdtemp", full)
    with pytest.raises(files.OutputError, match="the disk is read-only"):
        files.check_folder(tmp_path / "results")


def test_the_checksum_of_a_file_is_that_of_its_bytes(tmp_path):
    import hashlib

    content = os.urandom((1 << 20) + 17)
    (tmp_path / "a").write_bytes(content)
    assert files.checksum(tmp_path / "a") == hashlib.sha256(content).hexdigest()
