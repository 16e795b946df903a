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
from dataclasses import replace
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 900.0


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
    """A phantom's true lesion as if a network had found it; each voxel of it is eight, which is made sooner."""
    from scipy import ndimage

    from DRAMLesionLib.lesions.findings import Findings
    from DRAMLesionLib.lesions.quantify import quantify
    from DRAMLesionLib.phantom import make_phantom
    from DRAMLesionLib.results.lesion_list import lesions_of

    half = tuple(length // 2 for length in size)
    phantom = make_phantom(half, tuple(mm / n for mm, n in zip((350, 300, 310), half, strict=True)), seed=1)
    array, labels, lesion = (
        part.repeat(2, 0).repeat(2, 1).repeat(2, 2)
        for part in (phantom.ct.array, phantom.lobes.labels, phantom.lesion)
    )
    spacing_mm = tuple(length / 2 for length in phantom.ct.spacing_mm)
    geometry = replace(
        phantom.ct.geometry,
        spacing=tuple(mm / 2 for mm in phantom.ct.geometry.spacing),
        size=tuple(2 * n for n in phantom.ct.geometry.size),
    )
    ct = replace(phantom.ct, array=array, spacing_mm=spacing_mm, geometry=geometry)
    lobes = replace(phantom.lobes, labels=labels)
    noise = ndimage.gaussian_filter(np.random.default_rng(3).random(phantom.lesion.shape, np.float32), 1.5)
    noise = (noise - noise.mean()) / noise.std()
    graded = np.clip(0.25 + 0.5 * phantom.lesion + 0.08 * noise, 0, 1).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    dram = graded.astype(np.float32) * (labels > 0)
    lesion = (dram > 0.5).astype(np.uint8)
    table = quantify(array, lobes, lesion, spacing_mm, dram)
    record = {"settings": {"threshold": 0.5}}
    found = Findings(ct, lobes, dram, lesion, table, record, None, dram.copy())
    lesions_of(found)
    return found


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


def steered(panel, ui, watch: Watch, results, application) -> dict[str, list[tuple[float, ...]]]:
    """The reader's numbers: until the sliders can be moved, then steps of a drag of the largest lobe."""
    steer, correction = panel.steer, panel.logic.openCorrection(results)
    opening = watch.measure(
        lambda: setattr(ui.steerCollapsibleButton, "collapsed", False),
        lambda: bool(steer._lobes) and steer.rows[1].slider.enabled,
    )
    lobe = max(steer._lobes, key=lambda number: steer._lobes[number].count)
    slider, steps = steer.rows[lobe].slider, []
    for percent in np.linspace(20, 60, 21):
        steps.append(
            watch.measure(lambda p=percent: setattr(slider, "value", float(p)), lambda: not steer._wanted)
        )
    resting = watch.measure(lambda: None, lambda: not correction.dragging)
    ui.steerCollapsibleButton.collapsed = True
    application.processEvents()
    return {"sliders open": [opening], "a step of a slider": steps[1:], "the slider rests": [resting]}


def cpu_of(pid: int) -> float:
    """Seconds that a process has computed, with its threads; 0 where the system does not say."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def second_ct(size: tuple[int, int, int]) -> dict[str, list[tuple[float, ...]]]:
    """From the click to the outline for a second CT of the session, by the models that ship, on the CPU."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "panel")]
    from panel_standin.application import loadModule, openPanel, start

    application = start()
    module = loadModule(REPOSITORY / "DRAMLesion" / "DRAMLesion.py")
    import slicer

    from DRAMLesionLib.phantom import make_phantom
    from DRAMLesionLib.results.scene import mrml

    small = make_phantom((96, 96, 80), (3.7, 3.7, 3.7), seed=2).ct
    large = phantom_findings(size).ct
    nodes = []
    for ct in (small, large):
        nodes.append(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Phantom"))
        mrml.fill_volume_node(nodes[-1], ct.array, ct)
    widget = openPanel(module)
    panel, watch = widget.panel, Watch(application)
    panel.parameters.device = "cpu"
    panel.parameters.show3D = False
    outlined: list[tuple[float, float]] = []

    def outline() -> bool:
        run = panel.run.current
        shown = run is not None and (run.outlined or (run.inScene and panel.currentResults() is not None))
        if not outlined and shown:
            outlined.append((time.perf_counter(), cpu_of(panel.logic.worker.pid or 0)))
        return run is None

    panel.parameters.inputVolume = nodes[0]
    watch.measure(widget.ui.segmentButton.click, outline)
    outlined.clear()
    panel.parameters.inputVolume = nodes[1]
    begin, computed = time.perf_counter(), cpu_of(panel.logic.worker.pid)
    figures = watch.measure(widget.ui.segmentButton.click, outline)
    shown = (outlined[0][0] - begin, outlined[0][1] - computed, figures[2], figures[3])
    return {"second CT: outline (worker's seconds)": [shown], "second CT: all (window's seconds)": [figures]}


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
    measured.update(steered(panel, ui, watch, results, application))
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
    parser.add_argument("--second", action="store_true", help="segment a second CT, by the models that ship")
    given = parser.parse_args()
    size = tuple(given.size)
    print("| step | until done | 95 % | longest gap |\n|---|---|---|---|")
    for name, rows in (second_ct(size) if given.second else run(size, given.strokes)).items():
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
