"""Where a page can be served: here, or by an environment of its own beside this one.

slicer-layer-dm, by which trame-slicer draws, asks for one version of slicer-core. Whoever wants another one for the scene
keeps the page's packages in the folder ``view`` of the environment, where the command finds them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from DRAMLesionLib.results.scene.process import BACKEND_VARIABLE, LINUX_BACKENDS
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.package import module_command, module_environment

MODULES = {"trame_slicer": "trame-slicer", "LayerDMLib": "slicer-layer-dm", "slicer": "slicer-core"}
"""What the page imports, and the package that brings it."""
HOW = "pip install 'dramlesion[view]', or in a checkout: make view"


def missing() -> list[str]:
    """The packages that are not here."""
    return [package for module, package in MODULES.items() if find_spec(module) is None]


def python_beside() -> str:
    """The interpreter of the page's own environment in this one; empty where there is none."""
    name = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    python = Path(sys.prefix) / "view" / name
    return str(python) if python.is_file() else ""


def check() -> None:
    """Refuse where no page can be served.

    Raises:
        InputError: A package is missing.
    """
    lacking = missing()
    if lacking:
        raise InputError(f"the page in the browser needs {' and '.join(lacking)}: {HOW}")


def go_there(arguments: list[str]) -> None:
    """Run this command in the page's own environment instead, where the packages are missing here; else return.

    Args:
        arguments: Of ``dramlesion``.
    """
    python = python_beside()
    if not missing() or not python:
        return
    command = module_command("DRAMLesionLib", *arguments, python=python)
    if sys.platform == "win32":
        sys.exit(subprocess.run(command, env=module_environment(), check=False).returncode)
    os.execve(python, command, module_environment())


def choose_rendering() -> None:
    """Draw without a display where there is none; a choice in the environment stays."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not display:
        os.environ.setdefault(BACKEND_VARIABLE, LINUX_BACKENDS[0])
