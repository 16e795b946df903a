"""Threshold rules of the pseudo label."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.pseudo_label import otsu_threshold, pseudo_label


def lobes() -> np.ndarray:
    return np.repeat(np.arange(6, dtype=np.uint8), 100).reshape(6, 10, 10)


def test_fixed_cuts_inside_the_lobes_only():
    lesion_map = np.full((6, 10, 10), 0.6, np.float32)
    label = pseudo_label(lesion_map, lobes())
    assert label.dtype == np.uint8
    assert not label[0].any() and label[1:].all()
    assert not pseudo_label(lesion_map, lobes(), threshold=0.7).any()


def test_a_lobe_without_lesion_stays_empty_by_every_rule():
    lesion_map = np.random.default_rng(0).random((6, 10, 10), np.float32)
    for rule in ("fixed", "otsu", "quantile"):
        label = pseudo_label(lesion_map, lobes(), [0, 10, None, 0, 50], rule=rule)
        assert not label[1].any() and not label[4].any()
        assert label[2].any() and label[3].any() and label[5].any()


@settings(max_examples=40, deadline=None)
@given(percent=st.lists(st.floats(0, 100), min_size=5, max_size=5), levels=st.integers(1, 30))
def test_quantile_gives_the_known_percentage_also_with_ties(percent, levels):
    lesion_map = np.random.default_rng(1).integers(0, levels, (6, 10, 10)).astype(np.float32) / levels
    label = pseudo_label(lesion_map, lobes(), percent, rule="quantile")
    for lobe, value in enumerate(percent, 1):
        assert label[lobe].sum() == round(value)
        if 0 < label[lobe].sum() < 100:
            assert lesion_map[lobe][label[lobe] > 0].min() >= lesion_map[lobe][label[lobe] == 0].max()


def test_otsu_separates_two_classes():
    values = np.concatenate([np.full(300, 0.1), np.full(50, 0.8)]).astype(np.float32)
    assert 0.1 <= otsu_threshold(values) < 0.8
    assert (values > otsu_threshold(values)).sum() == 50
    assert otsu_threshold(np.full(5, 0.3, np.float32)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rule": "median"}, "median"),
        ({"percent": [1, 2, 3]}, "3 entries"),
        ({"percent": [1, 2, 3, 4, 101]}, "RLL"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(InputError, match=named):
        pseudo_label(np.zeros((6, 10, 10), np.float32), lobes(), **arguments)


def test_shapes_that_differ_are_named():
    with pytest.raises(InputError, match=r"\(2, 2, 2\)"):
        pseudo_label(np.zeros((2, 2, 2), np.float32), lobes())
