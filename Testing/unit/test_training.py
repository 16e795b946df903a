"""Losses against hand-worked numbers; recipes and data lists that are wrong; a training that learns."""

import json
import math
from pathlib import Path

import pytest
import torch

from DRAMLesionLib.errors import InputError
from DRAMLesionLib.training.datalist import read_datalist
from DRAMLesionLib.training.losses import percent_loss, roughness, softness
from DRAMLesionLib.training.recipe import read_recipe

ALL = torch.ones(1, 1, 1, 1, 4, dtype=torch.bool)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, 1, 1, -1)


def test_percent_loss_is_zero_at_the_right_percentage():
    logits = torch.logit(row(0.1, 0.3, 0.2, 0.2))
    assert percent_loss(logits, ALL, torch.tensor([0.2])).item() == pytest.approx(0, abs=1e-6)


def test_percent_loss_is_huber_between_logits():
    logits = torch.zeros(1, 1, 1, 1, 4)  # predicts 0.5, logit 0
    near = math.log(0.6 / 0.4)
    assert percent_loss(logits, ALL, torch.tensor([0.6])).item() == pytest.approx(near**2 / 2, rel=1e-5)
    far = math.log(0.9 / 0.1)
    assert percent_loss(logits, ALL, torch.tensor([0.9])).item() == pytest.approx(far - 0.5, rel=1e-5)


def test_percent_loss_counts_only_the_lobe():
    logits = torch.logit(row(0.2, 0.2, 0.9, 0.9))
    mask = row(1, 1, 0, 0) > 0
    assert percent_loss(logits, mask, torch.tensor([0.2])).item() == pytest.approx(0, abs=1e-6)


def test_percent_loss_of_a_healthy_lobe_rests_at_an_empty_map():
    logits = torch.full((1, 1, 1, 1, 4), -12.0)
    assert percent_loss(logits, ALL, torch.tensor([0.0])).item() == pytest.approx(0, abs=1e-6)


def test_softness_by_hand():
    # sum p(1-p) / (sum p + 1) = (0.25 + 0) / (0.5 + 1 + 1)
    assert softness(row(0.5, 1.0, 0.0, 0.0), ALL).item() == pytest.approx(0.1)
    assert softness(row(1.0, 1.0, 0.0, 0.0), ALL).item() == 0


def test_roughness_by_hand():
    # |steps| 1 + 1 + 0 over the sum 1 + 1 voxel
    assert roughness(row(0.0, 1.0, 0.0, 0.0), ALL).item() == pytest.approx(2 / 2)
    # the same map, its step at the lobe's border not counted
    assert roughness(row(0.0, 1.0, 0.0, 0.0), row(0, 1, 1, 1) > 0).item() == pytest.approx(1 / 2)


def test_roughness_prefers_a_patch_to_a_thread():
    patch, thread = torch.zeros(1, 1, 8, 8, 8), torch.zeros(1, 1, 8, 8, 8)
    patch[..., 2:4, 2:4, 2:4] = 1
    thread[..., 3, 3, :] = 1
    mask = torch.ones_like(patch, dtype=torch.bool)
    assert roughness(patch, mask) < roughness(thread, mask)


def test_losses_have_gradients():
    logits = torch.randn(1, 1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(1, 1, 3, 4, 5) > 0.3
    fraction = torch.tensor([0.2], dtype=torch.float64)

    def total(x):
        dram = torch.sigmoid(x)
        return percent_loss(x, mask, fraction) + softness(dram, mask) + roughness(dram, mask)

    assert torch.autograd.gradcheck(total, (logits,))


def test_shipped_recipes_can_be_read():
    recipes = sorted((Path(__file__).parents[2] / "Training").glob("*.yaml"))
    assert recipes
    for recipe in recipes:
        assert read_recipe(recipe).epochs > 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("epochs: many", "epochs"),
        ("epochs: 0", "epochs"),
        ("epochs: 1.5", "epochs"),
        ("learning_rate: true", "learning_rate"),
        ("learning_rat: 1", "learning_rat"),
        ("model: {spacing_mm: [1, 1]}", "model.spacing_mm"),
        ("model: {hu_window: [0, -1000]}", "model.hu_window"),
        ("model: {threshold: 1.5}", "model.threshold"),
        ("model: {network: {features: [8, 16]}}", "model.network.features"),
        ("model: {network: {in_channels: 3}}", "model.network.in_channels"),
        ("model: {colour: red}", "model.colour"),
        ("- a list", "not a recipe"),
        ("{", "not a recipe"),
        ("model: 3", "model"),
    ],
)
def test_wrong_recipes_name_the_key(tmp_path, text, named):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_recipe(path)
    assert named in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_recipe_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml"):
        read_recipe(tmp_path / "absent.yaml")


def test_data_list_names_every_bad_row_at_once(tmp_path):
    (tmp_path / "ct.nii.gz").touch()
    good = {"image": "ct.nii.gz", "lobes": "ct.nii.gz", "percent": [1, 2, None, 4, 5]}
    rows = [
        good,
        {**good, "image": "gone.nii.gz"},
        {**good, "percent": [1, 2, 3]},
        {**good, "percent": [1, 2, 3, 4, 500]},
    ]
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": rows, "validation": [{"lobes": 3, "extra": 1}]}))
    with pytest.raises(InputError) as error:
        read_datalist(path)
    text = str(error.value)
    for part in ("training[1]", "gone.nii.gz", "training[2]", "training[3]", "RLL", "validation[0]", "extra"):
        assert part in text
    assert "training[0]" not in text


@pytest.mark.parametrize("text", ["", "[]", '{"training": 3}', '{"training": []}', "\x00"])
def test_no_data_list(tmp_path, text):
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"list\.json"):
        read_datalist(path)
