"""What the record says of painting, on the lesion's node."""

from types import SimpleNamespace

import numpy as np


def test_a_record_that_was_saved_with_strokes_forgets_them_when_they_are_taken_back(module):
    from DRAMLesionLib.correction.segment.saved_strokes import record_with

    stroke = SimpleNamespace(voxels=np.ones((2, 2), bool))
    saved = record_with({"model": "tiny"}, [stroke, stroke])
    assert saved == {"model": "tiny", "correction": {"strokes": 2, "painted_voxels": 8}}
    assert record_with(saved, []) == {"model": "tiny"}
