import re
import shutil
from pathlib import Path

import pytest

from DRAMLesionLib.lesions.networks.bundle_folders import SHIPPED
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.pseudo_labels import PseudoLabelSettings
from DRAMLesionLib.training.evaluation.masks import ScanScore
from DRAMLesionLib.training.evaluation.study import Run
from DRAMLesionLib.training.evaluation.study_recipe import read_study
from DRAMLesionLib.training.evaluation.study_table import study_markdown, write_study_table
from DRAMLesionLib.training.recipes.recipe import read_recipe

ROWS = "rows:\n  - {name: cut, mask: threshold}\n"


@pytest.fixture
def write(tmp_path):
    (tmp_path / "dram.yaml").write_text("task: dram\nepochs: 3\nmodel: {attention: {grid: 2}}\n")

    def file(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return path

    return file


def test_the_shipped_study_has_every_stage_of_the_method():
    study = read_study("study")
    assert [row.mask for row in study.rows] == [
        *("threshold", "line", "cam", "dram", "dram", "attention", "crf", "final", "combined", "final")
    ]
    assert len(study.seeds) > 1
    final, combined, supervised = study.rows[-3:]
    assert combined.model_of == final.name
    assert study.row(final.labels_of).mask == "crf"
    assert final.labels == PseudoLabelSettings(), "labels of the study are those of the command's defaults"
    assert supervised.labels_of == "expert"
    assert final.recipe.epochs == supervised.recipe.epochs  # the same effort
    assert final.recipe.model.network == supervised.recipe.model.network


def test_a_change_replaces_single_keys(write):
    study = read_study(
        write(
            "rows:\n"
            "  - {name: dRAM, mask: dram, recipe: dram.yaml, change: {model: {attention: null}}}\n"
            "  - {name: more, mask: dram, recipe: dram.yaml, change: {epochs: 5}}\n"
        )
    )
    one, other = (row.recipe for row in study.rows)
    assert one.model.attention is None
    assert one.epochs == 3
    assert other.model.attention is not None
    assert other.epochs == 5


def test_a_row_reads_a_model_that_is_there_by_name_or_beside_the_study_once_whatever_the_seeds(
    write, tmp_path
):
    shipped = SHIPPED / "segmentation-covid"
    shutil.copytree(shipped, tmp_path / "mine")
    study = read_study(
        write(
            "seeds: [3, 4]\nrows:\n"
            "  - {name: shipped, mask: final, model: segmentation-covid}\n"
            "  - {name: mine, mask: final, model: mine}\n"
            "  - {name: trained, mask: dram, recipe: dram.yaml}\n"
            "  - {name: other map, mask: attention, model_of: trained}\n"
        )
    )
    assert [row.model for row in study.rows] == [shipped, tmp_path / "mine", None, None]
    assert [study.seeds_of(row) for row in study.rows] == [(3,), (3,), (3, 4), (3, 4)]


def test_a_recipe_is_the_one_beside_the_study_else_the_one_that_ships(write):
    rows = "rows:\n  - {name: a, mask: dram, recipe: dram.yaml}\n  - {name: b, mask: final, recipe: final.yaml}\n"
    beside, shipped = (row.recipe for row in read_study(write(rows)).rows)
    assert beside.epochs == 3
    assert shipped == read_recipe("final")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: []", "rows: give a list"),
        ("speed: 1\n" + ROWS, "speed: unknown key"),
        ("seeds: [0, 0]\n" + ROWS, "seeds: [0, 0]"),
        ("seeds: [x]\n" + ROWS, "seeds: ['x']"),
        ("rows:\n  - {name: a}", "rows[0].mask: is missing"),
        ("rows:\n  - {name: a, mask: guess}", "rows[0].mask: 'guess' is unknown"),
        ("rows:\n  - {name: a, mask: dram}", "rows[0]: a threshold or a line needs no model"),
        ("rows:\n  - {name: a, mask: threshold, colour: red}", "rows[0].colour: unknown key"),
        (ROWS + "  - {name: cut, mask: threshold}", "rows[1].name: 'cut'"),
        ("rows:\n  - {name: a, mask: dram, model_of: b}", "rows[0].model_of: 'b' is no row before"),
        ("rows:\n  - {name: a, mask: dram, recipe: none.yaml}", "none.yaml"),
        ("rows:\n  - {name: a, mask: final, model: nowhere}", "nowhere: no such model"),
        (
            "rows:\n  - {name: a, mask: dram, recipe: dram.yaml, model: dram-covid}",
            "rows[0]: a threshold or a line needs no model; any other row one of recipe, model_of and model",
        ),
        ("rows:\n  - {name: a, mask: combined, model: segmentation-covid}", "rows[0].mask: combined needs"),
        ("rows:\n  - {name: a, mask: dram, recipe: dram.yaml, cut: 2}", "rows[0].cut: 2"),
        (
            "rows:\n  - {name: a, mask: dram, recipe: dram.yaml, change: {dram: {speed: 1}}}",
            "dram.speed: unknown key",
        ),
        ("rows:\n  - {name: a, mask: dram, recipe: dram.yaml, labels: {rule: 5}}", "rows[0].labels.rule"),
    ],
)
def test_what_is_wrong_is_named(write, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_study(write(text))


def score(name, part, iou, mae):
    percent = (10.0, 0.0, 30.0, None, 60.0)
    return ScanScore(name, part, iou, 2 * iou / (1 + iou), mae, percent, percent, 1.0)


def test_the_table_has_means_over_seeds_and_their_range(write, tmp_path):
    row = read_study(write("rows:\n  - {name: dRAM, mask: dram, recipe: dram.yaml}\n")).rows[0]
    runs = [
        Run(
            row, seed, (score("a", "training", 0.5 + seed / 10, 2.0), score("b", "validation", 0.3, 1.0)), 4.0
        )
        for seed in (0, 1)
    ]
    text = study_markdown(runs)
    line = text.splitlines()[2]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["dRAM", "0, 1", "0.550", "**0.550** (0.500-0.600)"]
    assert "0.300" in cells
    assert cells[-1] == "4.0"
    write_study_table(runs, tmp_path)
    lines = (tmp_path / "study.csv").read_text().splitlines()
    assert len(lines) == 1 + 4
    assert lines[1].startswith("dRAM,0,training,a,0.5000")
    assert (tmp_path / "study.md").read_text() == text
