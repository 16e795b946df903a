"""Training of the network of the lobes' amounts: its samples, its loss, and that it learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.lesions.whole_lungs.bundle import load_amount_model
from DRAMLesionLib.lesions.whole_lungs.pooled import CHANNELS, PooledLungs
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.weak_label import WeakLabel
from DRAMLesionLib.training.engine import train
from DRAMLesionLib.training.recipes.recipe import recipe_from_dict
from DRAMLesionLib.training.tasks.synthetic.whole_lung_samples import LungsSample, batch_of, varied
from DRAMLesionLib.training.tasks.synthetic.whole_lungs import amount_loss


def sample(shape: tuple[int, int, int]) -> LungsSample:
    """Random features of lungs that fill the left half."""
    generator = torch.Generator().manual_seed(sum(shape))
    lobes = torch.zeros(5, *shape)
    lobes[1, ..., : shape[2] // 2] = 1
    features = torch.rand(CHANNELS, *shape, generator=generator)
    features[0] = lobes.sum(0)
    target = torch.rand(*shape, generator=generator)
    return LungsSample("one", PooledLungs(features, lobes), target, {2: WeakLabel.from_percent(30)})


def test_a_varied_sample_stays_in_step_with_its_target() -> None:
    before = sample((4, 5, 6))
    after = varied(before, np.random.default_rng(3))
    flips = [
        axes
        for axes in ([], [0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2])
        if torch.equal(after.target, before.target.flip(axes))
    ]
    assert len(flips) == 1
    assert torch.equal(after.pooled.lobes, before.pooled.lobes.flip([axis + 1 for axis in flips[0]]))
    assert torch.equal(after.pooled.features[0], after.pooled.lobes.sum(0))
    outside = after.pooled.features[0] == 0
    changed = after.pooled.features - before.pooled.features.flip([axis + 1 for axis in flips[0]])
    assert not changed[:, outside].any() and changed[1:, ~outside].any()


def test_samples_of_any_size_go_together() -> None:
    features, lobes, target = batch_of([sample((4, 5, 6)), sample((7, 3, 2))], 4)
    assert features.shape == (2, CHANNELS, 8, 8, 8) and lobes.shape[1:] == (5, 8, 8, 8)
    assert torch.equal(target[0, 0, :4, :5, :6], sample((4, 5, 6)).target)
    assert not features[1, :, 7:].any() and not lobes[1, :, :, 3:].any()


def test_the_loss_of_the_amounts_is_smallest_at_what_is_known() -> None:
    lobes = torch.zeros(1, 5, 2, 2, 2)
    lobes[0, 1] = 1
    known = [{2: WeakLabel.from_percent(30), 4: WeakLabel.from_percent(90)}]  # lobe 4 is not there

    def loss(share: float) -> float:
        return float(amount_loss(torch.full((1, 5), share), lobes, known))

    assert loss(0.3) == pytest.approx(0, abs=1e-5)
    assert loss(0.1) > loss(0.2) > loss(0.29) and loss(0.9) > loss(0.5)
    assert float(amount_loss(torch.rand(1, 5), lobes, [{}])) == 0


def test_a_scan_without_label_is_named(healthy_list: Path) -> None:
    rows = json.loads(healthy_list.read_text())
    rows["training"][0]["percent"] = [0, 20, 0, 0, 0]
    other = healthy_list.with_name("sick.json")
    other.write_text(json.dumps(rows))
    recipe = recipe_from_dict({"task": "amounts"}, "test")
    with pytest.raises(InputError, match="no label for p: make labels"):
        train(recipe, other, healthy_list.with_name("out"))


def test_a_training_on_pasted_disease_writes_a_bundle_that_learned(
    healthy_list: Path, tmp_path: Path
) -> None:
    recipe = recipe_from_dict(
        {
            "task": "amounts",
            "name": "tiny",
            "epochs": 16,
            "batch": 4,
            "learning_rate": 0.03,
            "amounts": {"samples": 16, "pasted": 4, "real_share": 0.0},
            "model": {"features": [4, 8]},
        },
        "test",
    )
    steps: list[dict[str, float]] = []
    folder = train(recipe, healthy_list, tmp_path / "tiny", log=steps.append, device="cpu", threads=1)
    losses = [step["loss"] for step in steps if step["event"] == "epoch"]
    assert losses[-1] < 0.9 * losses[0]
    read = load_amount_model(folder)
    assert read.name == "tiny" and read.network.description.features == (4, 8)
    assert "pasted disease" in (folder / "docs" / "README.md").read_text()


@pytest.fixture(scope="module")
def healthy_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of one phantom without lesion."""
    folder = tmp_path_factory.mktemp("healthy")
    phantom = make_phantom((48, 48, 32), (7.0, 7.0, 8.5), seed=3, severity=0)
    write_volume(phantom.ct.array, phantom.ct, folder / "p_ct.nii.gz")
    write_volume(phantom.lobes.labels, phantom.ct, folder / "p_lobes.nii.gz")
    rows = [{"image": "p_ct.nii.gz", "lobes": "p_lobes.nii.gz", "percent": [0] * 5}]
    (folder / "list.json").write_text(json.dumps({"training": rows}))
    return folder / "list.json"
