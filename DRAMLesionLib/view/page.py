"""What the page does: its state, and what follows from a click, a key, a stroke or a slider."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from DRAMLesionLib.correction.segment.hold import Hold
from DRAMLesionLib.lesions.reading import LONGEST_NAME
from DRAMLesionLib.results.lesion_list import LesionList, known_lesions
from DRAMLesionLib.results.report.facts import title_of
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import temporary_prefix
from DRAMLesionLib.view.case import Case, read_case
from DRAMLesionLib.view.cases import Entry
from DRAMLesionLib.view.display import Display
from DRAMLesionLib.view.segmenting import Segmenting
from DRAMLesionLib.view.slices import Slices
from DRAMLesionLib.view.sliders import Sliders
from DRAMLesionLib.view.state import Telling, beginning, of_case
from DRAMLesionLib.view.strokes import TOOLS, Brush
from DRAMLesionLib.view.tables import headline, lesion_rows, lobe_rows, lung_rows, rest_text

LIST_REST_S = 1.5
"""The list of lesions and the lesion's surface follow when the lesion has not changed for so long."""


class Page:
    """The page of one server: one case at a time, whatever the number of tabs that show it.

    Attributes:
        slices: The views.
        display: How they show a case.
        case: The open case; None until it is read.
    """

    def __init__(self, server: Any, entries: list[Entry]) -> None:
        """Make the views; no case is open.

        Args:
            server: trame's.
            entries: The case, or the cases of a batch in the order of its list.
        """
        self._entries, self._opened, self.state = entries, entries[0], server.state
        self._segmenting: Segmenting | None = None
        self._telling = Telling(server.state)
        self._hold: Hold | None = None
        self.state.update(beginning())
        self.slices = Slices(server)
        self.case: Case | None = None
        self._brush: Brush | None = None
        self._last_tool = TOOLS[0]
        self._sliders = Sliders(self.state, self._steer, self._on_slider_rest)
        self._resting: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._list_number = 0
        self.display = Display(self.state, self.slices)
        self.state.change("brush_mm", "sphere")(self._on_brush)

    # Opening

    def begin(self) -> None:
        """Open the first case."""
        if len(self._entries) > 1:
            with self.state:
                self.state.cases = [entry.row() for entry in self._entries]
        self._open(self._entries[0])

    def choose_case(self, name: str) -> None:
        """Open another case of the batch; what was done to this one is in its journal."""
        entry = next((entry for entry in self._entries if entry.name == name), None)
        if entry is not None and entry is not self._opened and not self.state.busy:
            self._open(entry)

    def again(self) -> None:
        """Try once more to open a case that could not be opened, or whose segmentation was stopped."""
        if self.case is None and not self.state.busy:
            self._open(self._opened)

    def _open(self, entry: Entry) -> None:
        # At once, not in the task: a second click that is waiting already must find the page busy.
        self._opened = entry
        self._telling.busy("Reading the CT")
        self._spawn(self.open(entry))

    def next_case(self, step: int) -> None:
        """Open the next case of the batch (1), or the one before (-1)."""
        names = [entry.name for entry in self._entries]
        if self.state.case_name in names:
            place = names.index(self.state.case_name) + step
            if 0 <= place < len(names):
                self.choose_case(names[place])

    def tell_tabs(self, tabs: int) -> None:
        """Say in how many tabs the page is open."""
        if tabs != self.state.tabs:
            with self.state:
                self.state.tabs = tabs

    def renew(self) -> None:
        """Show other machines that the open folder is held; call it from time to time."""
        if self._hold is not None:
            self._hold.renew()

    async def open(self, entry: Entry) -> None:
        """Read a case and show it; a CT is segmented before. What goes wrong is said on the page."""
        self.close()
        with self._telling.errors():
            with self.state:
                self.state.update({"case_name": entry.name, "message_seen": False})
            if not entry.is_segmented:
                await self._segment(entry)
            self._telling.busy("Reading the CT")
            self._hold = Hold(entry.places.results)
            findings, held = await asyncio.to_thread(read_case, entry.places)
            self._telling.busy("Showing the CT")
            case = Case(self.slices.app.scene, findings, entry.places, held)
            self.case = case
            self.slices.show(case.nodes)
            self.display.apply()
            self._describe(case)
            self._telling.busy("")
            self._spawn(self._prepare(case))

    async def _segment(self, entry: Entry) -> None:
        def told(stage: str, fraction: float) -> None:
            with self.state:
                self.state.update({"busy": stage, "running": 100 * fraction})

        self._segmenting = Segmenting(entry.places)
        told("Segmenting", 0.0)
        try:
            await self._segmenting.run(told)
        finally:
            self._segmenting = None
            with self.state:
                self.state.running = -1

    @property
    def segmenting(self) -> bool:
        """Whether a segmentation runs."""
        return self._segmenting is not None

    def stop_run(self) -> None:
        """Stop the segmentation that runs."""
        if self._segmenting is not None:
            self._segmenting.stop()

    async def _prepare(self, case: Case) -> None:
        """What is not needed for the first picture: strokes of the journal, ranked lobes, lesions, surfaces."""
        with self._telling.errors():
            if case.journal.actions:
                self._telling.busy("Doing again what was painted before")
                await asyncio.sleep(0)
                count = self._resume(case)
                case.notes.append(f"{count} steps of the earlier session were done again.")
            if self.case is not case:
                return
            self._brush = Brush(
                self.slices.app.segmentation_editor, case.nodes, self._on_stroke, self._is_own
            )
            self._on_brush()
            known = None if case.journal.actions else known_lesions(case.findings)
            if known is None:
                known = await asyncio.to_thread(case.lesions, case.correction.lesion.copy())
                if self.case is not case:
                    return
            self._show_lesions(known)
            self._telling.busy("")
            self._follow()
            await self.slices.seen()
            if self.case is not case:
                return
            self.slices.make_surfaces()
            ranked = await asyncio.to_thread(case.rank)
            if self.case is case:
                case.ranked = ranked
                with self.state:
                    self.state.ranked = sorted(ranked)

    def _resume(self, case: Case) -> int:
        try:
            return case.resume()
        except InputError:
            self.close()  # a part of what was painted would pass for all of it
            raise

    def close(self) -> None:
        """Let go of the open case; what was done to it is in its journal."""
        self.stop_run()
        self._sliders.forget()
        if self._resting is not None:
            self._resting.cancel()
        if self._brush is not None:
            self._brush.end()
        if self.case is not None:
            with self._telling.errors():
                self.case.look(bool(self.state.inside_lobes), bool(self.state.auto_refine))
                self.case.settle()
            self.slices.drop_lesion_surface()
            nodes = self.case.nodes
            for node in (nodes.lesion, nodes.lobes, nodes.heatmap, nodes.chart, nodes.table, nodes.ct):
                self.slices.app.scene.RemoveNode(node)
            self.slices.forget()
        if self._hold is not None:
            self._hold.release()
        self.case, self._brush, self._hold = None, None, None
        with self.state:
            self.state.update(of_case())

    def _describe(self, case: Case) -> None:
        """What of the page stays the same while the case is open."""
        flags = [{"sentence": flag.sentence, "remedy": flag.remedy} for flag in case.flags]
        with self.state:
            self.state.title = title_of(case.findings)
            self.state.flags = flags
            self.state.approximate = case.findings.lobes.approximate
            self.state.out, self.state.training = str(case.places.out), str(case.places.training)
            self.state.ready = True
        self._follow()

    # What is shown

    def _follow(self) -> None:
        """Let table, sliders and buttons follow from the lesion as it is now."""
        case = self.case
        if case is None:
            return
        correction, table = case.correction, case.correction.table
        rows = lobe_rows(table, correction.said)
        with self.state:
            state = self.state
            state.lobes, state.lungs, state.headline = rows, lung_rows(table), headline(table)
            state.can_undo, state.can_redo = correction.can_undo, correction.can_redo
            state.can_refine = bool(correction.waiting)
            state.notes = list(case.notes)
        self._sliders.show(rows)

    def _changed(self) -> None:
        """The lesion is another one: the table follows at once, list and surface when the hand rests."""
        self.slices.drop_lesion_surface()
        self._follow()
        with self.state:
            self.state.lesions_note = "The lesion was changed: the list follows."
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(LIST_REST_S, self._list_again)

    def _list_again(self) -> None:
        self._spawn(self._list())

    async def _list(self) -> None:
        case = self.case
        if case is None:
            return
        self._list_number += 1
        number = self._list_number
        with self._telling.errors():
            lesions = await asyncio.to_thread(case.lesions, case.correction.lesion.copy())
            if self.case is case and number == self._list_number:
                self._show_lesions(lesions)
                self.slices.make_surfaces()

    def _show_lesions(self, lesions: LesionList) -> None:
        with self.state:
            self.state.lesions, self.state.lesions_note = lesion_rows(lesions), rest_text(lesions)

    def jump(self, number: int) -> None:
        """Show a lesion of the list in all planes."""
        row = next((row for row in self.state.lesions if row["number"] == number), None)
        if row is not None:
            self.slices.jump(*row["ras_mm"])
            self.state.lesion_chosen = number

    def next_lesion(self, step: int) -> None:
        """Show the next lesion of the list (1), or the one before (-1)."""
        numbers = [row["number"] for row in self.state.lesions]
        if numbers:
            chosen = self.state.lesion_chosen
            place = numbers.index(chosen) + step if chosen in numbers else (0 if step > 0 else -1)
            self.jump(numbers[place % len(numbers)])

    # Strokes

    def choose(self, tool: str) -> None:
        """Take a tool into the hand; the same again, or "", puts it down; ``last`` toggles the last one."""
        if self._brush is None:
            return
        tool = (self._last_tool if not self._brush.tool else "") if tool == "last" else tool
        tool = "" if tool == self._brush.tool else tool
        self._last_tool = tool or self._brush.tool or self._last_tool
        self._brush.choose(tool)
        self.state.tool, self.slices.painting = tool, bool(tool)

    def _is_own(self) -> bool:
        """Whether the lesion is being changed by a slider, a refinement or undo: no stroke."""
        return self.case is None or self.case.correction.busy

    def _on_stroke(self) -> None:
        case = self.case
        if case is None:
            return
        with self._telling.errors():
            if case.look(bool(self.state.inside_lobes), bool(self.state.auto_refine)):
                self._changed()

    def refine(self) -> None:
        """Let the lesion follow from strokes that wait."""
        self._do(lambda case: case.refine())

    def undo(self) -> None:
        """Take the last step back, painted or steered."""
        self._do(lambda case: case.undo())

    def redo(self) -> None:
        """Make the step again that was taken back last."""
        self._do(lambda case: case.redo())

    def _do(self, action: Callable[[Case], bool]) -> None:
        self._sliders.apply()
        if self.case is not None:
            with self._telling.errors():
                if action(self.case):
                    self._changed()

    # Sliders

    def reset(self, lobe: int) -> None:
        """Give a lobe the model's own lesion again, with what was painted."""
        self._sliders.reset(lobe)

    def _steer(self, lobe: int, percent: float | None) -> float | None:
        if self.case is not None:
            with self._telling.errors():
                self.slices.drop_lesion_surface()
                who = str(self.state.reader or "").strip()[:LONGEST_NAME]
                return self.case.steer(lobe, percent, who)
        return None

    def _on_slider_rest(self) -> None:
        if self.case is not None:
            with self._telling.errors():
                self.case.settle()
                self._changed()

    # What takes seconds

    def save(self) -> None:
        """Write the corrected results into their folder."""
        self._spawn(self._write("Saving", lambda case: case.save, "Saved: {path}"))

    def accept(self) -> None:
        """Store the case in the training folder."""
        self._spawn(self._write("Storing the case", lambda case: case.accept, "Accepted: {path}"))

    async def _write(self, stage: str, method: Callable[[Case], Callable[..., Path]], words: str) -> None:
        case = self.case
        if self.state.busy:
            self._telling.say(f"{self.state.busy}: try again when that is done", "error")
            return
        if case is None:
            self._telling.say("No case is open: open it again first", "error")
            return
        with self._telling.errors():
            findings, edits = case.current()
            self._telling.busy(stage)
            path = await asyncio.to_thread(method(case), findings, edits)
            self._telling.busy("")
            self._telling.say(words.format(path=path))
            self._follow()

    async def report(self) -> bytes:
        """The report of the case as it is now: a web page.

        Raises:
            InputError: No case is open.
        """
        if self.case is None:
            raise InputError("no case is open: wait until the CT is shown")
        findings, _edits = self.case.current()
        with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as folder:
            path = Path(folder) / "report.html"
            await asyncio.to_thread(self.case.report, findings, path)
            return path.read_bytes()

    def _on_brush(self, **_state: Any) -> None:
        if self._brush is not None:
            self._brush.set_size(float(self.state.brush_mm), bool(self.state.sphere))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
