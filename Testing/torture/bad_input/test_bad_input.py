"""Odd inputs end in a right result or in one clear line: the whole corpus by ``make torture``, a part of it always."""

import pytest
from corpus import all_cases
from fuzzing import SECONDS
from harness import judge

from DRAMLesionLib.results import report
from DRAMLesionLib.results.report.views import View

CASES = all_cases()


def _parameter(case):
    marks = [] if case.short else [pytest.mark.torture]
    return pytest.param(case, id=f"{case.kind}: {case.name}", marks=marks)


@pytest.fixture
def pictures(case, monkeypatch):
    """In the short run good inputs get no pictures: they take most of its time, and are much the same."""
    if case.short and not SECONDS:
        monkeypatch.setattr(
            report, "draw", lambda findings: report.Drawings((View(b"", "", 1.0, 1.0),) * 3, b"")
        )


@pytest.mark.parametrize("case", [_parameter(case) for case in CASES])
def test_odd_input(case, world, folder, pictures):
    judge(case, world, folder)


def test_no_two_cases_are_alike():
    names = [(case.kind, case.name) for case in CASES]
    assert len(set(names)) == len(names) >= 150
