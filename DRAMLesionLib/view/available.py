"""Whether a page can be served here: trame-slicer with the slicer-core that it draws with."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from DRAMLesionLib.results.scene.process import BACKEND_VARIABLE, LINUX_BACKENDS
from DRAMLesionLib.system.errors import InputError

MODULES = {"trame_slicer": "trame-slicer", "LayerDMLib": "slicer-layer-dm", "slicer": "slicer-core"}
"""What the page imports, and the package that brings it."""


def missing() -> list[str]:
    """The packages that are not here."""
    return [package for module, package in MODULES.items() if find_spec(module) is None]


def check() -> None:
    """Refuse where no page can be served.

    Raises:
        InputError: A package is missing.
    """
    lacking = missing()
    if lacking:
        raise InputError(
            f"the page in the browser needs {' and '.join(lacking)}: pip install 'dramlesion[view]', "
            "in an environment of its own where another slicer-core is wanted"
        )


def choose_rendering() -> None:
    """Draw without a display where there is none; a choice in the environment stays."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not display:
        os.environ.setdefault(BACKEND_VARIABLE, LINUX_BACKENDS[0])
