"""The pages' tables of figures have their commands, and the script that says so would notice if they had not."""

import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("figures_check", REPOSITORY / "Scripts" / "figures_check.py")
figures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(figures)

TABLE = "| case | IoU | Dice |\n|---|---|---|\n| 02 | 0.58 | **0.73** |\n| 08 | .61 | 0.76 (0.02) |\n"


@pytest.mark.parametrize("path", figures.pages(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_each_table_of_figures_has_its_command(path: Path) -> None:
    assert figures.problems(path) == []


def test_the_pages_with_figures_are_looked_at() -> None:
    found = {path.relative_to(REPOSITORY).as_posix() for path in figures.pages(figures.PAGES_OF_FIGURES)}
    assert {
        "README.md",
        "Training/trials.md",
        "Testing/benchmarks/README.md",
        "Testing/benchmarks/crf.md",
    } <= found
    for name in found - {
        "Testing/benchmarks/crf.md",
        "Testing/benchmarks/correction.md",
        "Training/README.md",
    }:
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        assert list(
            figures.table_problems(text.replace("rinted by", "rinted for").replace("not kept", "kept"))
        ), name


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("# T\n\nPrinted by hand.\n\n## S\n\n", ""),
        ("## S\n\nPrinted by `a.py`.\n\n## T\n\n", ""),
        ("", "\n## T\n\nPrinted by `a.py`.\n"),
        ("```\nPrinted by `a.py`\n```\n\n", ""),
    ],
)
def test_a_table_without_a_command_is_named_with_its_line(before: str, after: str) -> None:
    (problem,) = figures.table_problems(before + TABLE + after)
    assert problem.startswith(f"line {before.count(chr(10)) + 1}: no command prints this table")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Printed by `a.py`.\n\n", ""),
        ("", "\nPrinted by\n`a.py`.\n"),
        ("## S\n\nPrinted by `a.py`.\n\n" + TABLE + "\nAnd:\n\n", ""),
        ("# T\n\nPrinted by `a.py`.\n\n## S\n\n", ""),
        ("The network was not\nkept:\n\n", ""),
    ],
)
def test_a_command_or_a_reason_near_the_table_is_enough(before: str, after: str) -> None:
    assert list(figures.table_problems(before + TABLE + after)) == []


def test_a_table_of_words_needs_no_command() -> None:
    assert (
        list(figures.table_problems("| key | what |\n|---|---|\n| `seed` | 0 |\n| a | of 4 scans |\n")) == []
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("`severity.py COVID REAL --speed`", "severity.py has no --speed"),
        ("`python Testing/benchmarks/no.py --data D`", "there is no script Testing/benchmarks/no.py"),
        ("`nothing.py --data D`", "there is no script nothing.py"),
        ("`crf.py [--quick] [--slow]`", "crf.py has no --slow"),
        ("`dramlesion segmnt ct.nii.gz`", "there is no command segmnt"),
        ("`python -m DRAMLesionLib study FILE --list L`", "study has no --list"),
    ],
)
def test_a_script_or_an_option_that_is_not_there_is_named(text: str, said: str) -> None:
    (problem,) = figures.command_problems(text)
    assert said in problem


def test_scripts_with_their_options_and_names_of_modules_are_no_problem() -> None:
    ours = "`dramlesion study F --data L`, `dramlesion --help`, `severity.py A B --only known`, `crf.py [--quick]`"
    text = f"{ours}, `case.py`, `segment.py` and ```\nno.py --x\n```"
    assert list(figures.command_problems(text)) == []
