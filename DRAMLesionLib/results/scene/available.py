"""Whether a scene can be made here, and what its files are called."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

INPUT_NAME = "findings"


SCENE_NAME = "scene.mrb"


class SceneUnavailable(Exception):
    """The scene or its pictures can't be made here; the message is one line that says why.

    Attributes:
        written: What was finished before, whole files: ``scene.mrb`` where only the pictures failed.
    """

    def __init__(self, reason: str, written: list[Path] | None = None):
        super().__init__(reason)
        self.written = written or []


def is_available() -> bool:
    """Whether slicer-core is installed, which :func:`write_scene` and :func:`write_scene_folder` need."""
    try:
        importlib.metadata.version("slicer-core")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


PICTURES = ("view_axial.png", "view_coronal.png", "view_3d.png")
