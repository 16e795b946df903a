"""The network of the lobes' amounts: what it sees, how its lobes are pooled, its bundle."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from DRAMLesionLib.lesions.amount import Amount, amounts_for_record, lobe_amounts
from DRAMLesionLib.lesions.networks.bundle import list_models
from DRAMLesionLib.lesions.networks.final_description import AmountSettings, DensityFloor
from DRAMLesionLib.lesions.whole_lungs.bundle import load_amount_model, save_amount_model
from DRAMLesionLib.lesions.whole_lungs.description import AmountDescription
from DRAMLesionLib.lesions.whole_lungs.network import AmountNetwork
from DRAMLesionLib.lesions.whole_lungs.percents import lobe_percents
from DRAMLesionLib.lesions.whole_lungs.pooled import CHANNELS, ODDS, ODDS_UNIT, lobe_shares, pool_lungs
from DRAMLesionLib.system.errors import InputError

BLOCK = 4
SMALL = AmountDescription(features=(4, 6))


def lungs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, lobes and map: a left and a right box with air between, sides that are no multiples of a block."""
    rng = np.random.default_rng(0)
    labels = np.zeros((14, 18, 30), np.uint8)
    labels[1:13, 2:17, 17:29] = 1
    labels[7:13, 2:17, 1:13] = 4
    image = rng.uniform(0.1, 0.4, labels.shape).astype(np.float32)
    probability = rng.uniform(0, 0.2, labels.shape).astype(np.float32) * (labels > 0)
    probability[4:9, 4:9, 18:26] = 0.97
    return image, labels, probability


def test_without_correction_the_lobes_shares_are_about_the_maps_means() -> None:
    image, labels, probability = lungs()
    found = lobe_percents(AmountNetwork(SMALL).eval(), image, labels, probability)
    assert set(found) == {1, 4}
    for lobe, percent in found.items():
        assert percent == pytest.approx(100 * probability[labels == lobe].mean(), abs=1.5)


def test_what_lies_outside_the_lobes_is_not_seen() -> None:
    image, labels, probability = lungs()
    other = np.where(labels > 0, image, 1).astype(np.float32)
    one, same = (pool_lungs(values, labels, probability, BLOCK) for values in (image, other))
    torch.testing.assert_close(one.features, same.features)
    assert len(one.features) == CHANNELS
    odds = one.features[ODDS] * ODDS_UNIT
    inside = one.features[0] > 0.99
    torch.testing.assert_close(torch.sigmoid(odds)[inside], one.features[ODDS - 1][inside], atol=1e-3, rtol=0)


def test_a_lobes_share_weighs_voxels_by_what_of_them_is_in_the_lobe() -> None:
    odds = torch.logit(torch.tensor([0.8, 0.2])).view(1, 1, 1, 1, 2)
    lobes = torch.zeros(1, 5, 1, 1, 2)
    lobes[0, 1, 0, 0] = torch.tensor([1.0, 0.5])
    shares = lobe_shares(odds, lobes)[0]
    assert shares[1] == pytest.approx((0.8 + 0.5 * 0.2) / 1.5)
    assert shares[0] == 0


def test_mirrored_lungs_have_the_same_shares() -> None:
    image, labels, probability = lungs()
    network = AmountNetwork(SMALL).eval()
    torch.nn.init.normal_(network.head.weight)
    # The pooled grid begins at the other end of a mirrored scan: whole blocks alone pool alike.
    image, labels, probability = (
        np.pad(values, ((0, 2), (0, 6), (0, 2))) for values in (image, labels, probability)
    )
    mirrored = (np.ascontiguousarray(values[..., ::-1]) for values in (image, labels, probability))
    assert lobe_percents(network, *mirrored) == pytest.approx(
        lobe_percents(network, image, labels, probability), abs=1e-3
    )


def test_the_lungs_network_raises_a_severe_lobe_and_leaves_a_mild_one() -> None:
    _, labels, probability = lungs()
    hu = np.full(labels.shape, -850, np.int16)

    def amounts(whole: dict[int, float] | None) -> dict[int, Amount]:
        settings = AmountSettings(floor=DensityFloor())
        return lobe_amounts(probability, hu, labels, (2.5, 2.5, 2.5), settings, whole)

    alone, raised = amounts(None), amounts({1: 60.0, 4: 12.0})
    assert raised[1].percent == 60 and raised[1].low == alone[1].low
    assert raised[1].high == pytest.approx(60 + 2 * (1 + 0.2 * 40))  # twice the half width of a lobe of 60 %
    assert amounts({1: 99.5})[1].high == 100
    assert raised[4].percent == alone[4].percent == pytest.approx(10, abs=1)
    assert amounts({1: 1.0, 4: 1.0})[1].percent == alone[1].percent
    told = amounts_for_record(raised)
    assert [told[lobe]["source"] for lobe in ("LUL", "RML")] == ["lungs", "map"]
    assert told["LUL"]["lungs_percent"] == 60 and told["LUL"]["density_percent"] is None


def test_the_raise_has_no_step() -> None:
    _, labels, probability = lungs()
    hu = np.full(labels.shape, -850, np.int16)
    found = [
        lobe_amounts(probability * 0, hu, labels, (2.5, 2.5, 2.5), AmountSettings(), {1: whole})[1].percent
        for whole in np.linspace(0, 40, 401)
    ]
    assert max(np.diff(found)) < 0.4 and found[100] == pytest.approx(0, abs=0.01)
    assert found[200:] == pytest.approx(np.linspace(20, 40, 201))


def test_a_bundle_is_read_as_it_was_written_and_is_no_lesion_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = AmountNetwork(SMALL).eval()
    torch.nn.init.normal_(network.head.weight)
    words = {"card": "card", "summary": "s", "data": "d", "licence": "CC0"}
    folder = save_amount_model(tmp_path / "amounts", network, name="amounts", version="0.1.0", **words)
    monkeypatch.setenv("DRAMLESION_MODELS", str(tmp_path))
    assert "amounts" not in list_models()
    read = load_amount_model(folder)
    image, labels, probability = lungs()
    assert lobe_percents(read.network, image, labels, probability) == pytest.approx(
        lobe_percents(network, image, labels, probability), abs=0.2
    )
    path = folder / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["lungs"] = metadata.pop("amounts")
    path.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="knows no amounts"):
        load_amount_model(folder)
