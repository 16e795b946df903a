"""The extension's installation with the true pip, killed: the next one finds it and completes it."""

import importlib.util
import os
import random
import signal
import time
from pathlib import Path

import pytest
from killing import kills, needs_fork

pytestmark = needs_fork
REAL_PIP = Path(__file__).resolve().parents[2] / "packaging" / "test_real_pip.py"
FILES = 400
"""In the largest package: so many that pip is killed while it writes them, too."""


@pytest.fixture(scope="module")
def real_pip():
    """The stand-in for Slicer's Python of the tests of the packages."""
    spec = importlib.util.spec_from_file_location("fake_slicer", REAL_PIP)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheels(real_pip, tmp_path_factory) -> Path:
    return real_pip.make_wheels(tmp_path_factory.mktemp("wheels") / "wheels", torch_files=FILES)


@pytest.fixture(scope="module")
def unbroken_s(real_pip, wheels, tmp_path_factory) -> float:
    slicer = real_pip.FakeSlicer(tmp_path_factory.mktemp("slicer"), True)
    began = time.monotonic()
    assert slicer.run("install", wheels)["failure"] is None
    return time.monotonic() - began


@kills(1, 16)
def test_install(number, real_pip, wheels, unbroken_s, tmp_path):
    slicer = real_pip.FakeSlicer(tmp_path, number % 2 == 0)
    running = slicer.start("install", wheels)
    time.sleep(random.Random(number).uniform(0.1, 1.0) * unbroken_s)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()

    found = slicer.run("look")
    marker = slicer.site / "dramlesion-installation.json"
    begun = list(slicer.site.glob("*.dist-info"))
    assert marker.exists() or not begun or not found["missing"], "half installed, and nobody knows"
    if marker.exists():
        assert "an installation was interrupted" in found["lines"][0]
    done = slicer.run("install", wheels)
    assert done["failure"] is None and done["lines"] == []
    assert not marker.exists() and not list(slicer.site.glob(".dramlesion-*"))
    assert len(list((slicer.site / "torch" / "data").iterdir())) == FILES - 1
    for info in slicer.site.glob("*.dist-info"):
        assert (info / "RECORD").is_file(), info
        for line in (info / "RECORD").read_text().splitlines():
            assert (slicer.site / line.split(",")[0]).exists(), line
