"""The dense network: its own pass against MONAI's, the refined map, and what its description asks for."""

import json

import numpy as np
import pytest
import torch

from DRAMLesionLib.lesions import dram as dram_module
from DRAMLesionLib.lesions.dram import predict_dram, predict_maps
from DRAMLesionLib.lesions.networks.bundle import METADATA, load_model, save_model
from DRAMLesionLib.lesions.networks.candidates import dram_and_refined, dram_logits
from DRAMLesionLib.lesions.networks.description import AttentionSettings, ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork, Padding, build_network
from DRAMLesionLib.system.errors import InputError

SMALL = NetworkDescription((4, 4, 4, 4, 4, 4))


def attentive(grid=2.0, candidate=-750.0) -> tuple[DenseNetwork, ModelDescription]:
    settings = AttentionSettings(4, 1, grid)
    description = ModelDescription(candidate_hu=candidate, network=SMALL, attention=settings)
    torch.manual_seed(0)
    return build_network(description).eval(), description


def lobe(size=(21, 18, 25), batch=1) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    axes = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in size], indexing="ij")
    mask = (sum(a * a for a in axes) < 0.8).expand(batch, 1, *size)
    return torch.rand(batch, 1, *size) * mask, mask


def test_the_pass_is_that_of_the_u_net():
    network, _ = attentive()
    image = torch.rand(2, 1, 32, 48, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network.unet(image))


def test_attention_leaves_the_u_net_s_first_weights_alone():
    """So that a comparison with and without it starts from one point."""
    torch.manual_seed(0)
    plain = DenseNetwork(SMALL)
    network, _ = attentive()
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, network.state_dict()[name])
    assert plain.attention is None


@pytest.mark.parametrize("grid", [2.0, None, (16, 16, 16)])
def test_refined_map_goes_with_the_logits(grid):
    network, description = attentive(grid)
    image, mask = lobe(batch=2)
    logits, refined = dram_and_refined(network, image, mask, description)
    assert logits.shape == refined.shape == image.shape
    assert logits.dtype == refined.dtype == torch.float32
    torch.testing.assert_close(logits, dram_logits(network, image, description))
    assert not refined[~mask].any()
    dram = torch.sigmoid(logits)[mask]
    assert dram.min() - 1e-6 <= refined[mask].min() and refined[mask].max() <= dram.max() + 1e-6
    assert (refined[mask] - dram).abs().max() > 0.005


def test_without_attention_the_refined_map_is_the_dram():
    description = ModelDescription(network=SMALL)
    image, mask = lobe()
    logits, refined = build_network(description).forward_with_refined(image, mask)
    torch.testing.assert_close(refined, torch.sigmoid(logits) * mask)


def test_refined_map_trains_the_attention_and_the_map():
    network, description = attentive()
    network.train()
    image, mask = lobe()
    _, refined = dram_and_refined(network, image, mask, description)
    (refined[mask] ** 2).mean().backward()
    for part in (network.attention.query, network.attention.projections[1], network.unet.final_conv):
        assert part.weight.grad is not None and part.weight.grad.abs().sum() > 0


def test_bfloat16_gives_nearly_the_same_logits_and_map():
    network, description = attentive()
    image, mask = lobe((40, 36, 33))
    with torch.inference_mode():
        plain = dram_and_refined(network, image, mask, description)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = dram_and_refined(network, image, mask, description)
    assert half[0].dtype == half[1].dtype == torch.float32
    assert not torch.equal(half[0], plain[0])  # it was bfloat16
    assert (torch.sigmoid(half[0]) - torch.sigmoid(plain[0])).abs().max() < 0.01
    assert (half[1] - plain[1]).abs().max() < 0.01


@pytest.mark.parametrize("size", [(3, 4, 5), (1, 1, 1), (32, 32, 32), (33, 47, 64)])
def test_padding_is_taken_away_again(size):
    values = torch.rand(2, 1, *size)
    padding = Padding.of(values)
    padded = padding.pad(values)
    assert all(n % 16 == 0 and n >= 32 for n in padded.shape[2:])
    assert torch.equal(padding.crop(padded), values)
    assert padded.sum().item() == pytest.approx(values.sum().item(), rel=1e-5)
    assert padding.pad(values > 0.5).dtype == torch.bool


def test_attention_survives_a_bundle_and_an_older_bundle_has_none(tmp_path):
    network, description = attentive((24, 24, 24))
    texts = dict.fromkeys(("card", "summary", "data"), "")
    folder = save_model(tmp_path / "m", network, description, name="m", version="1", licence="MIT", **texts)
    model = load_model(folder)
    assert model.description == description
    image, mask = lobe()
    with torch.inference_mode():
        expected, found = (dram_and_refined(n, image, mask, description)[1] for n in (network, model.network))
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)  # half precision

    older = {key: value for key, value in description.to_dict().items() if key != "attention"}
    assert ModelDescription.from_dict(older, "older").attention is None
    metadata = json.loads((folder / METADATA).read_text())
    metadata["dram"]["attention"] = {"channels": "many"}
    (folder / METADATA).write_text(json.dumps(metadata))
    with pytest.raises(InputError, match=r"dram\.attention\.channels"):
        load_model(folder)


def two_lobes() -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((24, 24, 40), np.uint8)
    labels[4:20, 4:20, 3:18] = 5
    labels[4:20, 4:20, 22:37] = 2
    hu = np.random.default_rng(0).normal(-700, 120, labels.shape).astype(np.float32)
    return hu, labels


def test_the_ct_s_map_is_the_attended_one_and_the_plain_one_is_there_too():
    network, description = attentive()
    plain_description = ModelDescription(candidate_hu=-750.0, network=SMALL)
    hu, labels = two_lobes()
    maps = predict_maps(network, description, hu, labels, (2.5, 2.5, 2.5))
    assert maps.attended is not None and not maps.attended[labels == 0].any()
    np.testing.assert_array_equal(
        predict_dram(network, description, hu, labels, (2.5, 2.5, 2.5)), maps.attended
    )
    np.testing.assert_allclose(
        maps.dram, predict_dram(network, plain_description, hu, labels, (2.5, 2.5, 2.5)), atol=1e-6
    )
    inside = labels > 0
    # A mean over neighbours: about the same amount, less contrast.
    assert maps.attended[inside].mean() == pytest.approx(maps.dram[inside].mean(), rel=0.1)
    assert maps.attended[inside].std() < 0.7 * maps.dram[inside].std()


def test_maps_agree_with_float32_to_a_hundredth(monkeypatch):
    network, description = attentive()
    hu, labels = two_lobes()
    found = {}
    for fast in (False, True):
        monkeypatch.setattr(dram_module, "has_bfloat16", lambda device, fast=fast: fast)
        found[fast] = predict_maps(network, description, hu, labels, (2.5, 2.5, 2.5))
    for part in ("dram", "attended"):
        slow, quick = (getattr(found[fast], part) for fast in (False, True))
        assert 0 < np.abs(slow - quick).max() < 0.01
