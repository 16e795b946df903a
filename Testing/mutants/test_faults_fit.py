"""The list of faults still fits the code; ``make mutants`` puts them in."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from faults import FAULTS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_one_place_and_its_test_is_there(fault):
    text = (REPOSITORY / fault.file).read_text(encoding="utf-8")
    assert text.count(fault.before) == 1 and fault.after != fault.before
    assert (REPOSITORY / fault.tests.partition("::")[0]).is_file()


def test_each_fault_has_a_name_of_its_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
