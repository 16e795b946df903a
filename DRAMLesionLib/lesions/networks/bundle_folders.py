"""Where models lie, without loading them: the shipped ones, those of an installation, and the user's own.

Imports no torch, so that a window can list models at once.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from DRAMLesionLib.system.bundle import METADATA as METADATA
from DRAMLesionLib.system.bundle import bundle_metadata as bundle_metadata
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.package import PACKAGE

SHIPPED = PACKAGE / "models"
ENVIRONMENT, USER_ENVIRONMENT = "DRAMLESION_MODELS", "DRAMLESION_USER_MODELS"


def user_models_folder() -> Path:
    """Where the user's own models lie, and new ones go; it may not exist yet.

    The environment variable ``DRAMLESION_USER_MODELS`` names another folder.
    """
    chosen = os.environ.get(USER_ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "DRAMLesion" / "models"


def bundle_folders(shipped: Path = SHIPPED) -> list[Path]:
    """Folders that hold bundles: the shipped ones, those of ``DRAMLESION_MODELS``, then the user's own."""
    extra = [Path(p) for p in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if p]
    return [shipped, *extra, user_models_folder()]


def find_bundles(folders: Iterable[Path]) -> dict[str, Path]:
    """Every lesion model's bundle in the folders, by name; a later folder does not hide an earlier one's bundle."""
    bundles: dict[str, Path] = {}
    for folder in folders:
        for metadata in sorted(folder.glob(f"*/{METADATA.as_posix()}")):
            if not _is_helper(metadata.parents[1]):
                bundles.setdefault(metadata.parents[1].name, metadata.parents[1])
    return bundles


def find_bundle(name_or_folder: str | Path, shipped: Path = SHIPPED) -> Path:
    """The folder of a lesion model's bundle.

    Args:
        name_or_folder: A bundle's folder or the name of a known one.
        shipped: The folder of the bundles that ship.

    Raises:
        InputError: There is no such model; lists those there are.
    """
    wanted = str(name_or_folder)
    if (Path(wanted) / METADATA).is_file():
        return Path(wanted)
    known = find_bundles(bundle_folders(shipped))
    if wanted in known:
        return known[wanted]
    if Path(wanted).is_dir():
        raise InputError(
            f"{wanted}: no model: the folder has no {METADATA.as_posix()}: give a bundle's folder"
        )
    names = ", ".join(sorted(known)) or "none"
    raise InputError(f"{wanted}: no such model: use a bundle's folder or one of: {names}")


def _is_helper(folder: Path) -> bool:
    """Whether a bundle finds lungs or amounts, not lesions. A damaged one is told of where it is used."""
    try:
        return not {"lungs", "amounts"}.isdisjoint(bundle_metadata(folder))
    except InputError:
        return False
