"""A batch and its workers, killed: each case is whole or absent, and ``--resume`` does what is missing."""

import json
import random
import shutil
from pathlib import Path

import pytest
from killing import kills, needs_fork
from wholeness import check_files, hidden

from DRAMLesionLib.batch.manifest import read_manifest
from DRAMLesionLib.batch.work import CASES, damaged, read_record

pytestmark = needs_fork
COUNT = 5


@pytest.fixture
def batch(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(COUNT):
        (tmp_path / "in" / f"c{number}_ct.nii.gz").write_text(f"value {number}")
    return tmp_path


def words(batch: Path, resume: bool, **options) -> dict:
    name = "dying_segmenter" if options else "fake_segmenter"
    paths = {"source": batch / "in", "out": batch / "out", "done": batch / "done"}
    return {**paths, "resume": resume, "segmenter": name, "options": options}


def check_cases(out: Path) -> set[str]:
    """Each case's folder is whole; returns their names."""
    names = {path.name for path in (out / CASES).glob("[!.]*")}
    for name in names:
        record = read_record(out, name)
        assert record is not None and not damaged(out, name, record), name
    for path in out.glob("[!.]*.csv"):
        assert path.read_text().endswith("\n") or path.name == "manifest.csv"
    return names


def check_whole_batch(batch: Path) -> None:
    out = batch / "out"
    assert len(check_cases(out)) == COUNT
    rows = list(read_manifest(out))
    assert [row["status"] for row in rows] == ["done"] * COUNT and not hidden(out)
    assert not (out / ".work").exists()
    check_files(out / "volumes.csv") or (out / "volumes.csv").stat()


def mine(out: Path) -> set[str]:
    """The cases in which a file of the user's own is still as it was."""
    return {path.parent.name for path in (out / CASES).glob("*/mine.txt") if path.read_text() == "mine"}


@kills(1, 24)
def test_batch(number, killer, batch):
    """Every second one does an earlier batch again, in whose folders a user keeps files."""
    out, again = batch / "out", number % 2 == 0
    name = f"batch {again}"
    if again:
        assert killer.nursery.run("batch", words(batch, False), out).code == 0
        for case in (out / CASES).iterdir():
            (case / "mine.txt").write_text("mine")
        shutil.copytree(out, batch / "before")
    killer.measure(name, lambda: killer.nursery.run("batch", words(batch, False), out))
    shutil.rmtree(out, ignore_errors=True)
    if again:
        shutil.copytree(batch / "before", out)
    (batch / "done").unlink(missing_ok=True)

    death = killer.nursery.run("batch", words(batch, False), out, **killer.point(name, number))
    assert death.killed or death.code == 0, death.said
    check_cases(out)
    resumed = killer.nursery.run("batch", words(batch, True), out)
    assert resumed.code == 0, resumed.said
    check_whole_batch(batch)
    # What was computed before the kill is done again for the one case at most that was under way.
    computed = (batch / "done").read_text().split() if (batch / "done").exists() else []
    assert len(computed) <= COUNT + 1, computed
    assert not again or len(mine(out)) == COUNT, "a file of the user's own is lost"


@kills(1, 16)
def test_worker(number, killer, batch):
    """A worker that dies is started anew; the batch goes on by itself, and a user's own files stay."""
    out = batch / "out"
    assert killer.nursery.run("batch", words(batch, False), out).code == 0
    for case in (out / CASES).iterdir():
        (case / "mine.txt").write_text("mine")
    flag = batch / "dies"
    flag.write_text(str(random.Random(number).randint(1, 60)))
    options = {"dies": str(flag), "watch": str(out)}
    done = killer.nursery.run("batch", words(batch, False, **options), out)
    assert done.code == 0, done.said
    said = json.loads(done.said.splitlines()[-1])
    assert said["good"] and not flag.exists()
    check_whole_batch(batch)
    assert len(mine(out)) == COUNT
