"""The models that ship find what a phantom holds, in bounds that a damaged model breaks."""

import numpy as np
import pytest
import torch

from DRAMLesionLib.lesions.find import find_lesions
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.run_models import load_case_models
from DRAMLesionLib.phantom import make_phantom, save_phantom

MILD, SEVERE = (2.0, 6.0, 0.0, 0.0, 8.0), (40.0, 65.0, 25.0, 10.0, 80.0)
"""Percentages of the lobes."""
BOUNDS = {MILD: (0.35, 3.0), SEVERE: (0.6, 12.0)}
"""The least IoU of the mask, and the largest mean error of the lobes' percentages, in points."""


@pytest.fixture(scope="module")
def models():
    return load_case_models()


@pytest.fixture(scope="module", params=[MILD, SEVERE], ids=["mild", "severe"])
def case(request, tmp_path_factory):
    """A phantom, and the folder that holds its lobes."""
    phantom = make_phantom((96, 96, 60), (3.6, 3.6, 4.6), seed=21, severity=request.param)
    folder = tmp_path_factory.mktemp("phantom")
    save_phantom(phantom, folder)
    return phantom, folder, BOUNDS[request.param]


def scores(models, phantom, options: Options) -> tuple[float, float]:
    """IoU of the mask, and the mean error of the lobes' percentages in points."""
    mask, truth, lobes = (
        find_lesions(phantom.ct, models, options).lesion > 0,
        phantom.lesion > 0,
        phantom.lobes.labels,
    )
    percent = [100 * mask[lobes == lobe].mean() for lobe in range(1, 6)]
    iou = np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)
    return float(iou), float(np.abs(np.subtract(percent, phantom.percent)).mean())


def test_lobes_that_are_given(models, case):
    phantom, folder, (least, most) = case
    iou, error = scores(models, phantom, Options(lobes=folder / "lobes.nii.gz"))
    assert iou >= least and error <= most, (iou, error)


def test_lobes_that_are_built_in(models, case):
    phantom, _, (least, most) = case
    iou, error = scores(models, phantom, Options())
    assert iou >= 0.7 * least and error <= 1.3 * most, (iou, error)


@pytest.mark.parametrize("damage", ["shuffled", "halved"])
@pytest.mark.parametrize("case", [SEVERE], ids=["severe"], indirect=True)
def test_a_damaged_network_leaves_the_bounds(models, case, damage):
    phantom, folder, (least, most) = case
    state = {name: values.clone() for name, values in models.final.network.state_dict().items()}
    kernels = [name for name, values in state.items() if values.ndim == 5]
    broken = dict(state)
    for name in kernels[:3]:
        order = torch.randperm(len(state[name]), generator=torch.Generator().manual_seed(0))
        broken[name] = state[name][order] if damage == "shuffled" else state[name] / 2
    try:
        models.final.network.load_state_dict(broken)
        iou, error = scores(models, phantom, Options(lobes=folder / "lobes.nii.gz"))
    finally:
        models.final.network.load_state_dict(state)
    assert iou < least or error > most, (iou, error)
