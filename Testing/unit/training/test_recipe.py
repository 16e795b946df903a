"""Recipes: those that ship, and wrong ones, whose key is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from DRAMLesionLib.lesions.networks.bundle import list_models, load_segmentation_model
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.recipes.recipe import find_recipe, read_recipe, recipe_from_dict, shipped_recipes

SHIPPED = sorted(path for path in shipped_recipes().values() if path.stem != "study")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_can_be_read_and_written(path):
    recipe = read_recipe(path)
    assert recipe.epochs > 0
    assert recipe_from_dict(recipe.to_dict(), "again") == recipe


def test_there_is_a_recipe_for_each_shipped_stage():
    assert {"dram", "dram-covid"} <= {path.stem for path in SHIPPED}


def test_the_shipped_network_is_described_as_its_recipes_say():
    shipped = load_segmentation_model(list_models()["segmentation-covid"])
    own, further = read_recipe("segmentation-covid"), read_recipe("fine-tune")
    assert own.version == shipped.version and further.model == shipped.description
    fitted, wanted = shipped.description.amount, own.model.amount
    assert fitted is not None and wanted is not None and fitted.sure == wanted.sure
    assert replace(own.model, amount=fitted) == shipped.description


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("epochs: many", "epochs: 'many' is no whole number"),
        ("epochs: 0", "epochs: 0 is not between"),
        ("epochs: 1.5", "epochs: 1.5 is no whole number"),
        ("batch: 0", "batch: 0 is not between"),
        ("learning_rate: true", "learning_rate: True is no number"),
        ("learning_rate: .nan", "learning_rate"),
        ("epochs: .inf", "epochs"),
        ("learning_rat: 1", "learning_rat: unknown key: use one of task, name"),
        ("ema: 1", "ema: 1 is not between"),
        ("precision: half", "precision: 'half' is unknown: use one of auto, float32, bfloat16"),
        ("seed: -1", "seed: -1 is not between"),
        ("name: 3", "name: 3 is no text"),
        ("start_from: ''", "start_from"),
        ("task: paint", "task: 'paint' is unknown: use one of dram, cam, segmentation"),
        ("task: [dram]", "task: ['dram'] is unknown"),
        ("task: cam\ndram: {priors_from: 0.1}", "dram: the task is cam"),
        ("dram: {priors_from: 2}", "dram.priors_from: 2 is not between 0 and 1"),
        ("dram: {softness: 1}", "dram.softness: unknown key: use one of softness_weight"),
        ("dram: {softness_weight: high}", "dram.softness_weight: 'high' is no number"),
        ("dram: 3", "dram: 3 is no table of settings"),
        ("softness_weight: 0.3", "softness_weight: unknown key"),
        ("model: {spacing_mm: [1, 1]}", "model.spacing_mm"),
        ("model: {hu_window: [0, -1000]}", "model.hu_window"),
        ("model: {threshold: 1.5}", "model.threshold"),
        ("model: {network: {features: [8, 16]}}", "model.network.features"),
        ("model: {network: {in_channels: 3}}", "model.network.in_channels"),
        ("model: {colour: red}", "model.colour"),
        ("- a list", "not a recipe"),
        ("{", "not a recipe"),
        ("", "not a recipe"),
        ("model: 3", "model"),
        ("3: 4", "3: unknown key"),
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
    with pytest.raises(InputError, match=r"^drm: .* one of amounts-covid, cam, dram, dram-covid, "):
        read_recipe("drm")


@pytest.mark.parametrize("name", ["dram", "dram.yaml", "Training/dram.yaml", Path("Training/dram.yaml")])
def test_a_recipe_that_ships_is_known_by_its_name_everywhere(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name) == shipped_recipes()["dram"]


def test_a_file_of_a_shipped_recipe_s_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("Training").mkdir()
    for own in ("dram.yaml", "Training/dram.yaml"):
        Path(own).write_text("epochs: 3")
        assert find_recipe(own) == Path(own)
        assert read_recipe(own).epochs == 3
    for other in (tmp_path / "dram.yaml", Path("elsewhere/dram.yaml"), "dram.json"):
        assert find_recipe(other) == Path(other)


def test_values_of_a_recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    text = "batch: 4\nearly_stop: 3\nlearning_rate: 2e-3\nstart_from: dram-covid\ndram: {priors_from: 0.5}\n"
    path.write_text(text + "model: {threshold: 0.3}")
    recipe = read_recipe(path)
    assert recipe.learning_rate == 0.002
    assert (recipe.task, recipe.batch, recipe.early_stop, recipe.start_from) == ("dram", 4, 3, "dram-covid")
    assert recipe.settings.priors_from == 0.5
    assert recipe.model.threshold == 0.3
