"""What a command shows: progress for people or JSON lines for programs, one line for an error, the exit code.

How the bar looks is in :mod:`DRAMLesionLib.commands.terminal.display`.
"""

import json
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from DRAMLesionLib.commands.terminal.display import Display, open_display
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import check_folder
from DRAMLesionLib.system.memory import is_out_of_memory
from DRAMLesionLib.system.progress import Cancelled, Estimate

if TYPE_CHECKING:
    from rich.console import Console

    from DRAMLesionLib.lesions.quality import Flag


class Reporter:
    """Wraps a command: shows its progress, its result, and its error as one line with the right exit code.

    In a terminal one bar shows how much of the whole is done, the stage, and the time left; elsewhere each stage is one
    line. Progress goes to standard error.
    """

    def __init__(self, as_json: bool, debug: bool, seconds: Mapping[str, float] | None = None):
        """Choose how to show.

        Args:
            as_json: JSON lines on standard output instead of text and bars.
            debug: Let errors through with their traceback.
            seconds: What each of the command's stages usually takes: see
                :class:`~DRAMLesionLib.system.progress.Estimate`. None: each stage fills the bar anew.
        """
        self._json, self._debug = as_json, debug
        self._estimate = Estimate(seconds)
        self._display: Display | None = None

    @property
    def console(self) -> "Console":
        """Where results for people go."""
        from rich.console import Console

        return Console()

    def __enter__(self) -> "Reporter":
        return self

    def begin(self, out: Path) -> None:
        """See that results can be written, and give the first sign of life: both before anything long is imported.

        Args:
            out: The folder for the results.

        Raises:
            OutputError: It can't be written.
        """
        check_folder(out)
        self.progress("Starting", 0.0)

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Say what each stage usually takes, once that is known; the clock starts anew."""
        self._estimate = Estimate(seconds)
        if self._display is not None:
            self._display.estimate = self._estimate

    def progress(self, stage: str, fraction: float) -> None:
        """Show where the work is; see :data:`DRAMLesionLib.system.progress.Progress`."""
        self._estimate.report(stage, fraction)
        if self._json:
            print_json({"event": "progress", "stage": stage, "fraction": round(fraction, 4), **self._whole()})
            return
        if self._display is None:
            self._display = open_display(self._estimate)
        self._display.show(stage)

    def _whole(self) -> dict[str, Any]:
        """How much of the whole is done and how long the rest may take, where that is known: JSON values."""
        if not self._estimate.knows_the_whole:
            return {}
        left = self._estimate.remaining_s
        return {
            "overall": round(self._estimate.fraction, 4),
            "remaining_s": None if left is None else round(left),
        }

    def log(self, values: dict[str, Any]) -> None:
        """Report an event of a training: a JSON line, or its figures at the bar (a step) and above it (an epoch)."""
        if self._json:
            print_json(values)
            return
        if self._display is None:
            return
        kind = values["event"]
        if kind == "step":
            stage = self._estimate.stage
            told = f"{stage}, epoch {values['epoch']} of {values['epochs']}, loss {values['loss']:.3f}"
            self._estimate.report(stage, values["step"] / values["steps"])
            self._display.show(told, passing=True)
        elif kind == "epoch":
            shown = {k: v for k, v in values.items() if k not in ("event", "epochs", "step", "steps")}
            line = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items())
            self._display.line(line)
        elif kind == "case" and values["status"] != "done":
            self._display.line(f"{values['case']} {values['status']}: {values['reason']}")

    def result(self, values: dict[str, Any]) -> None:
        """End the bar; with JSON, print the result."""
        self._stop()
        if self._json:
            print_json({"event": "result", **values})

    def note(self, text: str) -> None:
        """A line for people."""
        if not self._json:
            print(text)

    def look(self, flags: "Iterable[Flag]") -> None:
        """A line for each sign that a person should look, with what to do."""
        for flag in flags:
            self.note(f"Look: {flag.sentence}: {flag.remedy}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if error is None or self._debug or isinstance(error, typer.Exit):
            return
        line, code = _explain(error)
        if self._json:
            print_json({"event": "error", "message": line, "code": code})
            if code == 1:  # nobody can ask for --debug through a panel: its log has to tell
                traceback.print_exception(error)
        print(f"Error: {line}", file=sys.stderr)
        raise typer.Exit(code)

    def _stop(self) -> None:
        if self._display is not None:
            self._display.close()
            self._display = None


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON line, in ASCII where the stream can't take other letters."""
    encoding = (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "")
    print(json.dumps(values, ensure_ascii=encoding != "utf8"), flush=True)


INTERRUPTED = 130
"""The exit code of a command that was stopped."""


def _explain(error: BaseException) -> tuple[str, int]:
    if isinstance(error, InputError):
        return " ".join(str(error).split()), 2
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return "stopped; nothing was written", INTERRUPTED
    if is_out_of_memory(error):
        return (
            "not enough memory: close other programs, or use --device cpu, or give a CT with thicker slices",
            2,
        )
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}: check the path, its permissions and the free space", 2
    reason = " ".join(str(error).split()) or "no reason given"
    return (
        f"fault of the program: {type(error).__name__}: {reason}: run it again with --debug and report it",
        1,
    )
