"""A folder that one process at a time writes into: a hidden file tells the others who it is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import remove_stale, temporary_prefix

ELSEWHERE_S = 900.0
"""A lock of another machine is that of a dead process when it was not renewed, by touching it, for so long."""


def lock_folder(folder: Path, name: str, refusal: Callable[[str], str]) -> Path:
    """Lock a folder; locks that killed processes of this machine left are removed.

    Args:
        folder: It must be there.
        name: What the lock is for; the file's name ends with it.
        refusal: Makes the sentence of the error from who holds the folder, such as ``process 123``.

    Returns:
        The lock's file: its owner removes it, and touches it once a minute where other machines reach the folder.

    Raises:
        InputError: Another process holds the folder.
        OSError: The folder can't be written.
    """
    mine = folder / f"{temporary_prefix()}{name}"
    mine.touch()
    remove_stale(folder)
    for other in folder.glob(f".*{name}"):
        if other == mine:
            continue
        here = _machine_of(other) == _machine_of(mine)
        if here or time.time() - other.stat().st_mtime < ELSEWHERE_S:
            mine.unlink()
            raise InputError(refusal(f"process {_process_of(other)}" if here else "another machine"))
        other.unlink(missing_ok=True)
    return mine


def _machine_of(lock: Path) -> str:
    return lock.name.split("-")[1]


def _process_of(lock: Path) -> str:
    named = re.search(r"-(\d+)-", lock.name)
    return named[1] if named else "unknown"
