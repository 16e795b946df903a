"""Where this library and the data that it ships lie (``models``, ``templates`` and ``terminologies``), and how a child
process runs a module of it: it finds the library from a checkout, too, and imports nothing from the current folder."""

import contextlib
import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder ``DRAMLesionLib``. Child processes find the library by the folder that holds it."""

_BEFORE_311 = (
    "import sys; del sys.path[0], sys.argv[0]; import runpy; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)
"""What ``-P -m`` does in Python 3.11 and later."""


def module_command(
    module: str, *arguments: str, python: str = "", options: tuple[str, ...] = ()
) -> list[str]:
    """The command that runs a module as ``python -m`` does, but without the current folder among those to import from.

    A file of the user's that is called ``random.py`` would else take the place of Python's own.

    Args:
        module: Name of the module.
        *arguments: Its arguments.
        python: The interpreter; empty: the one that runs this, whose version any other must have.
        options: More options of the interpreter.
    """
    run = ["-P", "-m"] if sys.version_info >= (3, 11) else ["-c", _BEFORE_311]
    return [python or sys.executable, *options, *run, module, *arguments]


def module_environment() -> dict[str, str]:
    """This process's environment variables, with what lets a child process import the library and nothing by chance."""
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *([known] if known else [])]),
        # For the processes that the child starts.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


def leave_current_folder() -> None:
    """Import no more from the current folder, which ``python -m`` has put first, unless the library lies in it."""
    if getattr(sys.flags, "safe_path", False):
        return
    with contextlib.suppress(OSError):  # the current folder may be gone
        if sys.path[0] == str(Path.cwd()) and Path.cwd() != PACKAGE.parent:
            del sys.path[0]
