"""How long the panel's window stands still while a lesion is corrected, accepted and reported.

    python Testing/benchmarks/window.py [--size 512 512 300] [--strokes 20]

Measured in the tests' stand-in for Slicer (real MRML scene and segment editor logic, Qt widgets of PySide6) on a phantom,
through the panel's own buttons. ``until done`` is what the user waits for, ``longest gap`` how long the window answered
nothing: no tick of a timer of 5 ms came through. Both are seconds on the clock; in brackets the seconds that the window's
own thread computed, which other work on the machine does not lengthen.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


class Watch:
    """Ticks of a timer, while something is done."""

    def __init__(self, application) -> None:
        import qt

        self._application, self._ticks = application, []
        self._timer = qt.QTimer()
        self._timer.setInterval(5)
        self._timer.connect("timeout()", self._tick)

    def _tick(self) -> None:
        self._ticks.append((time.perf_counter(), time.thread_time()))

    def measure(self, action: Callable[[], object], until: Callable[[], bool]) -> tuple[float, ...]:
        """Seconds and computing seconds until a condition holds, and the longest gaps between two ticks."""
        self._ticks.clear()
        self._timer.start()
        self._tick()
        begin, computed = self._ticks[0]
        action()
        while not until():
            if time.perf_counter() - begin > PATIENCE_S:
                raise TimeoutError("the panel did not get on")
            self._application.processEvents()
            time.sleep(0.001)
        end, spent = time.perf_counter() - begin, time.thread_time() - computed
        self._tick()
        self._timer.stop()
        gaps = np.diff(np.asarray(self._ticks), axis=0).max(axis=0)
        return end, spent, float(gaps[0]), float(gaps[1])


def phantom_findings(size: tuple[int, int, int]):
    """A phantom's true lesion as if a network had found it."""
    from DRAMLesionLib.lesions.findings import Findings
    from DRAMLesionLib.lesions.quantify import quantify
    from DRAMLesionLib.phantom import make_phantom

    phantom = make_phantom(size, (350 / size[0], 300 / size[1], 310 / size[2]), seed=1)
    dram = np.clip(0.8 * phantom.lesion + 0.05, 0, 1).astype(np.float32) * (phantom.lobes.labels > 0)
    table = quantify(phantom.ct.array, phantom.lobes, phantom.lesion, phantom.ct.spacing_mm, dram)
    record = {"settings": {"threshold": 0.5}}
    return Findings(phantom.ct, phantom.lobes, dram, phantom.lesion, table, record, None, dram.copy())


def brush(findings, lesion: np.ndarray, number: int):
    """A ball of 4 mm in a lobe, where nothing was found or where something was, by turns."""
    value = number % 2
    places = np.argwhere((findings.lobes.labels > 0) & (lesion == 1 - value))
    centre = places[(number * 7919 + len(places) // 3) % len(places)]
    reach = [max(1, round(4 / length)) for length in findings.ct.spacing_mm]
    box = tuple(
        slice(max(0, int(c) - r), min(n, int(c) + r + 1))
        for c, r, n in zip(centre, reach, findings.ct.array.shape, strict=True)
    )
    return box, value


def run(size: tuple[int, int, int], strokes: int) -> dict[str, list[tuple[float, ...]]]:
    """All measurements by name."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "panel")]
    from panel_standin.application import loadModule, openPanel, start

    application = start()
    module = loadModule(REPOSITORY / "DRAMLesion" / "DRAMLesion.py")
    import slicer

    from DRAMLesionLib.results.scene import mrml

    findings = phantom_findings(size)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Phantom")
    mrml.fill_volume_node(node, findings.ct.array, findings.ct)
    widget = openPanel(module)
    panel, ui, watch = widget.panel, widget.ui, Watch(application)
    panel.parameters.show3D = False
    measured: dict[str, list[tuple[float, ...]]] = {}
    gaps = []
    steps = panel.logic.delivering(findings, node)
    begin, results = time.perf_counter(), None
    while results is None:
        tick, spent = time.perf_counter(), time.thread_time()
        try:
            next(steps)
        except StopIteration as end:
            results = end.value
        gaps.append((time.perf_counter() - tick, time.thread_time() - spent))
    worst = np.max(gaps, axis=0)
    total = time.perf_counter() - begin
    measured["results arrive"] = [(total, sum(gap[1] for gap in gaps), float(worst[0]), float(worst[1]))]
    panel.results.showNew(results)
    panel.update()
    prepared = getattr(panel.correct, "prepare", None)
    if prepared is not None:
        measured["Correct is prepared, unseen"] = [
            watch.measure(
                lambda: prepared(results, findings), lambda: panel.logic.openCorrection(results) is not None
            )
        ]

    def opened() -> bool:
        return panel.correct._watched is not None and panel.logic.openCorrection(results) is not None

    measured["Correct opens"] = [
        watch.measure(lambda: setattr(ui.correctCollapsibleButton, "collapsed", False), opened)
    ]
    logic = ui.segmentEditorWidget.logic
    for number in range(strokes):
        lesion = mrml.segment_array(results.lesionSegmentationNode, "lesion", findings.ct)
        box, value = brush(findings, lesion, number)
        shape = tuple(side.stop - side.start for side in box)
        modifier = mrml.labelmap_of(np.ones(shape), findings.ct, box)
        mode = logic.ModificationModeAdd if value else logic.ModificationModeRemove
        extent = modifier.GetExtent()
        logic.ModifySegmentByLabelmap(
            results.lesionSegmentationNode, "lesion", modifier, mode, extent, True, False
        )
        correction, done = (
            panel.logic.openCorrection(results),
            len(panel.logic.openCorrection(results)._groups),
        )
        figures = watch.measure(lambda: None, lambda c=correction, d=done: len(c._groups) > d)
        measured.setdefault("a stroke's refined outline", []).append(figures)
    measured["the table follows"] = [watch.measure(panel.correct._onTable, lambda: True)]
    with tempfile.TemporaryDirectory() as folder:
        ui.trainingFolderSelector.currentPath = str(Path(folder) / "training")
        listed = Path(folder) / "training" / "datalist.json"
        measured["Accept"] = [watch.measure(ui.acceptButton.click, lambda: "Accepted" in ui.statusLabel.text)]
        assert listed.is_file()
        for name in ("report.html", "report.pdf"):
            path = Path(folder) / name
            ui.statusLabel.text = ""
            figures = watch.measure(
                lambda path=path: panel.results.saveReport(results, str(path)),
                lambda: "saved" in ui.statusLabel.text,
            )
            measured[f"report as {name[7:]}"] = [figures]
            assert path.stat().st_size > 10_000
    return measured


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=3, default=(512, 512, 300), metavar=("X", "Y", "Z"))
    parser.add_argument("--strokes", type=int, default=20)
    given = parser.parse_args()
    print("| step | until done | 95 % | longest gap |\n|---|---|---|---|")
    for name, rows in run(tuple(given.size), given.strokes).items():
        figures = np.asarray(rows)
        median, most = np.median(figures, axis=0), figures.max(axis=0)
        high = np.percentile(figures, 95, axis=0)
        print(
            f"| {name} | {median[0]:.2f} ({median[1]:.2f}) | {high[0]:.2f} ({high[1]:.2f}) "
            f"| {most[2]:.2f} ({most[3]:.2f}) |"
        )
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
