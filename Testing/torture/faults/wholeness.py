"""Whether what lies in a folder is whole: no file is cut off, whatever was killed."""

import csv
import json
from pathlib import Path

from safetensors import safe_open

from DRAMLesionLib.images.image_file import read_image
from DRAMLesionLib.images.paths import is_volume_file
from DRAMLesionLib.system.files import STAGING_PREFIX


def hidden(folder: Path) -> list[Path]:
    """Left-over temporary files and folders."""
    return sorted(folder.rglob(f"{STAGING_PREFIX}*")) if folder.exists() else []


def visible_files(folder: Path) -> list[Path]:
    """Files under their final names."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def check_files(folder: Path) -> list[Path]:
    """Fail for a file under its final name that is cut off.

    Returns:
        The files that were looked at.
    """
    if not folder.exists():
        return []
    files = visible_files(folder)
    for path in files:
        _check(path)
    return files


def _check(path: Path) -> None:
    name = path.name.lower()
    if is_volume_file(path):
        read_image(path)
    elif name.endswith(".json"):
        json.loads(path.read_text(encoding="utf-8"))
    elif name.endswith(".jsonl"):
        return  # grows by lines; its readers leave a last line out that was cut off
    elif name.endswith(".html"):
        text = path.read_text(encoding="utf-8").rstrip()
        assert text.endswith(("</html>", "</p>")), f"{path}: cut off"
    elif name.endswith(".csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert rows, f"{path}: empty"
        if path.name != "manifest.csv":
            assert {len(row) for row in rows} == {len(rows[0])}, f"{path}: cut off"
    elif name.endswith(".safetensors"):
        with safe_open(path, framework="np") as opened:
            assert list(opened.keys())
    elif name.endswith(".png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), f"{path}: cut off"
    else:
        assert path.stat().st_size, f"{path}: empty"
