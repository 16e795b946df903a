"""Loads a module from a build tree, and runs its own test, with the stand-in for the application's window.

    python run_module.py FOLDER MODULE load|test

FOLDER holds the scripted modules. Exit code 77: what the stand-in needs is not installed.
"""

import faulthandler
import importlib.util
import os
import sys
from pathlib import Path

PANEL_TESTS = Path(__file__).resolve().parents[2] / "panel"
NEEDED = ("slicer", "PySide6")
NOT_HERE = 77


def main(folder: str, name: str, what: str) -> int:
    if any(importlib.util.find_spec(package) is None for package in NEEDED):
        return NOT_HERE
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # The build tree alone: neither a checkout nor an installed library may stand in for what was forgotten.
    where = Path(folder).resolve()
    sys.path.insert(0, str(PANEL_TESTS))
    sys.path.insert(0, str(where))
    from panel_standin.application import loadModule, openPanel, start

    application = start()
    modules = {path.stem: loadModule(path) for path in sorted(where.glob("*.py"))}
    application.startupCompleted.emit()
    module = modules[name]
    import DRAMLesionLib

    found = Path(DRAMLesionLib.__file__).resolve()
    assert found.is_relative_to(where), f"the library was taken from {found}"
    if what == "test":
        getattr(module, f"{name}Test")().runTest()
    elif hasattr(module, f"{name}Widget"):
        openPanel(module).cleanup()
    return 0


if __name__ == "__main__":
    faulthandler.enable()
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Without Python's own end: it deletes objects of Qt and VTK in no order, of which the application knows nothing.
    os._exit(code)
