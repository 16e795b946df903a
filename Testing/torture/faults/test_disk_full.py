"""A disk that is full, or files that may not grow: one line that names the file, and the folder is as it was."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import needs_fork, train_words
from wholeness import check_files, hidden

from DRAMLesionLib.system.files import atomic_file, write_text

pytestmark = needs_fork
DISK_KIB = 300


@contextlib.contextmanager
def small_disk(folder: Path, kib: int = DISK_KIB) -> Iterator[Path]:
    """A file system of so many KiB; only root can make one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,nr_inodes=2000", "tmpfs", str(folder)]
    if os.name == "nt" or shutil.which("mount") is None:
        pytest.skip("no file system can be made here")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(disk: Path) -> None:
    """To the last block."""
    with contextlib.suppress(OSError), (disk / "more.bin").open("ab", buffering=0) as more:
        while True:
            more.write(b"x" * 4096)


def commands(
    phantoms: Path, models: Path, training: Path, segmented: Path, out: Path
) -> dict[str, list[str]]:
    ct, lobes = phantoms / "0" / "ct.nii.gz", phantoms / "0" / "lobes.nii.gz"
    words = {
        "segment": [
            "segment",
            ct,
            "--lobes",
            lobes,
            "--model",
            models / "a",
            "--no-scene",
            "--device",
            "cpu",
        ],
        "refine": ["refine", ct, "--lobes", lobes, "--map", segmented / "dram.nii.gz"],
        "train": train_words(training, out),
        "batch": ["batch", phantoms, out, "--model", models / "a", "--no-scene", "--images", "ct.nii.gz"],
    }
    return {
        name: [str(word) for word in (*given, *([] if name in ("train", "batch") else ["--out", out]))]
        for name, given in words.items()
    }


@pytest.fixture(scope="session")
def segmented(nursery, phantoms, models, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("segmented") / "out"
    words = ["segment", phantoms / "0" / "ct.nii.gz", "--model", models / "a", "--out", out, "--no-scene"]
    done = nursery.run("command", {"words": [str(word) for word in (*words, "--device", "cpu")]}, out)
    assert done.code == 0, done.said
    return out


def error_of(said: str) -> str:
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and "Traceback" not in said, said
    return errors[0]


def check_refused(done, out: Path, words: tuple[str, ...]) -> None:
    assert done.code == 2, done.said
    line = error_of(done.said)
    assert any(word in line for word in words) and str(out) in line, line
    check_files(out.parent)
    assert not hidden(out.parent), hidden(out.parent)


@pytest.mark.parametrize("free_kib", [0, pytest.param(8, marks=pytest.mark.torture)])
@pytest.mark.parametrize("name", ["segment", "refine", *(pytest.param("train", marks=pytest.mark.torture),)])
def test_a_full_disk(nursery, phantoms, models, training, segmented, tmp_path, name, free_kib):
    with small_disk(tmp_path / "disk") as disk:
        taken = (DISK_KIB - free_kib) * 1024
        (disk / "other.bin").write_bytes(b"x" * (taken - 8192 * (free_kib == 0)))
        if not free_kib:
            fill_up(disk)
        before = {path.name: path.stat().st_size for path in disk.iterdir()}
        words = commands(phantoms, models, training, segmented, disk / "out")[name]
        done = nursery.run("command", {"words": words}, disk)
        check_refused(done, disk / "out", ("disk is full", "free some space", "No space left"))
        left = {path.name: path.stat().st_size for path in disk.iterdir() if path.name in before}
        assert left == before
        if name != "train":
            assert not (disk / "out").exists()


@pytest.mark.parametrize(
    "limit", [100, *(pytest.param(n, marks=pytest.mark.torture) for n in (3000, 20_000, 90_000))]
)
@pytest.mark.parametrize("name", ["segment", "refine", pytest.param("train", marks=pytest.mark.torture)])
def test_files_that_may_not_grow(nursery, phantoms, models, training, segmented, tmp_path, name, limit):
    out = tmp_path / "out"
    words = commands(phantoms, models, training, segmented, out)[name]
    done = nursery.run("fill", {"folder": tmp_path, "words": words, "limit": limit}, out)
    if done.code == 0:
        check_files(out)
        return
    check_refused(done, out, ("larger than this disk or account allows", "free some space"))
    assert name == "train" or not out.exists()


@pytest.mark.torture
def test_a_batch_on_a_full_disk(nursery, phantoms, models, training, segmented, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        (disk / "other.bin").write_bytes(b"x" * (DISK_KIB - 40) * 1024)
        words = commands(phantoms, models, training, segmented, disk / "out")["batch"]
        done = nursery.run("command", {"words": words}, disk)
        assert done.code in (2, 3) and "Traceback" not in done.said, done.said
        check_files(disk)
        (disk / "other.bin").unlink()
        again = nursery.run("command", {"words": [*words, "--resume"]}, disk)
        assert again.code in (0, 3), again.said


def test_a_session_on_a_full_disk_loses_nothing(phantoms, tmp_path):
    """The step that can't be saved is refused; all before it stand."""
    from jobs import begin_session, operate, state_of

    from DRAMLesionLib.correction.session import CorrectionSession

    with small_disk(tmp_path / "disk", kib=3000) as disk:
        session = begin_session(str(phantoms / "0"), str(disk / "session"))
        operate(session, ("paint", (10, 10, 10), 1), "")
        before = state_of(session)
        fill_up(disk)
        with pytest.raises(OSError, match="No space"):
            for number in range(40):
                operate(session, ("paint", (12, 10 + number % 20, 10), 2), "")
                before = state_of(session)
        assert state_of(session) == before
        assert state_of(CorrectionSession.load(disk / "session")) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="writes to /dev/full")
def test_a_device_that_is_always_full(tmp_path):
    with pytest.raises(OSError), atomic_file(tmp_path / "a.txt"), Path("/dev/full").open("w") as full:
        full.write("x" * 100_000)
        full.flush()
    assert list(tmp_path.iterdir()) == []
    write_text(tmp_path / "a.txt", "now")
