"""The journal of a correction: a step is on the disk before it counts."""

import os

import numpy as np
import pytest

from DRAMLesionLib.correction import store
from DRAMLesionLib.correction.store import Store


@pytest.fixture
def kept(tmp_path) -> Store:
    made = Store(tmp_path)
    volumes = {name: np.zeros((2, 3, 4), np.float32) for name in ("hu", "lobes", "start")}
    made.write_all({}, volumes, [])
    return made


def test_a_step_is_flushed_to_the_disk_before_append_returns(kept, monkeypatch):
    flushed = []
    monkeypatch.setattr(
        store.os, "fsync", lambda handle: flushed.append((os.fstat(handle).st_ino, os.fstat(handle).st_size))
    )
    for _ in range(2):
        kept.append({"step": "paint"})
        # All of it, of this very file.
        assert flushed[-1] == (kept.journal.stat().st_ino, kept.journal.stat().st_size)
    assert len(flushed) == 2 and flushed[1][1] == 2 * flushed[0][1] > 0


def test_a_step_that_could_not_be_flushed_is_taken_back(kept, monkeypatch):
    kept.append({"step": "first"})
    before = kept.journal.read_bytes()

    def broken(handle):
        raise OSError("the disk is gone")

    monkeypatch.setattr(store.os, "fsync", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        kept.append({"step": "second"})
    assert kept.journal.read_bytes() == before


def test_an_older_generation_is_removed_only_when_the_new_one_counts(kept, monkeypatch):
    volumes = {name: np.ones((2, 3, 4), np.float32) for name in ("hu", "lobes", "start")}
    first = kept.journal.name
    write_text = store.write_text

    def check(path, text):
        assert (kept.directory / first).is_file()
        write_text(path, text)

    monkeypatch.setattr(store, "write_text", check)
    kept.write_all({}, volumes, [{"step": "paint"}])
    left = sorted(path.name for path in kept.directory.iterdir())
    assert left == ["journal-2.jsonl", "session.json", "volumes-2.npz"]
