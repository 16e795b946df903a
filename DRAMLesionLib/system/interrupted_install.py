"""Installations of packages that were cut off: by a closed application, a crash, a power failure.

A file beside the packages says that an installation runs. Who finds it there without the process that wrote it knows
that the packages may be in pieces, removes the pieces that would pass for whole packages, and installs again. The
place is the same for all that use these packages: the panel, a script in Slicer's Python, ``doctor``.
"""

import contextlib
import json
import os
import shutil
import sysconfig
import time
from pathlib import Path
from typing import Any

from DRAMLesionLib.system.files import is_running, write_text

MARKER_NAME = "dramlesion-installation.json"
RUNNING_S = 1800.0
"""A marker that was touched within this time may belong to a running installation; an older one doesn't."""


def packages_folder() -> Path:
    """Where pip installs to."""
    return Path(sysconfig.get_path("purelib"))


def begin(requirements: list[str], folder: Path | None = None) -> None:
    """Say that an installation runs.

    Args:
        requirements: What it installs.
        folder: The packages' folder; None: this Python's.

    Raises:
        OutputError: The folder can't be written; packages could not be, either.
    """
    folder = folder or packages_folder()
    unfinished = _read(folder)
    # The pieces of an installation that was cut off before stay known until one has succeeded.
    since = min(time.time(), unfinished["since"]) if unfinished else time.time()
    content = {"requirements": requirements, "process": os.getpid(), "since": since}
    write_text(folder / MARKER_NAME, json.dumps(content))


def beat(folder: Path | None = None) -> None:
    """Say that it still runs."""
    with contextlib.suppress(OSError):
        os.utime((folder or packages_folder()) / MARKER_NAME)


def finish(folder: Path | None = None) -> None:
    """Say that it has ended, with success or in order."""
    with contextlib.suppress(OSError):
        ((folder or packages_folder()) / MARKER_NAME).unlink(missing_ok=True)


def interrupted(folder: Path | None = None) -> list[str] | None:
    """The requirements of an installation that was cut off; None: there is none, or it still runs elsewhere."""
    folder = folder or packages_folder()
    marker = _read(folder)
    if marker is None:
        return None
    process = marker["process"]
    if process > 0 and process != os.getpid() and is_running(process) is not False:
        with contextlib.suppress(OSError):
            if time.time() - (folder / MARKER_NAME).stat().st_mtime < RUNNING_S:
                return None
    return marker["requirements"]


def remove_pieces(folder: Path | None = None) -> list[str]:
    """Remove what pip would take for installed packages, though their files were not all written.

    pip writes the folder NAME-VERSION.dist-info with the package's files and its file RECORD last. A folder without
    it, made since the installation began, is of a package in pieces; pip neither repairs nor removes such. Without
    that folder it installs the package anew, over the files that are there.

    Returns:
        The names of the folders.
    """
    folder = folder or packages_folder()
    marker = _read(folder)
    if marker is None:
        return []
    removed = []
    for info in folder.glob("*.dist-info"):
        with contextlib.suppress(OSError):
            # Whole seconds: some file systems keep no finer times.
            if not (info / "RECORD").is_file() and info.stat().st_mtime >= int(marker["since"]):
                shutil.rmtree(info)
                removed.append(info.name)
    return sorted(removed)


def _read(folder: Path) -> dict[str, Any] | None:
    """The marker; one that can't be read was cut off itself, and counts."""
    path = folder / MARKER_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        marker = json.loads(text)
        return {
            "requirements": [str(line) for line in marker["requirements"]],
            "process": int(marker["process"]),
            "since": float(marker["since"]),
        }
    except (ValueError, TypeError, KeyError):
        return {"requirements": [], "process": 0, "since": path.stat().st_mtime}
