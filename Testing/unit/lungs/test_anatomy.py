"""Lobes where no person has them are refused; lobes that are absent, small or displaced are not."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images.volume import to_image
from DRAMLesionLib.lungs.anatomy import refuse_impossible
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError

ORDER = (1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((40, 40, 36), (8.8, 8.8, 8.2), seed=5)


def renamed(labels, order):
    """Lobe 1 is called ``order[0]`` and so on; 0 takes it away."""
    return np.array((0, *order), np.uint8)[labels]


def test_lobes_in_their_places_pass_and_no_other_order_of_their_labels(phantom):
    labels = phantom.lobes.labels
    refuse_impossible("lobes", labels)
    for order in itertools.permutations(ORDER):
        if order != ORDER:
            with pytest.raises(InputError, match=r"lobes: its .* lobe lies (below|behind|to the right of)"):
                refuse_impossible("lobes", renamed(labels, order))


@pytest.mark.parametrize(
    ("axis", "said"), [(0, "upside down"), (1, "middle lobe lies behind"), (2, "mirrored")]
)
def test_a_header_that_is_upside_down_turned_or_mirrored_is_refused(phantom, axis, said):
    with pytest.raises(InputError, match=said):
        refuse_impossible("lobes", np.flip(phantom.lobes.labels, axis))


@pytest.mark.parametrize(
    "order",
    [
        (1, 2, 3, 0, 5),  # the middle lobe resected
        (0, 2, 3, 4, 5),  # the left upper lobe resected
        (1, 2, 0, 0, 0),  # the left lung alone
        (0, 0, 3, 4, 5),
        (0, 2, 0, 0, 5),  # a scan of the bases
        (1, 1, 3, 3, 5),  # no fissure seen
        (0, 0, 0, 0, 0),
    ],
)
def test_absent_lobes_are_no_fault(phantom, order):
    refuse_impossible("lobes", renamed(phantom.lobes.labels, order))


def test_a_few_voxels_in_a_wrong_place_are_not_judged(phantom):
    labels = phantom.lobes.labels.copy()
    labels[labels == 1] = 2
    below = np.argwhere(labels == 2)[:20]
    labels[tuple(below.T)] = 1
    refuse_impossible("lobes", labels)


def test_a_displaced_but_possible_lobe_passes(phantom):
    """A left upper lobe that has collapsed to its lowest third, with the lower lobe in its place."""
    labels = phantom.lobes.labels.copy()
    upper = np.argwhere(labels == 1)
    low = upper[:, 0] > np.quantile(upper[:, 0], 0.35)
    labels[tuple(upper[low].T)] = 2
    assert (labels == 1).sum() > 0.02 * (labels > 0).sum()
    refuse_impossible("lobes", labels)


@pytest.mark.parametrize("order", [(2, 1, 3, 4, 5), (1, 2, 3, 5, 4), (1, 4, 2, 5, 3), (5, 4, 3, 2, 1)])
@pytest.mark.parametrize("allow_missing", [False, True])
def test_a_file_in_another_order_is_refused_by_its_name(tmp_path, phantom, order, allow_missing):
    path = tmp_path / "sorted.nii.gz"
    sitk.WriteImage(to_image(renamed(phantom.lobes.labels, order), phantom.ct), str(path))
    with pytest.raises(InputError, match=r"sorted\.nii\.gz: its .*make the lobes again from this CT"):
        read_lobes(path, phantom.ct, allow_missing=allow_missing)
