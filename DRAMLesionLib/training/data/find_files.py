"""Which files of a folder belong to which case, by their names."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from DRAMLesionLib.images.paths import is_volume_file, stem
from DRAMLesionLib.system.errors import InputError

NAME = "{name}"

PATTERNS = {
    "image": ("{name}_ct", "{name}/ct"),
    "lobes": ("{name}_lobes", "{name}/lobes"),
    "label": ("{name}_lesion", "{name}/lesion", "{name}_label", "{name}/label"),
    "edits": ("{name}_edits", "{name}/edits"),
}
"""How files are called where nothing else is said, without their suffix; as this software writes them."""


def find_by_name(folder: str | Path, patterns: Sequence[str], *, folders: bool = False) -> dict[str, Path]:
    """The files of a folder whose names fit one of the patterns, by the name of their case.

    Args:
        folder: Where to look; subfolders only as far as a pattern has them.
        patterns: Such as ``{name}_ct`` or ``{name}/ct``: paths without suffix (``.nii.gz``, ``.nrrd`` and so on). The
            first that fits a case counts.
        folders: Whether a folder of that name counts, too (TotalSegmentator's lobes). ``.seg.nrrd`` files never do.

    Raises:
        InputError: It is no folder, a pattern lacks ``{name}``, or two files fit one pattern and case.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: check the path")
    files: dict[str, Path] = {}
    for pattern in patterns:
        fits: dict[str, Path] = {}
        for name, path in _fitting(folder, pattern, folders):
            if name in fits:
                raise InputError(
                    f"{folder}: {fits[name].name} and {path.name} both fit {pattern!r} for case {name}: keep one of them"
                )
            fits[name] = path
        files = {**fits, **files}
    return dict(sorted(files.items()))


def _fitting(folder: Path, pattern: str, folders: bool) -> Iterator[tuple[str, Path]]:
    parts = pattern.replace("\\", "/").split("/")
    if sum(part.count(NAME) for part in parts) != 1:
        raise InputError(
            f"{pattern!r}: has not one {NAME}: give a pattern such as '{NAME}_ct' or '{NAME}/ct'"
        )
    yield from _walk(folder, [_compiled(part) for part in parts], folders)


def _walk(
    folder: Path, parts: Sequence[re.Pattern[str]], folders: bool, name: str = ""
) -> Iterator[tuple[str, Path]]:
    last = len(parts) == 1
    for item in sorted(folder.iterdir()):
        is_folder = item.is_dir()
        usable = (folders or not last) if is_folder else last and _is_image(item)
        match = parts[0].fullmatch(item.name if is_folder else stem(item)) if usable else None
        if match is None or item.name.startswith("."):
            continue
        here = match[1] if parts[0].groups else name
        if last:
            yield here, item
        else:
            yield from _walk(item, parts[1:], folders, here)


def _is_image(path: Path) -> bool:
    return path.is_file() and is_volume_file(path) and not path.name.lower().endswith(".seg.nrrd")


def _compiled(part: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(re.escape(piece) for piece in part.split(NAME)))
