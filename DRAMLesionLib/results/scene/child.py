"""The child process that makes a scene: ``python -m DRAMLesionLib.results.scene.child``.

It imports Slicer, which takes seconds, then reads what to do from a line of standard input, in JSON:
``["scene", FOLDER]`` writes the bundle and the pictures, ``["pictures", FOLDER]`` the pictures alone; no line ends it.
:mod:`DRAMLesionLib.results.scene.process` starts it: native code that crashes here can't take the other results with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from DRAMLesionLib.results.arrays import read_arrays
from DRAMLesionLib.results.scene.available import INPUT_NAME, SCENE_NAME, SceneUnavailable
from DRAMLesionLib.results.scene.headless import open_scene, save
from DRAMLesionLib.system.streams import end_with


def main() -> int:
    """Get ready, wait for the work, and do it."""
    import vtk

    from DRAMLesionLib.results.scene import rendering
    from DRAMLesionLib.system.allocation import give_freed_memory_back, keep_freed_memory

    with contextlib.suppress(ImportError):  # said where the scene is opened
        import slicer  # noqa: F401
    keep_freed_memory()
    vtk.vtkSMPTools.SetBackend("STDThread")  # slicer-core begins with one thread
    line = sys.stdin.readline()
    if not line:
        return 0
    what, name = json.loads(line)
    folder = Path(name).absolute()  # Slicer's writer can't do with another
    name = str(folder)
    os.environ |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), name)
    tempfile.tempdir = name
    findings = read_arrays(folder / INPUT_NAME, mapped=True)
    try:
        with open_scene(findings, _report) as opened:
            if what == "scene":
                _report("Scene: scene.mrb", 0.5)
                save(opened, folder / SCENE_NAME)
                give_freed_memory_back()
            _report("Scene: pictures", 0.8)
            rendering.render_scene(opened, folder)
    except SceneUnavailable as error:
        print(f"error\t{error}", flush=True)
        return 1
    return 0


def _report(stage: str, fraction: float) -> None:
    print(f"progress\t{stage}\t{fraction}", flush=True)


if __name__ == "__main__":
    end_with(main)
