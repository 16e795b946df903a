"""Strokes, exact differences, and the pieces that a file of edits is painted in."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from DRAMLesionLib.correction.strokes import Change, History, pieces, read_stroke
from DRAMLesionLib.system.errors import InputError

SHAPE = (5, 7, 6)
masks = arrays(bool, SHAPE).filter(lambda mask: mask.any())
bytes_of_shape = arrays(np.uint8, SHAPE)


def full(stroke) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[stroke.box] = stroke.voxels
    return mask


@settings(deadline=None)
@given(masks)
def test_all_kinds_of_voxels_give_the_same_stroke(mask):
    for voxels in (mask, np.argwhere(mask), np.nonzero(mask), np.argwhere(mask)[::-1].astype(np.int32)):
        stroke = read_stroke(voxels, 1, SHAPE)
        assert (full(stroke) == mask).all()
        assert all(stroke.voxels.any(axis=other).any() for other in range(3))
        for axis, side in enumerate(stroke.box):  # the box is tight
            hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            assert (side.start, side.stop) == (hit[0], hit[-1] + 1)


def test_a_stroke_keeps_its_own_copy():
    mask = np.ones(SHAPE, bool)
    stroke = read_stroke(mask, 1, SHAPE)
    mask[:] = False
    assert stroke.voxels.all()


@pytest.mark.parametrize(
    ("voxels", "value", "words"),
    [
        (np.zeros(SHAPE, bool), 1, "empty"),
        (np.zeros((0, 3), int), 1, "empty"),
        (([], [], []), 1, "empty"),
        (np.ones((5, 7, 5), bool), 1, "on the CT's grid"),
        (np.ones((5, 7), bool), 1, "on the CT's grid"),
        (np.array([[0, 0, 6]]), 1, "outside the CT"),
        (np.array([[-1, 0, 0]]), 1, "outside the CT"),
        (np.array([[0.0, 1.0, 2.0]]), 1, "integers"),
        (np.array([[0, 1]]), 1, "integers"),
        (np.ones(SHAPE, np.uint8), 1, "boolean"),
        (([0], [1]), 1, "three index arrays"),
        (([0], [1], [1, 2]), 1, "three index arrays"),
        (np.array([[0, 0, 0]]), 3, "value"),
        (np.array([[0, 0, 0]]), -1, "value"),
        (np.array([[0, 0, 0]]), 1.5, "value"),
        (np.array([[0, 0, 0]]), True, "value"),
        (np.array([[0, 0, 0]]), "1", "value"),
    ],
)
def test_what_cannot_be_painted_is_named(voxels, value, words):
    with pytest.raises(InputError, match=words) as error:
        read_stroke(voxels, value, SHAPE)
    assert "\n" not in str(error.value)
    assert ": " in str(error.value)


@given(masks, bytes_of_shape, bytes_of_shape, st.integers(0, 2))
@settings(max_examples=60)
def test_a_change_is_exact_both_ways_and_through_json(mask, before, after, value):
    stroke = read_stroke(mask, value, SHAPE)
    whole = (slice(0, 5), slice(0, 7), slice(0, 6))
    edits_before, edits_after = before % 3, np.where(mask, value, before % 3).astype(np.uint8)
    change = Change.between(stroke, whole, after - before, edits_after[stroke.box] - edits_before[stroke.box])
    again = Change.from_record(json.loads(json.dumps(change.to_record())), SHAPE)
    assert (full(again.stroke) == mask).all()
    assert again.stroke.value == value
    for made in (change, again):
        logits, edits = before.view(np.int8).copy(), edits_before.copy()
        made.apply(logits, edits)
        assert (logits.view(np.uint8) == after).all()
        assert (edits == edits_after).all()
        made.revert(logits, edits)
        assert (logits.view(np.uint8) == before).all()
        assert (edits == edits_before).all()


def record() -> dict:
    stroke = read_stroke(np.array([[1, 1, 1], [2, 3, 1]]), 1, SHAPE)
    difference = np.ones((2, 3, 1), np.uint8)
    return Change.between(stroke, stroke.box, difference, difference).to_record()


@pytest.mark.parametrize(
    "damage",
    [
        {"value": 7},
        {"box": [[0, 5], [0, 7], [0, 99]]},
        {"box": [[0, 2], [0, 2], [0, 2]]},
        {"box": [[0, 5], [0, 7]]},
        {"stroke_box": [[3, 3], [0, 1], [0, 1]]},
        {"stroke_box": None},
        {"voxels": "AAAA"},
        {"belief": "!"},
        {"edits": ""},
    ],
)
def test_a_damaged_record_is_refused(damage):
    assert Change.from_record(record(), SHAPE).stroke.value == 1
    with pytest.raises(ValueError):
        Change.from_record({**record(), **damage}, SHAPE)


@pytest.mark.parametrize(
    "steps", [["undo"], ["redo"], ["paint", "redo"], ["paint", "undo", "undo"], ["dance"]]
)
def test_steps_that_cannot_be_repeated_are_refused(steps):
    history, logits, edits = History(), np.zeros(SHAPE, np.int8), np.zeros(SHAPE, np.uint8)
    with pytest.raises(ValueError):
        for step in steps:
            history.replay({"op": step, **(record() if step == "paint" else {})}, logits, edits)


@given(arrays(np.uint8, (6, 9, 8), elements=st.integers(0, 2)))
@settings(max_examples=40)
def test_pieces_hold_every_painted_voxel_once_and_stay_local(edits):
    spacing = (3.0, 1.0, 2.0)
    painted = np.zeros_like(edits)
    for voxels, value in pieces(edits, spacing, size_mm=4.0):
        extent = (voxels.max(axis=0) - voxels.min(axis=0)) * spacing
        assert (extent < 4.0).all()
        assert not painted[tuple(voxels.T)].any()
        painted[tuple(voxels.T)] = value
    assert (painted == edits).all()
