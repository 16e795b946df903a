"""A case and a correction session of it."""

import pytest
from correction_case import SPACING, make_case

from DRAMLesionLib.correction.session import CorrectionSession


@pytest.fixture(scope="session")
def case():
    return make_case()


@pytest.fixture
def session(case) -> CorrectionSession:
    return CorrectionSession(*case, SPACING)
