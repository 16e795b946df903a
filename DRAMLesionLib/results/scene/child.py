"""The child process that makes a scene: ``python -m DRAMLesionLib.results.scene.child FOLDER scene|pictures``.

:mod:`DRAMLesionLib.results.scene.process` starts it: native code that crashes here can't take the other results with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from DRAMLesionLib.results.arrays import read_arrays
from DRAMLesionLib.results.scene.available import INPUT_NAME, SCENE_NAME, SceneUnavailable
from DRAMLesionLib.results.scene.headless import open_scene, save


def main(arguments: list[str]) -> int:
    """The child's work: ``FOLDER scene`` writes the bundle and the pictures, ``FOLDER pictures`` the pictures alone."""
    import vtk

    from DRAMLesionLib.results.scene import rendering
    from DRAMLesionLib.system.allocation import give_freed_memory_back, keep_freed_memory

    keep_freed_memory()
    vtk.vtkSMPTools.SetBackend("STDThread")  # slicer-core begins with one thread
    folder, what = Path(arguments[0]), arguments[1]
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
    sys.exit(main(sys.argv[1:]))
