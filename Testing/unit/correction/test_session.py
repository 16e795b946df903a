"""The correction session: what painting changes, and what it never changes."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
from correction_case import LEFT_BLOB, RIGHT_BLOB, SHAPE, SPACING, as_volume, ball, brush, same
from scipy import ndimage

from DRAMLesionLib.correction.correct_case import refine_case
from DRAMLesionLib.correction.propagation import Propagation
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.system.errors import InputError


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
