"""Segment many CTs in Slicer, without its window, and write a Slicer scene and the tables of each:

    Slicer --no-main-window --python-script Scripts/batch.py -- INPUT OUT
        [--lobes '{name}_lobes.nii.gz'] [--workers N] [--resume]

INPUT is a folder of image files or DICOM series, or a CSV; see Documentation/batch.md. The exit code is 0 where all
cases are done, 3 where some failed, and 2 where the arguments can't be used.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
_PAUSE_S = 0.05


def find_library() -> None:
    """Take the library and the module from the checkout where the extension is not installed."""
    import importlib.util

    for name, folder in (("DRAMLesionLib", REPOSITORY), ("DRAMLesionPanel", REPOSITORY / "DRAMLesion")):
        if importlib.util.find_spec(name) is None:
            sys.path.insert(0, str(folder))


class SlicerPool:
    """Does cases through the module's logic: each is segmented in a process of its own, as by the panel."""

    def __init__(self, job: Any, workers: int) -> None:
        """Nothing is started yet.

        Args:
            job: What is the same for all cases.
            workers: Cases at once.
        """
        from DRAMLesionPanel.logic import PanelLogic

        self.window = workers
        self._job, self._logic = job, PanelLogic()
        self._running: list[_Running] = []
        self._ended: list[tuple[Any, Any]] = []

    def submit(self, case: Any, attempt: int) -> None:
        """Load a case's CT and lobes into the scene, and start its segmentation."""
        from DRAMLesionLib.batch.work import kept_outcome, made_with

        base = made_with(case, self._job, "")
        if (kept := kept_outcome(case, self._job, base)) is not None:
            self._ended.append((case, kept))
            return
        running = _Running(case, base)
        try:
            with running.adding():
                running.start(self._logic, self._job)
        except Exception as error:
            self._end(running, error)
        else:
            self._running.append(running)

    def finished(self, timeout_s: float) -> list[tuple[Any, Any]]:
        """Let Slicer and the running cases go on until one has ended, or the time is over."""
        import slicer

        end = time.monotonic() + timeout_s
        while not self._ended and time.monotonic() < end:
            slicer.app.processEvents()
            # Results come step by step: those of two cases at a time would stand in each other's scenes.
            arriving = [running for running in self._running if running.run.arriving][:1]
            for running in arriving or list(self._running):
                with running.adding():
                    done = running.run.poll()
                if done:
                    self._running.remove(running)
                    self._end(running)
            time.sleep(0 if self._ended else _PAUSE_S)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """End what runs."""
        for running in self._running:
            running.run.cancel()
            running.clear()

    def _end(self, running: "_Running", error: Exception | None = None) -> None:
        """Write a case's results, or say why there are none; its nodes leave the scene."""
        from DRAMLesionLib.batch.work import finish_case

        def fill(folder: Path, _: Any) -> None:
            if error is not None:
                raise error
            with running.adding():
                self._write(running, folder)

        checksum = running.model_checksum()
        try:
            outcome = finish_case(running.case, self._job, running.base, fill, checksum, running.began)
        finally:
            running.clear()
            self._logic.forget()
        self._ended.append((running.case, outcome))

    def _write(self, running: "_Running", folder: Path) -> None:
        from DRAMLesionLib.results.folder import SCENE_NAME, write_findings
        from DRAMLesionLib.system.errors import InputError

        run = running.run
        if run.results is None:
            raise InputError(running.clean(run.error or "the segmentation was cancelled"))
        write_findings(self._logic.currentFindings(run.results), folder, with_scene=False)
        others = [node for other in self._running for node in other.nodes()]
        write_scene(run.results, folder / SCENE_NAME, others)


class _Running:
    """A case whose nodes are in the scene."""

    def __init__(self, case: Any, base: str) -> None:
        self.case, self.base = case, base
        self.began = time.perf_counter()
        self.run: Any = None
        self._ids: set[str] = set()
        self._inputs: Path | None = None

    def start(self, logic: Any, job: Any) -> None:
        """Read the files and start the run."""
        import slicer

        from DRAMLesionLib.batch.inputs import neutral_inputs, own_inputs
        from DRAMLesionLib.images.volume import read_ct
        from DRAMLesionLib.lungs.read_lobes import read_lobes
        from DRAMLesionLib.results.scene.mrml import fill_volume_node

        self._inputs = Path(tempfile.mkdtemp(prefix="dramlesion-batch-"))
        try:
            given = own_inputs(self.case) if job.keep_identifiers else neutral_inputs(self.case, self._inputs)
            ct = read_ct(given.image, series=given.series)
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", self.case.name)
            fill_volume_node(node, ct.array, ct)
            node.CreateDefaultDisplayNodes()
            lobesNode = None
            if given.lobes is not None:
                lobes = read_lobes(given.lobes, ct)
                lobesNode = slicer.mrmlScene.AddNewNodeByClass(
                    "vtkMRMLLabelMapVolumeNode", f"{self.case.name} lobes"
                )
                fill_volume_node(lobesNode, lobes.labels, ct)
            self.run = logic.startSegmentation(node, lobesNode, **job.options)
        except Exception as error:
            raise type(error)(self.clean(str(error))) from error

    def clean(self, text: str) -> str:
        """Without the folder of the links."""
        return text.replace(f"{self._inputs}{os.sep}", "")

    def model_checksum(self) -> str:
        """Of the model that made the results."""
        results = self.run.results if self.run is not None else None
        return str(results.record.get("model", {}).get("checksum", "")) if results is not None else ""

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Remember which nodes the block adds."""
        before = _ids()
        try:
            yield
        finally:
            self._ids |= _ids() - before

    def nodes(self) -> list[Any]:
        """Those that are in the scene."""
        import slicer

        found = (slicer.mrmlScene.GetNodeByID(name) for name in sorted(self._ids))
        return [node for node in found if node is not None]

    def clear(self) -> None:
        """Take the case's nodes out of the scene."""
        import slicer

        # First what is shown: the slice views give a volume that has lost its display node a new one.
        shown = ("vtkMRMLDisplayNode", "vtkMRMLStorageNode")
        for node in sorted(self.nodes(), key=lambda node: any(node.IsA(kind) for kind in shown)):
            if node.GetScene() is not None and not node.GetSingletonTag():
                slicer.mrmlScene.RemoveNode(node)
        if self._inputs is not None:
            shutil.rmtree(self._inputs, ignore_errors=True)


