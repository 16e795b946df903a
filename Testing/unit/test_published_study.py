"""The README's table of methods and the figures behind it, ``Training/study.csv``, say the same."""

import csv
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCANS = [("training", f"case{n}") for n in ("01", "04", "06", "10")]
TEST_SCANS = [("validation", f"case{n}") for n in ("02", "08")]
DIGITS = {"iou": 3, "dice": 3, "mae_points": 1}


def printed() -> list[list[str]]:
    """The cells of the README's rows from the first scan on."""
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("\n## How good is it\n")[2]
    table = section[section.index("|") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("*") for cell in line.strip("|").split("|")][2:] for line in table]


def measured() -> list[dict[tuple[str, str], dict[str, str]]]:
    """For each row of a method and seed, in the file's order, its lines by part and scan."""
    with (REPOSITORY / "Training" / "study.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    groups = groupby(lines, lambda line: (line["learned_from"], line["method"], line["seed"]))
    return [{(line["part"], line["scan"]): line for line in group} for _, group in groups]


def test_each_row_says_where_its_figures_come_from_and_has_all_scans() -> None:
    for row in measured():
        kept = {line["weights"] for line in row.values()}
        assert kept in ({"scored again"}, {"none needed"}, {"not kept"})
        assert [key for key in row if key[1] != "mean"] == SCANS + TEST_SCANS
        assert (("validation", "mean") in row) == (kept == {"not kept"})


@pytest.mark.parametrize("number", range(len(printed())))
def test_a_row_of_the_readme_has_the_file_s_figures(number: int) -> None:
    assert len(printed()) == len(measured())
    cells, row = printed()[number], measured()[number]
    assert cells[:6] == [f"{float(row[key]['iou']):.3f}" for key in SCANS + TEST_SCANS]
    means = row.get(("validation", "mean"))
    for cell, (name, digits) in zip(cells[6:], DIGITS.items(), strict=True):
        mean = means[name] if means else np.mean([float(row[key][name]) for key in TEST_SCANS])
        assert cell == f"{float(mean):.{digits}f}", name
        assert means is None or means[name] == cell


def test_scored_rows_have_the_errors_of_their_own_percentages() -> None:
    lobes = ("LUL", "LLL", "RUL", "RML", "RLL")
    for row in measured():
        for line in row.values():
            if line["weights"] != "not kept":
                errors = [
                    abs(float(line[f"{n}_percent"]) - float(line[f"{n}_expert_percent"])) for n in lobes
                ]
                assert float(line["mae_points"]) == pytest.approx(np.mean(errors), abs=2e-4)
                iou = float(line["iou"])
                assert float(line["dice"]) == pytest.approx(2 * iou / (1 + iou), abs=2e-4)


def test_the_first_page_of_the_documentation_has_the_default_s_means() -> None:
    page = (REPOSITORY / "Documentation" / "index.md").read_text(encoding="utf-8")
    iou, dice, points = means_of_the_default()
    assert f"**{iou}**, Dice {dice}; lobe percentages are off by {points}\n" in page


def means_of_the_default() -> list[str]:
    """The three means of the row that the README calls the default."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "(the default)**" in line and line.startswith("|"))
    return [cell.strip().strip("*") for cell in line.strip("|").split("|")][-3:]
