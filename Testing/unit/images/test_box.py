"""Boxes of labels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DRAMLesionLib.images.box import label_boxes


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 9)] * 3), seed=st.integers(0, 99), rare=st.booleans())
def test_boxes_of_labels_are_scipys(shape, seed, rare):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(shape) < (0.02 if rare else 0.5), rng.integers(0, 8, shape), 0)
    labels = labels.astype(np.uint8)
    assert label_boxes(labels, 7) == ndimage.find_objects(labels, max_label=7)
    assert label_boxes(labels.astype(np.int16), 7) == ndimage.find_objects(labels, max_label=7)
    assert label_boxes(np.where(labels == 7, 300, labels), 6) == ndimage.find_objects(labels, max_label=6)
    assert label_boxes(labels[:, ::-1], 5) == ndimage.find_objects(labels[:, ::-1], max_label=5)
