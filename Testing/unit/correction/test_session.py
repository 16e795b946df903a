"""The correction session: what painting changes, what it never changes, and what survives a crash."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scipy import ndimage

from DRAMLesionLib.correction.correct_case import refine_case
from DRAMLesionLib.correction.propagation import Propagation
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.images.volume import Geometry, Volume
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.system.errors import InputError

SPACING = (2.0, 1.5, 1.5)
SHAPE = (32, 44, 64)
QUICK = Propagation(reach_mm=9.0, distance_mm=5.0)


def make_case(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, lobes and a map of two lungs with ground glass in both, of which the map sees nothing in the left lung."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    lobes = np.zeros(SHAPE, np.uint8)
    inside = (np.abs(z - 15.5) < 14) & (np.abs(y - 21.5) < 19)
    lobes[inside & (x >= 4) & (x < 31)] = 3
    lobes[inside & (x >= 33) & (x < 60)] = 1
    hu = np.where(lobes > 0, -850, 30).astype(np.float32)
    left = (z - 16) ** 2 * 1.8 + (y - 22) ** 2 + (x - 46) ** 2 < 9**2
    right = (z - 16) ** 2 * 1.8 + (y - 22) ** 2 + (x - 17) ** 2 < 9**2
    hu[left | right] = -450
    hu = ndimage.gaussian_filter(hu, 0.7) + rng.normal(0, 25, SHAPE)
    probability = np.where(right, 0.8, 0.15) + rng.normal(0, 0.05, SHAPE)
    return hu.astype(np.int16), lobes, np.clip(probability, 0, 1).astype(np.float32)


def ball(centre, radius: float) -> np.ndarray:
    grid = np.indices(SHAPE)
    away = sum(((grid[axis] - centre[axis]) * SPACING[axis]) ** 2 for axis in range(3))
    return away <= radius**2


def brush(y: int, x_values: range) -> np.ndarray:
    """Voxels (n, 3) of a brush of 5 mm drawn along x in the middle slice."""
    return np.argwhere(np.any([ball((16, y, x), 2.5) for x in x_values], axis=0))


LEFT_BLOB = brush(22, range(42, 51))
RIGHT_BLOB = brush(22, range(13, 22))


@pytest.fixture(scope="module")
def case():
    return make_case()


@pytest.fixture
def session(case) -> CorrectionSession:
    return CorrectionSession(*case, SPACING)


def same(one: CorrectionSession, other: CorrectionSession) -> bool:
    return bool((one.label == other.label).all() and (one.edits == other.edits).all())


# --- what a stroke does


def test_the_label_begins_as_the_map_cut_at_the_threshold_inside_the_lobes(case):
    hu, lobes, probability = case
    for threshold in (0.1, 0.5, 0.8):
        start = CorrectionSession(hu, lobes, probability, SPACING, threshold=threshold)
        assert (start.label == ((probability > threshold) & (lobes > 0))).all()
        assert not start.edits.any()


def test_values_at_the_threshold_are_cut_as_the_map_itself_is(case):
    hu, lobes, _ = case
    near = np.nextafter(np.float32(0.3), np.float32([0, 1]))
    for value in (0.0, 1.0, 0.3, *near):
        constant = np.full(SHAPE, value, np.float32)
        start = CorrectionSession(hu, lobes, constant, SPACING, threshold=0.3)
        assert (start.label == ((constant > 0.3) & (lobes > 0))).all()


def test_a_label_of_ones_own_can_be_corrected(case):
    hu, lobes, probability = case
    own = np.zeros(SHAPE, np.uint8)
    own[3:6, 3:9, 2:20] = 1  # in part outside the lobes
    start = CorrectionSession(hu, lobes, probability, SPACING, label=own)
    assert (start.label == own).all()
    start.paint(LEFT_BLOB, 1)
    far = ball((16, 22, 46), 40) == 0
    assert (start.label[far] == own[far]).all()


def test_a_lesion_stroke_pulls_in_the_ground_glass_around_it(session, case):
    blob = ball((16, 22, 46), 10)
    assert session.label[blob].mean() < 0.05
    session.paint(LEFT_BLOB, 1)
    assert session.label[blob].mean() > 0.9
    normal = (case[1] == 1) & ~ball((16, 22, 46), 16)
    assert session.label[normal].mean() < 0.01


def test_a_not_lesion_stroke_removes_what_looks_like_it(session):
    blob = ball((16, 22, 17), 10)
    assert session.label[blob].mean() > 0.95
    session.paint(RIGHT_BLOB, 2)
    assert session.label[blob].mean() < 0.1


def test_nothing_spreads_into_the_other_lung(session, case):
    before = session.label
    session.paint(np.array([[16, 22, 34]]), 1)
    assert (session.label[case[1] == 3] == before[case[1] == 3]).all()


def test_what_is_far_from_the_stroke_and_outside_the_returned_box_is_unchanged(session):
    before, logits = session.label, session.probability
    (box, label) = session.paint(LEFT_BLOB, 1)
    outside = np.ones(SHAPE, bool)
    outside[box] = False
    painted = np.zeros(SHAPE, bool)
    painted[tuple(LEFT_BLOB.T)] = True
    far = ndimage.distance_transform_edt(~painted, sampling=SPACING) > Propagation().reach_mm
    assert far.any()
    assert not painted[outside].any()
    for kept in (outside, far):
        assert (session.label[kept] == before[kept]).all()
        assert (session.probability[kept] == logits[kept]).all()
    assert (session.label[box] == label).all()
    label[:] = 7  # a copy: the session doesn't see it
    assert session.label.max() == 1


def test_painted_voxels_win_over_everything_and_the_later_stroke_wins(session):
    rng = np.random.default_rng(3)
    expected = np.zeros(SHAPE, np.uint8)
    for step in range(12):
        centre, value = rng.integers((8, 8, 8), (24, 36, 56)), 1 + step % 2
        mask = ball(centre, 5)
        session.paint(mask, value)
        expected[mask] = value
        assert (session.edits == expected).all()
        assert (session.label[expected == 1] == 1).all()
        assert (session.label[expected == 2] == 0).all()


def test_outside_the_lobes_painted_voxels_are_kept_and_nothing_spreads(session, case):
    before, voxel = session.label, np.array([[1, 1, 1], [1, 1, 2]])
    box, label = session.paint(voxel, 1)
    assert label.tolist() == [[[1, 1]]]
    changed = np.argwhere(session.label != before)
    assert (changed == voxel).all()
    assert box == (slice(1, 2), slice(1, 2), slice(1, 3))


def test_forgetting_the_only_stroke_restores_the_map_near_it(session):
    before = session.label
    session.paint(LEFT_BLOB, 1)
    assert (session.label != before).sum() > 500
    session.paint(LEFT_BLOB, 0)
    assert not session.edits.any()
    assert (session.label != before).sum() < 30
    session.undo()
    assert session.edits.any()


def test_forgetting_one_stroke_keeps_what_another_taught(session):
    session.paint(LEFT_BLOB, 1)
    session.paint(RIGHT_BLOB, 2)
    session.paint(RIGHT_BLOB, 0)
    assert session.label[ball((16, 22, 46), 8)].mean() > 0.9
    assert session.label[ball((16, 22, 17), 8)].mean() > 0.9


def test_an_earlier_stroke_is_not_undone_by_one_that_looks_alike(session):
    """Half of the blob is lesion, half is not: both strokes stand, and each owns its neighbourhood."""
    session.paint(brush(16, range(42, 51)), 1)
    session.paint(brush(28, range(42, 51)), 2)
    assert session.label[14:19, 15:18, 43:50].mean() > 0.9
    assert session.label[14:19, 27:30, 43:50].mean() < 0.1


def test_the_map_for_display_agrees_with_the_label(session, case):
    session.paint(LEFT_BLOB, 1)
    session.paint(RIGHT_BLOB[:2], 2)
    shown = session.probability
    assert shown.dtype == np.float32
    assert ((shown > 0.5) == (session.label == 1)).all()
    assert (shown[case[1] == 0] == 0).all()
    still = ~session.changed & (case[1] > 0) & (np.abs(case[2] - 0.5) < 0.45)
    assert np.abs(shown - case[2])[still].max() < 0.02


# --- steps


def test_undo_and_redo_step_exactly(session):
    states, rng = [(session.label, session.edits)], np.random.default_rng(0)
    for step in range(8):
        session.paint(ball(rng.integers((8, 8, 8), (24, 36, 56)), 4), (1, 2, 0)[step % 3])
        states.append((session.label, session.edits))
    for direction in (session.undo, session.redo, session.undo):
        walk = reversed(states[:-1]) if direction == session.undo else iter(states[1:])
        for label, edits in walk:
            before = session.label
            box, part = direction()
            assert (session.label == label).all()
            assert (session.edits == edits).all()
            assert (part == label[box]).all()
            before[box] = part
            assert (before == label).all()
        assert direction() is None
    session.redo()
    session.paint(LEFT_BLOB, 1)
    assert not session.can_redo
    assert session.redo() is None


def test_a_new_map_keeps_all_edits_and_their_steps(session, case):
    hu, lobes, probability = case
    strokes = [(LEFT_BLOB, 1), (RIGHT_BLOB, 2), (RIGHT_BLOB[:2], 1), (LEFT_BLOB[:3], 0)]
    for voxels, value in strokes:
        session.paint(voxels, value)
    edits = session.edits
    session.undo()
    other = np.clip(probability + 0.2, 0, 1)
    session.replace_probability(other, {"model": "second"})
    assert session.provenance["model"] == "second"
    fresh = CorrectionSession(hu, lobes, other, SPACING)
    for voxels, value in strokes[:-1]:
        fresh.paint(voxels, value)
    assert same(session, fresh)
    session.redo()
    assert (session.edits == edits).all()
    while session.undo() is not None:
        pass
    assert (session.label == ((other > 0.5) & (lobes > 0))).all()


def test_a_cancelled_or_bad_new_map_changes_nothing(session, case):
    session.paint(LEFT_BLOB, 1)
    label, edits = session.label, session.edits
    bad = case[2].copy()
    bad[3, 3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        session.replace_probability(bad)

    def stop(stage: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.replace_probability(case[2] * 0, progress=stop)
    assert (session.label == label).all()
    assert (session.edits == edits).all()
    session.undo()
    assert not session.edits.any()


# --- what is refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lobes": np.zeros((3, 3, 3), np.uint8)}, "lobes: shape"),
        ({"lobes": np.full(SHAPE, 9, np.uint8)}, "lobes: values"),
        ({"lobes": np.full(SHAPE, np.nan)}, "lobes: values"),
        ({"probability": np.zeros((3, 3, 3))}, "probability: shape"),
        ({"probability": np.full(SHAPE, np.nan)}, "probability: has NaN"),
        ({"probability": np.full(SHAPE, 55.0)}, "fractions"),
        ({"probability": np.full(SHAPE, -0.1)}, "fractions"),
        ({"hu": np.zeros((4, 4))}, "hu: has shape"),
        ({"hu": np.full(SHAPE, np.inf)}, "hu: has NaN"),
        ({"spacing_mm": (1.0, 1.0)}, "spacing_mm"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "spacing_mm"),
        ({"spacing_mm": None}, "spacing_mm"),
        ({"label": np.full(SHAPE, 2)}, "label: other"),
        ({"label": np.zeros((3, 3, 3))}, "label: shape"),
        ({"threshold": 1.0}, "threshold"),
        ({"provenance": {"model": object()}}, "provenance"),
        ({"crf": True, "probability": np.full(SHAPE, np.nan)}, "probability: has NaN"),
    ],
)
def test_inputs_that_do_not_fit_are_named(case, change, words):
    given = {"hu": case[0], "lobes": case[1], "probability": case[2], "spacing_mm": SPACING}
    with pytest.raises(InputError, match=words) as error:
        CorrectionSession(**{**given, **change})
    assert "\n" not in str(error.value)


def test_a_refused_stroke_changes_nothing(session):
    session.paint(LEFT_BLOB, 1)
    label = session.label
    for voxels, value in ((np.zeros(SHAPE, bool), 1), (np.array([[99, 0, 0]]), 1), (LEFT_BLOB, 5)):
        with pytest.raises(InputError):
            session.paint(voxels, value)
    assert (session.label == label).all()
    assert len(session.strokes) == 1


# --- on disk


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
from test_session import LEFT_BLOB, RIGHT_BLOB, SPACING, make_case
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


def as_volume(hu: np.ndarray) -> Volume:
    """A volume whose file has axes other than the canonical ones."""
    z, y, x = SHAPE
    direction = (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)
    return Volume(hu, SPACING, Geometry((x, y, z), (1.5, 1.5, 2.0), (5.0, -7.0, 9.0), direction), "case")


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


# --- without a viewer


def test_refine_case_does_what_painting_the_same_edits_does(case, tmp_path):
    hu, lobes, probability = case
    ct, lobe_map = as_volume(hu), LobeMap(lobes, False, "test")
    edits = np.zeros(SHAPE, np.uint8)
    edits[tuple(LEFT_BLOB.T)] = 1
    result = refine_case(ct, lobe_map, probability, edits, directory=tmp_path)
    session = CorrectionSession(*case, SPACING)
    start = session.label
    for piece in CorrectionSession.load(tmp_path).strokes:
        session.paint(np.argwhere(piece.voxels) + [side.start for side in piece.box], piece.value)
    assert (result.edits == edits).all()
    assert (result.label == session.label).all()
    assert result.changed == (session.label != start).sum() > 500
    assert ((result.probability > 0.5) == (result.label == 1)).all()
    still = ~session.changed & (lobes > 0)
    assert (result.probability[still] == probability[still]).all()


def test_refine_case_without_edits_keeps_the_map(case):
    hu, lobes, probability = case
    result = refine_case(as_volume(hu), LobeMap(lobes, False, "test"), probability)
    assert (result.probability == np.where(lobes > 0, probability, 0)).all()
    assert (result.strokes, result.changed) == (0, 0)


@pytest.mark.parametrize(
    ("edits", "words"), [(np.zeros((2, 2, 2)), "shape"), (np.full(SHAPE, 3), "0, 1 and 2")]
)
def test_refine_case_refuses_other_edits(case, edits, words):
    with pytest.raises(InputError, match=f"edits: .*{words}"):
        refine_case(as_volume(case[0]), LobeMap(case[1], False, "test"), case[2], edits)


# --- any order of steps, against a model that is nothing but a list of snapshots

SMALL = tuple(slice(4, 20) for _ in range(3))


class Steps(RuleBasedStateMachine):
    """The session against a list of (edits, label) snapshots."""

    @initialize(seed=st.integers(0, 3))
    def begin(self, seed):
        case = make_case(seed)
        self.case = [np.ascontiguousarray(array[:, 10:34, 5:29]) for array in case]
        self.folder = tempfile.TemporaryDirectory()
        self.directory = Path(self.folder.name) / "s"
        self.session = CorrectionSession(*self.case, SPACING, directory=self.directory, propagation=QUICK)
        self.snapshots = [(self.session.edits, self.session.label)]
        self.position = 0
        self.painted: list[tuple[np.ndarray, int]] = []

    @rule(
        corner=st.tuples(st.integers(0, 28), st.integers(0, 20), st.integers(0, 20)),
        size=st.tuples(*[st.integers(1, 4)] * 3),
        value=st.integers(0, 2),
        kind=st.integers(0, 2),
    )
    def paint(self, corner, size, value, kind):
        mask = np.zeros(self.case[0].shape, bool)
        mask[tuple(slice(begin, begin + length) for begin, length in zip(corner, size, strict=True))] = True
        voxels = (mask, np.argwhere(mask), np.nonzero(mask))[kind]
        edits, label = (array.copy() for array in self.snapshots[self.position])
        box, part = self.session.paint(voxels, value)
        edits[mask] = value
        label[box] = part
        del self.snapshots[self.position + 1 :], self.painted[self.position :]
        self.snapshots.append((edits, label))
        self.painted.append((mask, value))
        self.position += 1

    @precondition(lambda self: self.position > 0)
    @rule()
    def undo(self):
        assert self.session.undo() is not None
        self.position -= 1

    @precondition(lambda self: self.position < len(self.painted))
    @rule()
    def redo(self):
        assert self.session.redo() is not None
        self.position += 1

    @rule()
    def at_the_ends_there_is_nothing_to_do(self):
        if self.position == 0:
            assert self.session.undo() is None
        if self.position == len(self.painted):
            assert self.session.redo() is None

    @rule(shift=st.sampled_from([-0.2, 0.1, 0.3]))
    def replace(self, shift):
        probability = np.clip(self.case[2] + shift, 0, 1)
        self.session.replace_probability(probability)
        fresh = CorrectionSession(*self.case[:2], probability, SPACING, propagation=QUICK)
        self.snapshots = [(fresh.edits, fresh.label)]
        for mask, value in self.painted:
            fresh.paint(mask, value)
            self.snapshots.append((fresh.edits, fresh.label))

    @rule()
    def reopen(self):
        self.session = CorrectionSession.load(self.directory)

    @rule()
    def copy_and_open_the_copy(self):
        copy = Path(tempfile.mkdtemp(dir=self.folder.name))
        self.session.save(copy)
        self.session, self.directory = CorrectionSession.load(copy), copy

    @invariant()
    def is_where_the_model_is(self):
        if not hasattr(self, "session"):
            return
        edits, label = self.snapshots[self.position]
        assert (self.session.edits == edits).all()
        assert (self.session.label == label).all()
        assert (label[edits == 1] == 1).all()
        assert (label[edits == 2] == 0).all()
        assert len(self.session.strokes) == self.position

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestSteps = Steps.TestCase
TestSteps.settings = settings(
    max_examples=8, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
)


# --- real data


@pytest.mark.real
def test_on_a_real_ct_one_stroke_corrects_more_than_it_paints(covid_ct):
    read = {
        name: sitk.ReadImage(str(covid_ct / f"case06_{name}.nii.gz")) for name in ("ct", "lobes", "lesion")
    }
    hu, lobes, truth = (sitk.GetArrayFromImage(image) for image in read.values())
    truth = (truth > 0) & (lobes > 0)
    session = CorrectionSession(hu, lobes, np.zeros(hu.shape, np.float32), read["ct"].GetSpacing()[::-1])
    depth = ndimage.distance_transform_edt(truth, sampling=session.spacing_mm)
    centre = np.array(np.unravel_index(depth.argmax(), depth.shape))
    stroke = centre + [[0, 0, step] for step in range(-4, 5)]
    session.paint(stroke, 1)
    found = session.label > 0
    assert (found & truth).sum() > 20 * len(stroke)
    assert (found & truth).sum() > 2 * (found & ~truth).sum()


def test_settings_are_plain_numbers():
    assert all(isinstance(value, int | float) for value in dataclasses.asdict(Propagation()).values())
