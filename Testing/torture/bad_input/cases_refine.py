"""Correction without a viewer: maps, edits, what lies beside them, and saved sessions."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from harness import Job, Table
from world import World, write

TABLE = Table("maps, edits and sessions")


def _refine(world: World, folder: Path, **given: Any) -> tuple[Any, ...]:
    files = {"map": world.map_path, "lobes": world.lobes_path, **given}
    options = [word for key, value in files.items() for word in (f"--{key}", value)]
    return ("refine", given.pop("ct", world.ct_path), *options, "--out", folder / "out")


def _map(
    name: str,
    change: Callable[[np.ndarray], np.ndarray],
    *words: str,
    good: bool = False,
    short: bool = False,
) -> None:
    def make(world: World, folder: Path) -> Job:
        soft = sitk.GetArrayFromImage(sitk.ReadImage(str(world.map_path)))
        path = write(world.image(change(soft)), folder / "odd_map.nrrd")
        return Job(_refine(world, folder, map=path), None if good else words)

    TABLE.add(f"map: {name}", make, short)


_map("as it should be", lambda a: a, good=True)
_map("percentages", lambda a: a * 100, "0..", "1", short=True)
_map("negative", lambda a: a - 0.5, "0..")
_map("NaN", lambda a: np.where(a > 0, a, np.nan), "odd_map.nrrd", "NaN")
_map("a label map of 0 and 1", lambda a: (a > 0.5).astype(np.uint8), good=True)
_map("64 bits", lambda a: a.astype(np.float64), good=True)
_map("zero", lambda a: a * 0, good=True)
_map("1.0000001", lambda a: np.where(a > 0, np.float32(1.0000001), 0).astype(np.float32), "0..1.0000001")


def _edits(
    name: str,
    change: Callable[[np.ndarray], np.ndarray],
    *words: str,
    good: bool = False,
    short: bool = False,
) -> None:
    def make(world: World, folder: Path) -> Job:
        path = write(world.image(change(np.zeros_like(world.labels))), folder / "odd_edits.nrrd")

        def kept() -> None:
            found = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / "edits.nii.gz")))
            np.testing.assert_array_equal(found, change(np.zeros_like(world.labels)))

        return Job(
            _refine(world, folder, edits=path), None if good else ("edits", *words), kept if good else None
        )

    TABLE.add(f"edits: {name}", make, short)


def _painted(edits: np.ndarray, value: int) -> np.ndarray:
    edits[20, 20:24, 10:14] = value
    return edits


_edits("none", lambda a: a, good=True)
_edits("a stroke", lambda a: _painted(a, 1), good=True, short=True)
_edits("everything is lesion", lambda a: a + 1, good=True)
_edits("everything is not", lambda a: a + 2, good=True)
_edits("a value of 3", lambda a: _painted(a, 3), "0, 1 and 2", short=True)
_edits("negative", lambda a: _painted(a.astype(np.int16), -1), "0, 1 and 2")
_edits("fractions", lambda a: _painted(a, 1) * np.float32(0.5), "0, 1 and 2")
_edits("floats", lambda a: _painted(a, 2).astype(np.float64), good=True)
_edits("NaN", lambda a: a + np.float32(np.nan), "NaN")


@TABLE.case("edits: on another grid")
def _(world: World, folder: Path) -> Job:
    path = write(world.image(world.labels * 0)[:, :, 1:], folder / "edits.nrrd")
    return Job(_refine(world, folder, edits=path), ("edits.nrrd", "size"))


@TABLE.case("map: on another grid")
def _(world: World, folder: Path) -> Job:
    moved = sitk.ReadImage(str(world.map_path))
    moved.SetOrigin((0, 0, 0))
    return Job(_refine(world, folder, map=write(moved, folder / "m.nrrd")), ("m.nrrd", "away"))


@TABLE.case("map: cut off")
def _(world: World, folder: Path) -> Job:
    (folder / "m.nii.gz").write_bytes(world.map_path.read_bytes()[:300])
    return Job(_refine(world, folder, map=folder / "m.nii.gz"), ("m.nii.gz", "truncated"))


@TABLE.case("threshold out of range")
def _(world: World, folder: Path) -> Job:
    return Job((*_refine(world, folder), "--threshold", "2"), ("threshold", "0.99"))


for _name, _summary in {
    "no JSON": "{",
    "a list": "[]",
    "threshold a word": '{"record": {"settings": {"threshold": "high"}}}',
    "threshold NaN": '{"record": {"settings": {"threshold": NaN}}}',
    "threshold 7": '{"record": {"settings": {"threshold": 7}}}',
    "nested 100000 deep": "[" * 100000,
    "Latin-1": "\xfc",
}.items():

    def _beside(world: World, folder: Path, text: str = _summary) -> Job:
        """The summary beside the map is damaged: the threshold is the usual one."""
        shutil.copy(world.map_path, folder / "map.nii.gz")
        (folder / "summary.json").write_bytes(text.encode("latin-1"))

        def half() -> None:
            settings = json.loads((folder / "out" / "summary.json").read_text())["record"]["settings"]
            assert settings["threshold"] == 0.5, settings

        return Job(_refine(world, folder, map=folder / "map.nii.gz"), None, half)

    TABLE.add(f"the summary beside the map: {_name}", _beside, short=_name == "threshold NaN")


# Sessions, as the panel and scripts open them.
def _session(
    name: str, damage: Callable[[Path], None], *words: str, good: bool = False, short: bool = False
) -> None:
    def make(world: World, folder: Path) -> Job:
        from DRAMLesionLib.correction.session import CorrectionSession
        from DRAMLesionLib.images.volume import read_ct

        ct = read_ct(world.ct_path)
        session = CorrectionSession(
            ct.array,
            world.phantom.lobes,
            world.phantom.lesion * np.float32(0.9),
            ct.spacing_mm,
            directory=folder / "s",
            ct=ct,
        )
        session.paint(np.array([[20, 20, 12]]), 1)
        session.paint(np.array([[22, 20, 12]]), 2)
        label = session.label
        session.save(folder / "s")
        damage(folder / "s")

        def opened() -> None:
            again = CorrectionSession.load(folder / "s")
            assert len(again.strokes) == 2
            np.testing.assert_array_equal(again.label, label)

        return Job(opened, None if good else words)

    TABLE.add(f"session: {name}", make, short)


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def _header(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "session.json"
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in content.items() if value != "-"}))

    return change


def _flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 4
    path.write_bytes(content)


_session("as it should be", lambda f: None, good=True)
_session("no header", lambda f: (f / "session.json").unlink(), "session")
_session(
    "header cut off", lambda f: (f / "session.json").write_text('{"format": 1,'), "session.json", "backup"
)
_session(
    "header nested too deep",
    lambda f: (f / "session.json").write_text("[" * 100000),
    "session.json",
    short=True,
)
_session("header of a later version", _header(format=99), "later version")
_session("header's format a word", _header(format="new"), "session.json")
_session("header names another file", _header(volumes="../../etc/passwd"), "session.json", short=True)
_session("header's generation a list", _header(generation=[1]), "session.json")
_session("header's generation infinite", _header(generation=float("inf")), "session.json")
_session("header without settings", _header(settings="-"), "session.json")
_session("header without provenance", _header(provenance="-"), "session.json")
_session("header's provenance empty", _header(provenance=[]), "session.json")
_session("header's spacing a word", _header(spacing_mm="wide"), "session.json")
_session("header's spreading unknown", _header(propagation={"magic": 1}), "backup")
_session("header's geometry a list", _header(geometry=[1, 2]), "session.json")
_session("no volumes", lambda f: _only(f, "volumes-*").unlink(), "volumes", "missing")
_session(
    "volumes cut off",
    lambda f: _only(f, "volumes-*").write_bytes(_only(f, "volumes-*").read_bytes()[:1000]),
    "volumes",
    "damaged",
)
_session(
    "a bit of the volumes flipped",
    lambda f: _flip(_only(f, "volumes-*"), 0.5),
    "volumes",
    "damaged",
    short=True,
)
_session("volumes pickled", lambda f: _pickled(_only(f, "volumes-*")), "volumes", "damaged")
_session("no journal", lambda f: _only(f, "journal-*").unlink(), "journal", "missing")
_session("a bit of the journal flipped", lambda f: _flip(_only(f, "journal-*"), 0.2), "journal", "line 1")
_session("journal of text", lambda f: _only(f, "journal-*").write_text("painted\nall\n"), "journal")


def _pickled(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, hu=np.array([{}], object), lobes=np.array([{}], object), start=np.array([{}], object))