_VIEWS: list[Any] = []
"""The logics of slice views that were added: they live as long as the program."""


def add_slice_views() -> None:
    """Add the usual slice views where there are none: without a main window Slicer makes none, and a scene that is saved
    then would open with empty views.
    """
    import slicer

    from DRAMLesionLib.results.scene.headless import SLICE_VIEWS, slice_view

    if slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        return
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene, True)
    logic = slicer.app.applicationLogic()
    _VIEWS[:] = [slice_view(slicer.mrmlScene, logic, *view) for view in SLICE_VIEWS.items()]


def _ids() -> set[str]:
    import slicer

    nodes = slicer.mrmlScene.GetNodes()
    return {nodes.GetItemAsObject(place).GetID() for place in range(nodes.GetNumberOfItems())}


def write_scene(results: Any, path: Path, others: list[Any]) -> None:
    """Write the scene as a bundle, CT and heatmap in the slice views, without the nodes of other cases.

    Raises:
        RuntimeError: Slicer could not write it.
    """
    import slicer

    add_slice_views()
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetBackgroundVolumeID(results.ctNode.GetID())
        composite.SetForegroundVolumeID(results.heatmapNode.GetID())
        composite.SetForegroundOpacity(0.5)
    for view in _VIEWS:
        view.FitSliceToBackground()
    kept = [node for node in others if node.GetSaveWithScene()]
    for node in kept:
        node.SetSaveWithScene(False)
    try:
        if not slicer.mrmlScene.WriteToMRB(str(path)):
            raise RuntimeError("scene.mrb can't be written: check the disk's free space")
    finally:
        for node in kept:
            node.SetSaveWithScene(True)


@contextmanager
def slicer_pool(job: Any, workers: int) -> Iterator[SlicerPool]:
    """A pool whose cases end with the block."""
    pool = SlicerPool(job, workers)
    try:
        yield pool
    finally:
        pool.close()


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line's values."""
    parser = argparse.ArgumentParser(prog="batch.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "input", type=Path, help="folder of CTs (files or DICOM), or a CSV: image, lobes, name"
    )
    parser.add_argument("out", type=Path, help="folder for the results")
    parser.add_argument("--lobes", help="lobes of each case, beside its CT: '{name}_lobes.nii.gz'")
    parser.add_argument("--images", help="which files, '*_ct.nii.gz', or DICOM series by description")
    parser.add_argument("--workers", type=int, default=1, help="cases at once")
    parser.add_argument("--resume", action="store_true", help="do only what is missing, damaged or failed")
    parser.add_argument("--keep-identifiers", action="store_true", help="name cases after DICOM folders")
    parser.add_argument("--model", help="name of a model, or its folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:N or mps")
    # Slicer hands the "--" on that ends its own arguments.
    return parser.parse_args([argument for argument in arguments if argument != "--"])


def main(arguments: list[str]) -> int:
    """Run the batch; returns the exit code."""
    try:
        values = parse(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    find_library()
    from DRAMLesionLib.batch import segment_batch
    from DRAMLesionLib.batch.pools import threads_each
    from DRAMLesionLib.commands.batch import INTERRUPTED, SOME_FAILED, describe
    from DRAMLesionLib.system.errors import InputError

    workers = max(1, values.workers)
    os.environ["OMP_NUM_THREADS"] = str(threads_each(workers))

    def tell(event: Any) -> None:
        left = "" if event.remaining_s is None else f", {event.remaining_s / 60:.0f} min left"
        why = f": {event.outcome.reason}" if event.outcome.reason else ""
        print(
            f"{event.ended}/{event.count} {event.outcome.case} {event.outcome.status}{why}{left}", flush=True
        )

    try:
        result = segment_batch(
            values.input,
            values.out,
            lobes=values.lobes,
            images=values.images,
            open_pool=lambda job: slicer_pool(job, workers),
            resume=values.resume,
            keep_identifiers=values.keep_identifiers,
            segmenter="Slicer",
            options={"model": values.model, "device": values.device},
            tell=tell,
        )
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print("\n".join(describe(result)))
    if result.stopped:
        return INTERRUPTED
    return 0 if result.good else SOME_FAILED


if __name__ == "__main__":
    import slicer

    slicer.util.exit(main(sys.argv[1:]))
