"""What a user waits for at the panel: seconds until it stands, and until a saved scene is open.

    python Testing/benchmarks/panel.py [SCENE.mrb] [--rounds 3]

Measured in the tests' stand-in for Slicer (real MRML, Qt widgets of PySide6), each round in a process of its own. Reading
the list of models and devices goes on in the background and is not waited for.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


def measure(scene: str | None) -> dict[str, float]:
    """One round, in this process."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "panel")]
    from panel_standin.application import loadModule, openPanel, start

    seconds: dict[str, float] = {}
    begin = time.perf_counter()

    def lap(what: str) -> None:
        nonlocal begin
        seconds[what] = time.perf_counter() - begin
        begin = time.perf_counter()

    application = start()
    lap("the stand-in itself")
    module = loadModule(REPOSITORY / "DRAMLesion" / "DRAMLesion.py")
    lap("module loaded")
    openPanel(module)
    application.processEvents()
    lap("panel open")
    if scene:
        import slicer

        with tempfile.TemporaryDirectory() as folder:
            # A bundle is unpacked into the cache, which the application has and the stand-in lacks.
            cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
            cache.SetRemoteCacheDirectory(folder)
            manager.SetCacheManager(cache)
            slicer.mrmlScene.SetDataIOManager(manager)
            begin = time.perf_counter()
            if not slicer.mrmlScene.ReadFromMRB(scene, True):
                sys.exit(f"{scene}: could not be read")
            application.processEvents()
            lap("saved scene open")
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scene", nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.scene)), flush=True)
        os._exit(0)  # background work is not waited for
    found: dict[str, float] = {}
    for _ in range(given.rounds):
        command = [sys.executable, __file__, "--child", *([given.scene] if given.scene else [])]
        answer = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for what, seconds in json.loads(answer.stdout.splitlines()[-1]).items():
            found[what] = min(seconds, found.get(what, seconds))
    print(f"best of {given.rounds}\n\n| step | s |\n|---|---|")
    for what, seconds in found.items():
        print(f"| {what} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
