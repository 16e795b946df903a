"""Batches: lists of cases by the command, odd cases and damaged folders in this process."""

import json
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from harness import Job, Table
from world import World, write

from DRAMLesionLib.batch import segment_batch
from DRAMLesionLib.batch.segmenter import prepare, segment
from DRAMLesionLib.batch.work import do_case

TABLE = Table("batches")


class _Here:
    """A pool that does each case at once, as a worker would."""

    window = 1

    def __init__(self, job: Any) -> None:
        self._job, self._done = job, []
        self._checksum = prepare(job.options)

    def submit(self, case: Any, attempt: int) -> None:
        self._done.append((case, do_case(case, self._job, segment, self._checksum)))

    def finished(self, timeout_s: float) -> list[Any]:
        done, self._done = self._done, []
        return done


@contextmanager
def _here(job: Any) -> Any:
    yield _Here(job)


def _options(world: World) -> dict[str, Any]:
    return {
        "model": str(world.model),
        "device": "cpu",
        "crf": False,
        "with_scene": False,
        "allow_missing_lobes": False,
    }


def _cases(
    name: str,
    fill: Callable[[World, Path], object],
    failing: dict[str, str],
    done: int,
    *,
    source: str = "in",
    short: bool = False,
    **more: Any,
) -> None:
    """A batch whose cases end as told: the failing ones by a word of their reasons."""

    def make(world: World, folder: Path) -> Job:
        (folder / "in").mkdir()
        fill(world, folder / "in")

        def run() -> None:
            result = segment_batch(
                folder / source,
                folder / "out",
                open_pool=_here,
                options=_options(world),
                with_report=False,
                **more,
            )
            assert result.statuses["done"] == done, (result.statuses, result.failures)
            assert set(result.failures) == set(failing), result.failures
            for case, word in failing.items():
                reason = result.failures[case]
                assert word in reason and "\n" not in reason, reason
                assert not (folder / "out" / "cases" / case).exists()
            lines = (folder / "out" / "manifest.csv").read_text().splitlines()
            assert len(lines) == 1 + done + len(failing), lines

        return Job(run)

    TABLE.add(name, make, short)


def _mixed(world: World, folder: Path) -> None:
    shutil.copy(world.ct_path, folder / "good_ct.nii.gz")
    (folder / "cut_ct.nii.gz").write_bytes(world.ct_path.read_bytes()[:4000])
    (folder / "text_ct.nrrd").write_text("hello")
    write(world.ct[:, :, 20:21], folder / "slice_ct.nrrd")
    write(world.image((world.hu + 1024).astype(np.uint16)), folder / "offset_ct.nrrd")
    (folder / "empty_ct.nii.gz").touch()


_cases(
    "one good among five bad",
    _mixed,
    {
        "cut": "truncated",
        "text": "not an image",
        "slice": "single slice",
        "offset": "subtract 1024",
        "empty": "empty",
    },
    1,
    short=True,
)
_cases(
    "odd names",
    lambda w, f: (
        [shutil.copy(w.ct_path, f / n) for n in ("Ü ä_ct.nii.gz", "a b_ct.nii.gz", "x;y,z_ct.nii.gz")]
    ),
    {},
    3,
)
_cases(
    "links that lead nowhere",
    lambda w, f: (((f / "a_ct.nii.gz").symlink_to(f / "gone"), shutil.copy(w.ct_path, f / "b_ct.nii.gz"))),
    {"a": "not there"},
    1,
)


def _csv(name: str, text: str | bytes, *words: str, short: bool = False, more: tuple[Any, ...] = ()) -> None:
    def make(world: World, folder: Path) -> Job:
        (folder / "cases.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return Job(
            ("batch", folder / "cases.csv", folder / "out", "--workers", "1", "--no-scene", *more), words
        )

    TABLE.add(f"CSV: {name}", make, short)


_csv("empty", "", "cases.csv", "image")
_csv("header alone", "image,lobes\n", "cases.csv", "no CT")
_csv("no column image", "file\na.nii.gz\n", "cases.csv", "image", short=True)
_csv("an empty cell", "image,name\n,a\n", "cases.csv", "line 2")
_csv("a name twice", "image,name\na.nii.gz,x\nb.nii.gz,x\n", "x", "two cases")
_csv("a name with slashes", "image,name\na.nii.gz,../../x\n", "cases.csv", "../../x", short=True)
_csv("Latin-1", "image\nMüller.nii.gz\n".encode("latin-1"), "cases.csv", "UTF-8")
_csv("an Excel file", b"PK\3\4" + bytes(range(256)) * 10, "cases.csv")
_csv("a cell of a million characters", "image\n" + "x" * 1000000 + "\n", "cases.csv", short=True)
_csv("null bytes", b"image\na\0b.nii.gz\n", "cases.csv")
_csv("lobes by a wrong pattern", "image\na.nii.gz\n", "--lobes", more=("--lobes", "{patient}.nii.gz"))
_csv("lobes by an attribute", "image\na.nii.gz\n", "--lobes", more=("--lobes", "{name.secret}.nii.gz"))
_csv("lobes by an open bracket", "image\na.nii.gz\n", "--lobes", more=("--lobes", "{name"))


