"""The final network, its description, its sliding window and its bundle."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from DRAMLesionLib.lesions.mask import with_refined_dram
from DRAMLesionLib.lesions.networks.bundle import (
    METADATA,
    WEIGHTS,
    load_any_model,
    load_model,
    load_segmentation_model,
    model_kind,
    save_model,
)
from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.lesions.networks.final_description import (
    AmountSettings,
    SegmentationDescription,
    SegmentationNetworkDescription,
)
from DRAMLesionLib.lesions.networks.final_network import InstanceNorm, SegmentationNetwork
from DRAMLesionLib.lesions.probability import predict_lesion, predict_on_grid, segmentation_grid
from DRAMLesionLib.lesions.run_models import load_case_models
from DRAMLesionLib.system.errors import InputError

TINY = SegmentationNetworkDescription((2, 4, 4))
SMALL = NetworkDescription((2, 2, 2, 2, 2, 2))
TEXTS = {"version": "0.0.1", "card": "", "summary": "for tests", "data": "nothing", "licence": "MIT"}


@pytest.fixture(autouse=True)
def shipped_models_alone(monkeypatch):
    monkeypatch.delenv("DRAMLESION_MODELS", raising=False)


@pytest.fixture
def bundles(tmp_path):
    """A final network and its dRAM model side by side."""
    torch.manual_seed(0)
    dram = save_model(
        tmp_path / "map", DenseNetwork(SMALL), ModelDescription(network=SMALL), name="map", **TEXTS
    )
    description = SegmentationDescription(
        spacing_mm=(4, 3, 3), patch=(8, 16, 16), threshold=0.4, dram_model="map", network=TINY
    )
    final = save_model(tmp_path / "final", SegmentationNetwork(TINY), description, name="final", **TEXTS)
    return final, dram


def change(folder, **values):
    metadata = json.loads((folder / METADATA).read_text())
    metadata["segmentation"].update(values)
    (folder / METADATA).write_text(json.dumps(metadata))


def test_the_network_gives_a_logit_per_voxel():
    network = SegmentationNetwork(TINY).eval()
    assert network(torch.rand(2, 1, 8, 16, 12)).shape == (2, 1, 8, 16, 12)
    deep = SegmentationNetwork(SegmentationNetworkDescription((2, 4, 4), deep_supervision=True))
    assert deep.train()(torch.rand(1, 1, 16, 16, 16)).shape == (1, 2, 1, 16, 16, 16)
    assert deep.eval()(torch.rand(1, 1, 16, 16, 16)).shape == (1, 1, 16, 16, 16)


@pytest.mark.parametrize("deep", [False, True])
def test_each_weight_is_stored_once_and_all_are_trained(tmp_path, deep):
    """DynUNet registers its blocks twice."""
    network = SegmentationNetwork(SegmentationNetworkDescription((2, 4, 4, 4), deep))
    state = network.state_dict()
    save_file(state, tmp_path / "w.safetensors")  # refuses shared memory
    assert (
        len({value.data_ptr() for value in state.values()}) == len(state) == len(list(network.parameters()))
    )
    network.train()(torch.rand(1, 1, 16, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_instance_normalisation_is_torchs():
    ours, torchs = InstanceNorm(3), torch.nn.InstanceNorm3d(3, affine=True)
    for norm in (ours, torchs):
        norm.weight.data, norm.bias.data = torch.tensor([1.0, 2, 3]), torch.tensor([0.0, 1, -1])
    values = 100 + torch.randn(2, 3, 4, 5, 6)
    torch.testing.assert_close(ours(values), torchs(values))
    half = ours(values.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), torchs(values.bfloat16().float()), atol=0.05, rtol=0.02)


def test_batch_normalisation_keeps_absolute_density_and_instance_normalisation_does_not():
    dim, bright = torch.rand(2, 1, 8, 8, 8) * 0.1, torch.rand(2, 1, 8, 8, 8) * 0.1 + 0.8
    differences = {}
    for norm in ("instance", "batch"):
        torch.manual_seed(0)
        network = SegmentationNetwork(SegmentationNetworkDescription((2, 4, 4), norm=norm))
        for _ in range(30):
            network.train()(torch.cat([dim, bright]))
        network.eval()
        differences[norm] = (network(bright).mean() - network(dim).mean()).abs().item()
    assert differences["batch"] > 5 * differences["instance"]


def test_running_statistics_survive_a_bundle(tmp_path):
    network_description = SegmentationNetworkDescription((2, 4, 4), norm="batch")
    description = SegmentationDescription(patch=(16, 16, 16), network=network_description)
    network = SegmentationNetwork(description.network)
    network.train()(torch.rand(2, 1, 16, 16, 16))
    about = dict.fromkeys(("name", "version", "card", "summary", "data", "licence"), "x")
    loaded = load_segmentation_model(
        save_model(tmp_path / "m", network.eval(), description, **about, half=False)
    )
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[key], value), key
    assert any("running_mean" in key for key in network.state_dict())


def test_a_window_of_its_own_is_no_larger_than_the_lungs():
    description = SegmentationDescription(
        patch=(16, 16, 16),
        window=(64, 32, 64),
        overlap=0.25,
        network=SegmentationNetworkDescription((2, 4, 4)),
    )
    echo = Echo()
    probability = predict_on_grid(echo, description, np.zeros((20, 40, 9), np.float32), flips=False)
    assert probability.shape == (20, 40, 9)
    assert set(echo.seen) == {(20, 32, 12)}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"patch": [64, 64, 60]}, "d.patch"),
        ({"window": [64, 64, 60]}, "d.window"),
        ({"network": {"norm": "layer"}}, "d.network.norm"),
        ({"amount": {"slope": 1}}, "d.amount.slope"),
        ({"patch": [64, 64]}, "d.patch"),
        ({"patch": [16, 64, 64]}, "d.patch"),
        ({"overlap": 1}, "d.overlap"),
        ({"overlap": True}, "d.overlap"),
        ({"lobes_only": "no"}, "d.lobes_only"),
        ({"dram_model": 3}, "d.dram_model"),
        ({"threshold": 1}, "d.threshold"),
        ({"hu_window": [100, -1000]}, "d.hu_window"),
        ({"candidate_hu": -700}, "d.candidate_hu"),
        ({"network": {"filters": [8, 16]}}, "d.network.filters"),
        ({"network": {"filters": [8, 16, True]}}, "d.network.filters"),
        ({"network": {"deep_supervision": 1}}, "d.network.deep_supervision"),
        ({"network": {"features": [8]}}, "d.network.features"),
        ({"network": 3}, "d.network"),
        ([], "d: "),
    ],
)
def test_a_wrong_description_names_the_key(values, named):
    with pytest.raises(InputError) as error:
        SegmentationDescription.from_dict(values, "d")
    assert named in str(error.value) and "\n" not in str(error.value)


def test_a_description_survives_json():
    description = SegmentationDescription(
        (2.5, 1.5, 1.5),
        (-900, 50),
        8,
        True,
        (32, 64, 64),
        0.25,
        0.6,
        0.3,
        "map",
        TINY,
        AmountSettings(dense=0.5),
    )
    assert (
        SegmentationDescription.from_dict(json.loads(json.dumps(description.to_dict())), "d") == description
    )


class Echo(torch.nn.Module):
    """Its probability is the image itself; brighter by ``lean`` towards the end of x."""

    def __init__(self, lean: float = 0.0):
        super().__init__()
        self.lean, self.seen = lean, []

    def forward(self, image):
        self.seen.append(tuple(image.shape[2:]))
        slope = torch.linspace(-self.lean, self.lean, image.shape[-1])
        return torch.logit((image + slope).clamp(1e-4, 1 - 1e-4))


def test_patches_are_put_together_again():
    image = np.random.default_rng(0).uniform(0.1, 0.9, (20, 19, 33)).astype(np.float32)
    description = SegmentationDescription(patch=(16, 16, 16), network=TINY)
    told: list[float] = []
    network = Echo()
    found = predict_on_grid(
        network, description, image, progress=lambda stage, fraction: told.append(fraction)
    )
    np.testing.assert_allclose(found, image, atol=1e-4)
    assert set(network.seen) == {(16, 16, 16)}
    assert told[0] == 0 and told[-1] == 1 and told == sorted(told)


def test_a_lung_smaller_than_a_patch_and_mirrored_views():
    image = np.full((5, 6, 7), 0.5, np.float32)
    description = SegmentationDescription(patch=(16, 16, 16), network=TINY)
    leaning = predict_on_grid(Echo(0.2), description, image, flips=False)
    assert leaning.shape == image.shape and leaning[..., -1].mean() > leaning[..., 0].mean() + 0.05
    np.testing.assert_allclose(predict_on_grid(Echo(0.2), description, image), image, atol=1e-4)


def lungs():
    labels = np.zeros((12, 16, 20), np.uint8)
    labels[2:10, 3:13, 2:9], labels[2:10, 3:13, 11:18] = 1, 3
    hu = np.full(labels.shape, 40, np.int16)
    hu[labels > 0] = -850
    hu[4:7, 5:9, 3:7] = -300
    return hu, labels


def test_the_probability_lies_in_the_lobes_on_the_ct_grid():
    hu, labels = lungs()
    description = SegmentationDescription(
        spacing_mm=(2, 2, 2), hu_window=(-1000, 0), patch=(8, 8, 8), network=TINY
    )
    found = predict_lesion(Echo(), description, hu, labels, (2.0, 2.0, 2.0))
    assert found.dtype == np.float32 and not found[labels == 0].any()
    np.testing.assert_allclose(found[labels > 0], (hu[labels > 0] + 1000) / 1000, atol=1e-3)
    assert not predict_lesion(Echo(), description, hu, labels * 0, (2.0, 2.0, 2.0)).any()


def test_what_the_network_sees_outside_the_lobes_is_a_setting():
    hu, labels = lungs()
    sees = {}
    for only in (False, True):
        description = SegmentationDescription(
            spacing_mm=(2, 2, 2), lobes_only=only, patch=(8, 8, 8), network=TINY
        )
        grid = segmentation_grid(hu, labels, (2.0, 2.0, 2.0), description)
        sees[only] = grid.image
        outside = grid.labels == 0
        assert (grid.image[outside] == 0).all() == only
    inside = grid.labels > 0
    np.testing.assert_array_equal(sees[True][inside], sees[False][inside])


def test_a_bundle_knows_its_kind_and_is_loaded_as_it_was_saved(bundles):
    final, dram = bundles
    assert (model_kind(final), model_kind(dram)) == ("segmentation", "dram")
    torch.manual_seed(0)
    DenseNetwork(SMALL)
    original = SegmentationNetwork(TINY).eval()
    model = load_segmentation_model(final)
    assert model.description.patch == (8, 16, 16) and model.description.dram_model == "map"
    assert not model.network.training and len(model.checksum) == 64
    image = torch.rand(1, 1, 8, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(model.network(image), original(image), atol=0.02, rtol=0.02)
    assert type(load_any_model(final)) is type(model) and load_any_model(dram).name == "map"
    for load, wrong in ((load_model, final), (load_segmentation_model, dram)):
        with pytest.raises(InputError, match=str(wrong)):
            load(wrong)


def test_damaged_weights_and_metadata_are_refused(bundles):
    final, _ = bundles
    change(final, network={"filters": [4, 4, 4]})
    with pytest.raises(InputError, match="do not fit"):
        load_segmentation_model(final)
    change(final, patch=[1, 2, 3])
    with pytest.raises(InputError, match=r"metadata\.json: segmentation\.patch"):
        load_segmentation_model(final)
    content = bytearray((final / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (final / WEIGHTS).write_bytes(content)
    change(final, patch=[8, 16, 16], network=TINY.to_dict())
    with pytest.raises(InputError, match="SHA-256"):
        load_segmentation_model(final)


def test_metadata_of_a_final_network_fits_monais_schema(bundles):
    import jsonschema

    schema = Path(__file__).parents[2] / "data" / "bundle_metadata_schema.json"
    metadata = json.loads((bundles[0] / METADATA).read_text())
    jsonschema.validate(metadata, json.loads(schema.read_text()))
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [8, 16, 16]


def test_the_model_that_is_given_decides_the_method(bundles):
    final, dram = bundles
    both = load_case_models(final)
    assert both.method == "final" and both.dram.folder.samefile(dram) and both.final is not None
    assert set(both.facts()) == {"model", "segmentation_model"}
    assert both.facts()["segmentation_model"]["name"] == "final"
    alone = load_case_models(dram)
    assert alone.method == "dram" and set(alone.facts()) == {"model"}
    assert alone.checksum == alone.dram.checksum != both.checksum
    map_of_final = load_case_models(final, "dram")
    assert map_of_final.method == "dram" and map_of_final.checksum == alone.checksum
    with pytest.raises(InputError, match="is a dRAM model"):
        load_case_models(dram, "final")
    with pytest.raises(InputError, match="best"):
        load_case_models(dram, "best")


def test_the_default_is_the_final_network_where_it_is_there(bundles, monkeypatch):
    final, _ = bundles
    monkeypatch.setattr("DRAMLesionLib.lesions.networks.bundle.SHIPPED", final.parent)
    monkeypatch.setattr("DRAMLesionLib.lesions.networks.bundle.DEFAULT_MODEL", "map")
    assert load_case_models().method == "dram"
    with pytest.raises(InputError, match="no final network"):
        load_case_models(None, "final")
    final.rename(final.with_name("segmentation-covid"))
    assert load_case_models().method == load_case_models(None, "final").method == "final"
    assert load_case_models(None, "dram").method == "dram"


def test_a_final_network_without_its_dram_model_says_which_is_missing(bundles):
    final, dram = bundles
    dram.rename(dram.with_name("elsewhere"))
    with pytest.raises(InputError, match=r"dram_model: map: no such model"):
        load_case_models(final)
    change(final, dram_model="../elsewhere")
    with pytest.raises(InputError, match="dram_model"):
        load_case_models(final)
    change(final, dram_model=None)
    assert load_case_models(final).dram.name == "dram-covid"


def test_with_refined_dram_is_the_mean_of_the_log_odds_about_each_threshold():
    probability, refined = np.float32([[0.5, 0.9, 0.2, 0.7]]), np.float32([[0.2, 0.2, 0.6, 0.0]])
    both = with_refined_dram(probability, 0.5, refined, 0.2, 0.5)
    assert both[0, 0] == pytest.approx(0.5)  # both undecided
    assert both[0, 1] == pytest.approx(
        1 / (1 + np.sqrt(1 / 9)), rel=1e-5
    )  # odds 9 and 1: their geometric mean is 3
    odds = np.sqrt(0.25 * (1.5 / 0.25))
    assert both[0, 2] == pytest.approx(odds / (1 + odds), rel=1e-5)
    assert both[0, 3] == 0  # outside the lobes
    assert both.dtype == np.float32


def test_with_refined_dram_at_both_ends():
    rng = np.random.default_rng(0)
    probability, refined = (rng.uniform(0.01, 0.99, (3, 4, 5)).astype(np.float32) for _ in range(2))
    assert np.array_equal(with_refined_dram(probability, 0.4, refined, 0.3, 0.0), probability)
    only = with_refined_dram(probability, 0.4, refined, 0.3, 1.0)
    assert np.array_equal(only > 0.4, refined > 0.3)  # each map is cut at its own threshold
    certain = with_refined_dram(np.ones((1, 1, 1)), 0.5, np.full((1, 1, 1), 1e-9), 0.5, 0.5)
    assert certain[0, 0, 0] == pytest.approx(0.5, abs=1e-5)  # neither map can overrule the other for good


@pytest.mark.parametrize("share", [-0.1, 1.5, "half", True])
def test_a_wrong_dram_share_is_named(share):
    with pytest.raises(InputError, match="dram_share"):
        SegmentationDescription.from_dict({"dram_share": share}, "here")
