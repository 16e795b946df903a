"""Starts the stand-in for Slicer, once, for the tests of the panel."""

import importlib.metadata
import importlib.util
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "DRAMLesion" / "DRAMLesion.py"
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def _missing() -> str | None:
    try:
        importlib.metadata.version("slicer-core")
    except importlib.metadata.PackageNotFoundError:
        return "slicer-core is not installed (pip install slicer-core)"
    if importlib.util.find_spec("PySide6") is None:
        return "PySide6 is not installed (pip install PySide6-Essentials)"
    return None


@pytest.fixture(scope="session")
def application():
    reason = _missing()
    if reason:
        pytest.skip(reason)
    from panel_standin.application import start

    return start()


@pytest.fixture(scope="session")
def module(application):
    from panel_standin.application import loadModule

    return loadModule(MODULE)


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder with one small untrained model; child processes find it, too."""
    import torch

    from DRAMLesionLib.model import save_model
    from DRAMLesionLib.model_description import ModelDescription
    from DRAMLesionLib.network import DenseNetwork, NetworkDescription

    folder = tmp_path_factory.mktemp("models")
    description = ModelDescription(
        spacing_mm=(9.0, 9.0, 9.0), network=NetworkDescription(features=(4, 4, 8, 8, 8, 4))
    )
    torch.manual_seed(0)
    save_model(
        folder / "tiny",
        DenseNetwork(description.network),
        description,
        name="tiny",
        version="0",
        card="Untrained.",
        summary="Untrained, for tests.",
        data="none",
        licence="none",
    )
    os.environ["DRAMLESION_MODELS"] = str(folder)
    return folder


@pytest.fixture
def panel(module, models, application):
    """The opened panel on an empty scene."""
    import slicer
    from panel_standin.application import openPanel

    slicer.mrmlScene.Clear(0)
    widget = openPanel(module)
    yield widget
    widget.exit()
    widget.cleanup()
    widget.parent.deleteLater()
    slicer.mrmlScene.Clear(0)
    application.processEvents()
