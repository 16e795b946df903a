"""What a command shows: progress bars for people or JSON lines for programs, one line for an error, the exit code.

Its streams outlive their reader, and names of files are UTF-8 whatever the locale.
"""

import errno
import io
import json
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import typer

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.memory import is_out_of_memory
from DRAMLesionLib.system.package import module_command
from DRAMLesionLib.system.progress import Cancelled

if TYPE_CHECKING:
    from rich.console import Console


class Reporter:
    """Wraps a command: shows its progress, its result, and its error as one line with the right exit code."""

    def __init__(self, as_json: bool, debug: bool):
        """Choose how to show.

        Args:
            as_json: JSON lines on standard output instead of text and bars.
            debug: Let errors through with their traceback.
        """
        self._json, self._debug = as_json, debug
        self._bars: Any = None
        self._task: Any = None
        self._stage = ""

    @property
    def console(self) -> "Console":
        """Where results for people go."""
        from rich.console import Console

        return Console()

    def __enter__(self) -> "Reporter":
        return self

    def progress(self, stage: str, fraction: float) -> None:
        """Show where the work is; see :data:`DRAMLesionLib.system.progress.Progress`."""
        if self._json:
            print_json({"event": "progress", "stage": stage, "fraction": round(fraction, 4)})
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if stage != self._stage:
            self._finish_stage()
            self._stage, self._task = stage, self._bars.add_task(stage, total=1.0)
        self._bars.update(self._task, completed=fraction)

    def log(self, values: dict[str, Any]) -> None:
        """Report an event of a training: a JSON line, or its figures at the bar (a step) and above it (an epoch)."""
        if self._json:
            print_json(values)
            return
        if self._bars is None:
            return
        kind = values["event"]
        if kind == "step":
            self._bars.update(
                self._task,
                completed=values["step"] / values["steps"],
                description=f"{self._stage}, epoch {values['epoch']} of {values['epochs']}, loss {values['loss']:.3f}",
            )
        elif kind == "epoch":
            shown = {k: v for k, v in values.items() if k not in ("event", "epochs", "step", "steps")}
            line = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items())
            self._bars.console.print(line, highlight=False)

    def result(self, values: dict[str, Any]) -> None:
        """End the bars; with JSON, print the result."""
        self._finish_stage()
        self._stop()
        if self._json:
            print_json({"event": "result", **values})

    def note(self, text: str) -> None:
        """A line for people."""
        if not self._json:
            print(text)

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

    def _finish_stage(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=1.0)

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


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


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class Pipe(io.RawIOBase):
    """A file descriptor to write to; once nobody reads it, what is written goes nowhere.

    So ``dramlesion segment ... --json | head -1`` finishes its work, and ends with exit code 0.
    """

    def __init__(self, descriptor: int):
        """Take over a descriptor, which stays open.

        Args:
            descriptor: 1 or 2.
        """
        self._descriptor = descriptor

    def write(self, data: Any) -> int:
        """Write bytes, or drop them."""
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            # Windows says EINVAL where nobody reads.
            if error.errno not in (errno.EPIPE, errno.EINVAL, errno.EBADF):
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._descriptor)
            os.close(nowhere)
            return len(data)

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return os.isatty(self._descriptor)


def lasting(stream: TextIO | None) -> TextIO:
    """A text stream like ``stream`` that writes names in any script, and goes on where its reader has gone.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``; None where the process has none.
    """
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):  # a program has put something of its own there
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(Pipe(descriptor)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )


def restart_in_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where names of files would be taken for ASCII (``LC_ALL=C``).

    File names are bytes that nearly always are UTF-8; as ASCII, no library could open ``M\u00fcller.nii.gz``.
    """
    if sys.getfilesystemencoding().lower().replace("-", "") == "utf8" or os.name == "nt":
        return
    command = module_command("DRAMLesionLib", *sys.argv[1:], options=("-X", "utf8"))
    os.execv(sys.executable, [os.fsencode(word) for word in command])
