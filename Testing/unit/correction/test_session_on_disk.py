"""The correction session on disk: what survives a crash, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from correction_case import LEFT_BLOB, RIGHT_BLOB, SHAPE, SPACING, as_volume, ball, make_case, same

from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.images.volume import Geometry
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.system.errors import InputError


def test_a_saved_session_comes_back_with_its_steps(session, case, tmp_path):
    session.paint(LEFT_BLOB, 1)
    session.paint(RIGHT_BLOB, 2)
    session.undo()
    session.save(tmp_path / "a")
    again = CorrectionSession.load(tmp_path / "a")
    assert same(again, session)
    assert (again.probability == session.probability).all()
    for step in ("redo", "undo", "undo"):
        getattr(session, step)()
        getattr(again, step)()
        assert same(again, session)
    session.paint(LEFT_BLOB, 2)  # the copy in the folder doesn't follow, the loaded session does
    assert CorrectionSession.load(tmp_path / "a").edits.any() == again.edits.any()
    again.paint(RIGHT_BLOB, 1)
    assert same(CorrectionSession.load(tmp_path / "a"), again)


def test_each_step_is_on_disk_when_it_returns(case, tmp_path):
    session = CorrectionSession(*case, SPACING, directory=tmp_path / "s", provenance={"model": "m", "n": 1})
    steps = [
        lambda: session.paint(LEFT_BLOB, 1),
        lambda: session.paint(RIGHT_BLOB, 2),
        session.undo,
        session.redo,
        session.undo,
        lambda: session.paint(RIGHT_BLOB[:1], 1),
        lambda: session.replace_probability(case[2] * 0.9, {"model": "second"}),
        lambda: session.paint(RIGHT_BLOB, 0),
        session.undo,
    ]
    for step in steps:
        step()
        again = CorrectionSession.load(tmp_path / "s")
        assert same(again, session)
        assert (again.can_undo, again.can_redo) == (session.can_undo, session.can_redo)
        assert again.provenance == session.provenance
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names == {"session.json", "volumes-2.npz", "journal-2.jsonl", "label.npz"}
    header = json.loads((tmp_path / "s" / "session.json").read_text())
    assert [made["model"] for made in header["provenance"]] == ["m", "second"]
    assert header["software"].startswith("DRAMLesion ")


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from correction_case import LEFT_BLOB, RIGHT_BLOB, SPACING, make_case
from DRAMLesionLib.correction.session import CorrectionSession
session = CorrectionSession(*make_case(), SPACING, directory=sys.argv[1])
session.paint(LEFT_BLOB, 1)
session.paint(RIGHT_BLOB, 2)
session.undo()
print("two strokes and an undo", flush=True)
for step in range(10_000):
    session.paint(np.array([[16, 22, 6 + step % 50]]), 1 + step % 2)
    print(step + 1, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_nothing_that_returned_is_lost_when_the_process_is_killed(tmp_path):
    folder, here = tmp_path / "s", Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(here.parents[2])}
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), str(here)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "two strokes and an undo\n"
    seen = [int(child.stdout.readline()) for _ in range(6)]
    child.kill()
    seen += [int(line) for line in child.stdout.read().split()]
    child.wait()
    again = CorrectionSession.load(folder)
    made = len(again.strokes) - 1  # the first stroke stands, the second was undone and overwritten
    assert made in (seen[-1], seen[-1] + 1)
    expected = np.zeros(SHAPE, np.uint8)
    expected[tuple(LEFT_BLOB.T)] = 1
    for step in range(made):
        expected[16, 22, 6 + step % 50] = 1 + step % 2
    assert (again.edits == expected).all()
    fresh = CorrectionSession(*make_case(), SPACING)
    for stroke in again.strokes:
        fresh.paint(np.argwhere(stroke.voxels) + [side.start for side in stroke.box], stroke.value)
    assert same(again, fresh)


def saved(case, folder: Path) -> CorrectionSession:
    session = CorrectionSession(*case, SPACING, directory=folder)
    session.paint(LEFT_BLOB, 1)
    session.paint(RIGHT_BLOB, 2)
    return session


def test_a_torn_last_line_is_ignored_wherever_it_was_torn(case, tmp_path):
    session = saved(case, tmp_path)
    journal = tmp_path / "journal-1.jsonl"
    whole = journal.read_bytes()
    first = whole.index(b"\n") + 1
    session.undo()
    for end in (first + 1, first + 9, (first + len(whole)) // 2, len(whole) - 1):
        journal.write_bytes(whole[:end])
        again = CorrectionSession.load(tmp_path)
        assert same(again, session)
        assert journal.read_bytes() == whole[:first]
    journal.write_bytes(whole[:-9] + b"\0\0\0\0\0\0\0\0\n")
    again = CorrectionSession.load(tmp_path)
    assert same(again, session)
    again.paint(RIGHT_BLOB, 1)
    assert same(CorrectionSession.load(tmp_path), again)


def damage_line(folder: Path) -> None:
    data = bytearray((folder / "journal-1.jsonl").read_bytes())
    data[40] ^= 1
    (folder / "journal-1.jsonl").write_bytes(data)


def damage_volumes(folder: Path) -> None:
    data = bytearray((folder / "volumes-1.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "volumes-1.npz").write_bytes(data)


def begin_with_undo(folder: Path) -> None:
    lines = (folder / "journal-1.jsonl").read_bytes().splitlines(keepends=True)
    undo = b'{"op":"undo"}'  # valid in itself, but there is nothing to undo yet
    (folder / "journal-1.jsonl").write_bytes(b"%08x %b\n" % (zlib.crc32(undo), undo) + b"".join(lines))


def edit_header(**change):
    def edit(folder: Path) -> None:
        header = json.loads((folder / "session.json").read_text())
        (folder / "session.json").write_text(json.dumps({**header, **change}))

    return edit


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_line, "line 1 is damaged"),
        (damage_volumes, "volumes-1.npz: is damaged"),
        (begin_with_undo, "fit each other"),
        (lambda folder: (folder / "journal-1.jsonl").unlink(), "journal-1.jsonl: is missing"),
        (lambda folder: (folder / "volumes-1.npz").unlink(), "volumes-1.npz: is missing"),
        (lambda folder: (folder / "session.json").unlink(), "holds no correction session"),
        (lambda folder: (folder / "session.json").write_text('{"format": 1'), "session.json: not a session"),
        (lambda folder: (folder / "session.json").write_text("[]"), "session.json: is damaged"),
        (edit_header(format=99), "later version"),
        (edit_header(journal="../journal-1.jsonl"), "session.json: is damaged"),
        (edit_header(propagation={"unknown": 1}), "fit each other"),
        (edit_header(spacing_mm=[1, 2]), "session.json: is damaged"),
        (edit_header(provenance=[]), "session.json: is damaged"),
        (edit_header(geometry=[1, 2]), "session.json: is damaged"),
    ],
)
def test_a_damaged_folder_is_named(case, tmp_path, damage, words):
    saved(case, tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=words) as error:
        CorrectionSession.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_work_in_a_folder_is_never_overwritten_by_another_session(case, session, tmp_path):
    mine = saved(case, tmp_path)
    with pytest.raises(InputError, match="already holds"):
        CorrectionSession(*case, SPACING, directory=tmp_path)
    with pytest.raises(InputError, match="another correction session"):
        session.save(tmp_path)
    mine.save(tmp_path)
    assert same(CorrectionSession.load(tmp_path), mine)


def test_what_cannot_be_saved_does_not_happen(case, tmp_path):
    session = saved(case, tmp_path / "s")
    session.undo()
    label, edits = session.label, session.edits
    (tmp_path / "s").rename(tmp_path / "gone")
    for step in (lambda: session.paint(RIGHT_BLOB, 1), session.undo, session.redo):
        with pytest.raises(OSError):
            step()
    assert (session.label == label).all()
    assert (session.edits == edits).all()
    (tmp_path / "gone").rename(tmp_path / "s")
    session.redo()
    assert same(CorrectionSession.load(tmp_path / "s"), session)


def test_label_and_edits_are_saved_in_the_ct_geometry(case, tmp_path):
    ct = as_volume(case[0])
    session = CorrectionSession(*case, SPACING, ct=ct, directory=tmp_path)
    session.paint(LEFT_BLOB, 1)
    again = CorrectionSession.load(tmp_path)
    again.paint(RIGHT_BLOB[:2], 2)
    again.save(tmp_path)
    for name, array in (("label", again.label), ("edits", again.edits)):
        image = sitk.ReadImage(str(tmp_path / f"{name}.nii.gz"))
        assert Geometry.from_image(image).difference(ct.geometry) is None
        assert (sitk.GetArrayFromImage(image)[:, ::-1, ::-1] == array).all()


def test_lobes_may_come_as_a_lobe_map_and_the_crf_may_run_first(case):
    hu, lobes, probability = case
    plain = CorrectionSession(hu, LobeMap(lobes, False, "test"), probability, SPACING)
    assert same(plain, CorrectionSession(*case, SPACING))
    noisy = np.clip(probability + np.random.default_rng(1).normal(0, 0.25, SHAPE), 0, 1).astype(np.float32)
    truth = ball((16, 22, 17), 12)
    rough = CorrectionSession(hu, lobes, noisy, SPACING).label
    sharp = CorrectionSession(hu, lobes, noisy, SPACING, crf=True).label
    assert (sharp != truth)[lobes == 3].sum() < 0.5 * (rough != truth)[lobes == 3].sum()