@TABLE.case("an empty folder")
def _(world: World, folder: Path) -> Job:
    (folder / "in").mkdir()
    return Job(("batch", folder / "in", folder / "out"), ("in", "no CT"))


@TABLE.case("no such folder")
def _(world: World, folder: Path) -> Job:
    return Job(("batch", folder / "gone", folder / "out"), ("gone",))


@TABLE.case("an unknown model")
def _(world: World, folder: Path) -> Job:
    (folder / "in").mkdir()
    shutil.copy(world.ct_path, folder / "in" / "a_ct.nii.gz")
    run = ("batch", folder / "in", folder / "out", "--model", "nowhere", "--workers", "1")
    return Job(run, ("nowhere",))


def _earlier(
    name: str, damage: Callable[[Path], object], *words: str, kept: int | None = None, short: bool = False
) -> None:
    """A batch that goes on after its folder was damaged."""

    def make(world: World, folder: Path) -> Job:
        (folder / "in").mkdir()
        for case in "ab":
            shutil.copy(world.ct_path, folder / "in" / f"{case}_ct.nii.gz")
        arguments = {"open_pool": _here, "options": _options(world), "with_report": False}
        segment_batch(folder / "in", folder / "out", **arguments)
        damage(folder / "out")

        def again() -> None:
            result = segment_batch(folder / "in", folder / "out", resume=True, **arguments)
            assert result.statuses["done"] == 2 and result.kept == kept, (result.statuses, result.kept)
            assert not (folder / "mine.txt").exists() or (folder / "mine.txt").read_text() == "mine"
            for case in "ab":
                assert (folder / "out" / "cases" / case / "lesion.nii.gz").is_file()

        return Job(again, words if kept is None else None)

    TABLE.add(f"resumed: {name}", make, short)


def _record(case: str) -> str:
    return f"cases/{case}/case.json"


def _append(name: str, content: bytes) -> Callable[[Path], object]:
    def change(out: Path) -> None:
        with (out / name).open("ab") as file:
            file.write(content)

    return change


_earlier("as it was", lambda out: None, kept=2)
_earlier(
    "manifest of something else",
    lambda out: (out / "manifest.csv").write_text("a,b\n1,2\n"),
    "manifest.csv",
)
_earlier("manifest is gone", lambda out: (out / "manifest.csv").unlink(), kept=2)
_earlier("manifest's last line torn", _append("manifest.csv", b"c,done,1,2"), kept=2)
_earlier("manifest's line of garbage", _append("manifest.csv", b"\xff\xfe\0,,,\n"), kept=2)
_earlier(
    "manifest's line with a word for a number",
    _append("manifest.csv", b"a,crashed,many,0,0,,,,,\n"),
    kept=2,
    short=True,
)
_earlier("manifest's quote that never ends", _append("manifest.csv", b'"a,done\n'), kept=2)
_earlier("manifest's cell of a million characters", _append("manifest.csv", b"x" * 1000000 + b"\n"), kept=2)
_earlier("a record that is no JSON", lambda out: (out / _record("a")).write_text("{"), kept=1)
_earlier(
    "a record nested 100000 deep",
    lambda out: (out / _record("a")).write_text("[" * 100000),
    kept=1,
    short=True,
)
_earlier(
    "a record without its run",
    lambda out: (out / _record("a")).write_text('{"case": "a", "outputs": {}}'),
    kept=1,
)
_earlier(
    "a record whose outputs are numbers",
    lambda out: (out / _record("a")).write_text(
        '{"case": "a", "outputs": {"x": 5}, "run": "", "made_with": ""}'
    ),
    kept=1,
)
_earlier("a record that names files elsewhere", lambda out: _elsewhere(out), kept=1)
_earlier("a result is damaged", lambda out: (out / "cases/a/lesion.nii.gz").write_bytes(b"x"), kept=1)
_earlier("a result is gone", lambda out: (out / "cases/a/lobes.csv").unlink(), kept=1)
_earlier("key of garbage", lambda out: (out / "key.csv").write_bytes(b"\xff\xfe\0"), "key.csv")
_earlier("key without its columns", lambda out: (out / "key.csv").write_text("a,b\n1,2\n"), kept=2)
_earlier(
    "key with a line too short",
    lambda out: (out / "key.csv").write_text("case,image,series\nx\n"),
    kept=2,
)


def _elsewhere(out: Path) -> None:
    mine = out.parent / "mine.txt"
    mine.write_text("mine")
    record = json.loads((out / _record("a")).read_text())
    record["outputs"] = {"../../../mine.txt": "0" * 64}
    (out / _record("a")).write_text(json.dumps(record))
