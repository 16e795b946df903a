"""A small CT, its findings, and Slicer without its window."""

import numpy as np
import pytest
from small_scene import TURN, make_findings, make_image

from DRAMLesionLib.images.volume import Volume, from_image
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.results.scene import headless


@pytest.fixture(scope="module")
def ct() -> Volume:
    return from_image(make_image(np.array(TURN) @ np.diag([1, -1, 1])), "patient")


@pytest.fixture(scope="module")
def findings(ct) -> Findings:
    return make_findings(ct)


@pytest.fixture()
def application():
    with headless.start() as started:
        yield started
