"""The CRF within the dRAM's training: where it is undecided, what learns from it, and what is saved of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from DRAMLesionLib.lesions.crf.crf import refine
from DRAMLesionLib.lesions.networks.description import CRFSettings, ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import build_network
from DRAMLesionLib.training.tasks.dram_crf import LAYER, CRFTraining

SHAPE = (1, 1, 8, 10, 12)
NETWORK = NetworkDescription((2, 2, 2, 2, 2, 2))
DESCRIPTION = ModelDescription(spacing_mm=(3.0, 2.0, 2.0), threshold=0.3, network=NETWORK)


def training(mode: str = "target", description: ModelDescription = DESCRIPTION):
    torch.manual_seed(0)
    network = build_network(description)
    return CRFTraining(description, mode, network), network


def lobe() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A map, HU and the mask."""
    chance = torch.Generator().manual_seed(0)
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask[..., :2] = False
    hu = -800 + 300 * torch.rand(SHAPE, generator=chance)
    return torch.rand(SHAPE, generator=chance) * mask, hu, mask


def test_the_threshold_is_where_the_crf_is_undecided():
    crf, _ = training()
    mask = torch.ones(SHAPE, dtype=torch.bool)
    hu = torch.full(SHAPE, -700.0)
    for value, way in ((0.3, 0), (0.35, 1), (0.25, -1)):
        moved = crf.target(torch.full(SHAPE, value), hu, mask) - value
        assert (moved.sign() == way).all() if way else moved.abs().max() < 1e-4


def test_in_training_the_crf_is_that_of_daily_use():
    """Also off 0.5: shifted by the threshold, with the spacing and the settings of the model."""
    settings = CRFSettings(3, 4.0, 7.0, 60.0, 1.0, 3.0)
    description = replace(DESCRIPTION, crf=settings)
    crf, _ = training("target", description)
    refined, hu, mask = lobe()
    shift = np.log(0.3 / 0.7)
    logits = torch.logit(refined.clamp(1e-4, 1 - 1e-4)) - shift
    daily = refine(
        torch.sigmoid(logits)[0, 0].numpy(),
        hu[0, 0].numpy(),
        description.spacing_mm,
        mask[0, 0].numpy(),
        iterations=3,
        gaussian_mm=4.0,
        bilateral_mm=7.0,
        bilateral_hu=60.0,
        gaussian_weight=1.0,
        bilateral_weight=3.0,
    )
    expected = torch.sigmoid(torch.logit(torch.from_numpy(daily), 1e-6) + shift)
    inside = mask[0, 0]
    found = crf.target(refined, hu, mask)[0, 0]
    assert (found - refined[0, 0])[inside].abs().max() > 0.05
    torch.testing.assert_close(found[inside], expected[inside].float(), atol=0.02, rtol=0)


def test_a_target_has_no_gradient_and_a_layer_s_weights_learn():
    refined, hu, mask = lobe()
    crf, network = training("target")
    assert not crf.target(refined.requires_grad_(), hu, mask).requires_grad
    assert LAYER not in dict(network.named_children())
    crf, network = training("layer")
    crf.layer_logits(refined, hu, mask)[mask].sum().backward()
    learning = {name: p.grad for name, p in network.named_parameters() if name.startswith(LAYER)}
    assert {name.rpartition(".")[2] for name in learning} == {"gaussian_weight", "bilateral_weight"}
    assert all(gradient is not None and gradient.abs() > 0 for gradient in learning.values())
    assert refined.grad is not None and refined.grad[mask].abs().sum() > 0


@pytest.mark.parametrize("mode", ["none", "target"])
def test_only_a_layer_changes_the_description(mode):
    crf, _ = training(mode)
    assert crf.description() == DESCRIPTION


def test_what_was_learned_is_saved_as_settings_and_never_negative():
    crf, network = training("layer")
    with torch.no_grad():
        getattr(network, LAYER).gaussian_weight.fill_(0.5)
        getattr(network, LAYER).bilateral_weight.fill_(-1.0)
    assert crf.description() == replace(
        DESCRIPTION, crf=replace(DESCRIPTION.crf, gaussian_weight=0.5, bilateral_weight=0.0)
    )


def test_a_network_is_saved_without_the_crf_and_trains_on_with_it():
    crf, network = training("layer")
    with pytest.raises(RuntimeError), crf.detached():
        assert not any(key.startswith(LAYER) for key in network.state_dict())
        raise RuntimeError("the disk is full")
    assert any(key.startswith(LAYER) for key in network.state_dict())
