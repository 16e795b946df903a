"""What lies wholly along the mediastinum is no lesion; what reaches the chest wall, or is large, may be one."""

import numpy as np
import pytest

from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.whole_lungs.hilum import FAINT, note_hilum, take_hilum_off

SPACING = (2.5, 2.5, 2.5)
HILAR = (slice(22, 26), slice(22, 26), slice(34, 38))
PERIPHERAL = (slice(22, 26), slice(22, 26), slice(6, 10))


@pytest.fixture
def labels():
    """Two lungs of 85 x 85 x 120 mm with 30 mm of mediastinum between them."""
    lobes = np.zeros((52, 44, 90), np.uint8)
    lobes[2:50, 5:39, 4:39], lobes[2:50, 5:39, 51:86] = 5, 2
    return lobes


def marked(labels, *places):
    lesion_map = np.where(labels > 0, 0.01, 0).astype(np.float32)
    for place in places:
        lesion_map[place] = 0.9
    return lesion_map


def test_a_finding_at_the_hilum_becomes_faint_and_one_at_the_chest_wall_stays(labels):
    lesion_map = marked(labels, HILAR, PERIPHERAL)
    lesion_map[21, 24, 35] = 0.3  # the finding's own halo
    taken = take_hilum_off(lesion_map, labels, SPACING, 0.5)
    assert taken == pytest.approx(64 * 2.5**3 / 1000)
    assert lesion_map[HILAR].max() == lesion_map[21, 24, 35] == np.float32(FAINT)
    assert lesion_map[PERIPHERAL].min() == np.float32(0.9)


def test_the_left_hilum_counts_as_the_right_one(labels):
    left = (HILAR[0], HILAR[1], slice(52, 56))
    lesion_map = marked(labels, left)
    assert take_hilum_off(lesion_map, labels, SPACING, 0.5) > 0
    assert lesion_map.max() == np.float32(FAINT)


@pytest.mark.parametrize(
    "place",
    [
        (slice(22, 26), slice(22, 26), slice(20, 38)),  # most of it far from the mediastinum
        (slice(2, 26), slice(22, 26), slice(36, 39)),  # down to the diaphragm
        (slice(22, 26), slice(33, 39), slice(36, 39)),  # beside the spine, at the back
        (slice(8, 44), slice(10, 34), slice(34, 39)),  # 67 mL
    ],
)
def test_what_is_no_bundle_at_the_hilum_stays(labels, place):
    lesion_map = marked(labels, place)
    before = lesion_map.copy()
    assert take_hilum_off(lesion_map, labels, SPACING, 0.5) == 0
    np.testing.assert_array_equal(lesion_map, before)


def test_the_edge_of_a_lesion_beside_it_does_not_fade(labels):
    lesion = (HILAR[0], HILAR[1], slice(8, 32))
    lesion_map = marked(labels, HILAR, lesion)
    lesion_map[22:26, 22:26, 32] = 0.4
    lesion_map[22:26, 22:26, 33] = 0.3
    take_hilum_off(lesion_map, labels, SPACING, 0.5)
    assert lesion_map[lesion].min() == np.float32(0.9)
    assert lesion_map[24, 24, 32] == np.float32(0.4)
    assert lesion_map[24, 24, 33] == lesion_map[24, 24, 35] == np.float32(FAINT)


def test_one_lung_alone_has_no_mediastinum(labels):
    labels[labels == 2] = 0
    lesion_map = marked(labels, HILAR)
    assert take_hilum_off(lesion_map, labels, SPACING, 0.5) == 0
    assert lesion_map[HILAR].min() == np.float32(0.9)


def test_a_reader_is_told_of_a_millilitre_or_more():
    notes: list[str] = []
    note_hilum(0.4, notes)
    note_hilum(2.34, None)
    assert not notes
    note_hilum(2.34, notes)
    assert len(notes) == 1 and "2.3 mL" in notes[0] and "hilum" in notes[0]


def test_a_model_that_says_so_marks_nothing_at_the_hilum(labels):
    """The network repeats its input: what is dense is lesion."""
    import torch

    class Echo(torch.nn.Module):
        def forward(self, patches):
            return 20 * (patches - 0.5)

    hu = np.full(labels.shape, -990, np.int16)
    hu[HILAR] = hu[PERIPHERAL] = 0
    how = {"spacing_mm": SPACING, "hu_window": (-1000.0, 0.0), "lobes_only": True}
    found = {}
    for without in (False, True):
        description = SegmentationDescription(**how, without_hilum=without)
        notes: list[str] = []
        found[without] = predict_lesion(Echo(), description, hu, labels, SPACING, flips=False, notes=notes)
        assert bool(notes) == without
    inner = tuple(slice(side.start + 1, side.stop - 1) for side in HILAR)
    assert found[False][inner].min() > 0.5 > found[True][HILAR].max()
    assert (found[True] > 0.5)[PERIPHERAL].any()
    assert not SegmentationDescription.from_dict({}, "a").without_hilum
