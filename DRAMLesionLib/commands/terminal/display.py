"""How a command's progress looks: one bar in a terminal, a line for each stage elsewhere."""

import sys
from typing import Any, Protocol, TextIO

from DRAMLesionLib.system.progress import Estimate, duration

LONGEST_STAGE = 60
"""Characters of a stage that a line of a terminal has room for, beside bar and time."""


class Display(Protocol):
    """Shows one piece of work."""

    estimate: Estimate

    def show(self, stage: str, passing: bool = False) -> None:
        """Show a stage; one that passes at once is shown where the display can take it back."""

    def line(self, text: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """End it."""


def open_display(estimate: Estimate, stream: TextIO | None = None) -> Display:
    """A display on standard error, or on another stream.

    Args:
        estimate: What it shows; the display reads it and never changes it.
        stream: A text stream.
    """
    stream = stream or sys.stderr
    return Bar(estimate, stream) if stream.isatty() else Lines(estimate, stream)


def time_left(estimate: Estimate) -> str:
    """The time left for people: ``about 40 s left``; the time that passed while that can't be told."""
    left = estimate.remaining_s
    return duration(estimate.elapsed_s) if left is None else f"about {duration(_rough(left))} left"


def _rough(seconds: float) -> float:
    """An estimate as exact as it is: to seconds, tens of seconds, and minutes."""
    step = 1 if seconds < 30 else 10 if seconds < 300 else 60
    return step * round(seconds / step)


class Lines:
    """A line for each stage, for logs and programs."""

    def __init__(self, estimate: Estimate, stream: TextIO) -> None:
        """Nothing is written yet."""
        self.estimate, self._stream, self._stage = estimate, stream, ""

    def show(self, stage: str, passing: bool = False) -> None:
        """Write a stage when it begins, without what changes within it (behind a colon)."""
        name = stage.partition(":")[0]
        if name != self._stage and not passing:
            self._stage = name
            self.line(name)

    def line(self, text: str) -> None:
        """Write a line."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is left to do."""


class Bar:
    """One bar for the whole: the stage, how much is done, and the time left, which counts down."""

    def __init__(self, estimate: Estimate, stream: TextIO) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn
        from rich.text import Text

        self.estimate = estimate
        display = self

        class Left(ProgressColumn):
            """The time left."""

            def render(self, task: Any) -> Text:
                return Text(time_left(display.estimate), style="progress.remaining")

        class Live(Progress):
            """A bar that moves between two reports, too: the estimate is asked whenever it is drawn."""

            def make_tasks_table(self, tasks: Any) -> Any:
                for task in tasks:
                    task.completed = display.estimate.fraction
                return super().make_tasks_table(tasks)

        self._rich = Live(
            BarColumn(24),
            TaskProgressColumn(),
            Left(),
            TextColumn("{task.description}", markup=False),
            console=Console(file=stream),
            refresh_per_second=4,
            transient=True,
        )
        self._task = self._rich.add_task("", total=1.0)
        self._rich.start()

    def show(self, stage: str, passing: bool = False) -> None:
        """Show a stage beside the bar."""
        shown = stage if len(stage) <= LONGEST_STAGE else f"{stage[: LONGEST_STAGE - 1]}…"
        self._rich.update(self._task, description=shown)

    def line(self, text: str) -> None:
        """Write a line above the bar."""
        self._rich.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bar away; what was written above it stays."""
        self._rich.stop()
