"""Shared by all tests: where the optional real data is, and small threads."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# The models of whoever runs the tests must not change them.
os.environ["DRAMLESION_USER_MODELS"] = str(REPOSITORY / "Testing" / "no-user-models")


def real_data() -> Path | None:
    """The folder of real CTs (``caseNN_ct.nii.gz`` and so on), or None where it is absent."""
    folder = Path(os.environ.get("DRAMLESION_REAL_DATA", REPOSITORY.parent / "shared" / "data" / "covid_ct"))
    return folder if (folder / "case02_ct.nii.gz").is_file() else None


@pytest.fixture(scope="session")
def covid_ct() -> Path:
    folder = real_data()
    if folder is None:
        pytest.skip("the real CT data set is not here (set DRAMLESION_REAL_DATA)")
    return folder
