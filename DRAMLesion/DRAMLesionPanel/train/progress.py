"""Where a training stands, from the events of its process."""

import re
import time
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from DRAMLesionPanel.train.job import LABELLING, TRAINING

VALIDATION = "validation_"
GOOD_POINTS, POOR_POINTS = 3.5, 14.0
"""Errors of a lobe's percentage, in points, on scans that a network had not seen, from the project's own study: what the
recipes left at most (1.1 to 3.5), and what a plain threshold left."""
STALLED = 5
"""So many validations without a new best one: the error falls no longer."""
BINS = 150
"""Points of the loss curve at most: more than a narrow panel has pixels for would only be noise."""


class TrainingProgress:
    """Takes the events one by one, those of an earlier process, too.

    Attributes:
        epoch, epochs: Which epoch is in work, and of how many; 0 before the first step.
        step, steps: The same of steps.
        losses: By step.
        validations: What the validation scans say, by epoch; in percentage points of a lobe, lower is better.
        model: The finished model's folder.
        error: One line, once it has failed.
        stopped: Whether it ended at a checkpoint.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has happened yet."""
        self._clock = clock
        self.epoch = self.epochs = self.step = self.steps = 0
        self.losses: dict[int, float] = {}
        self.validations: dict[int, float] = {}
        self._begin()

    def take(self, event: dict[str, Any]) -> None:
        """Take an event."""
        kind = event["event"]
        if kind == "begin":
            self._begin()
            self.twoStages = bool(event.get("labels_by"))
        elif kind == "begin_stage":
            self._part, self._stage, self.fraction = event["stage"], "", 0.0
        elif kind == "progress":
            self._stage = str(event["stage"])
            if self._part == LABELLING:
                self.fraction = _casesDone(self._stage)
        elif kind in ("step", "epoch"):
            self._takeFigures(event)
        elif kind == "stopped":
            self.stopped = True
        elif kind == "error":
            self.error = str(event["message"])
        elif kind == "result":
            self.model, self.fraction = str(event["model"]), 1.0

    def remainingSeconds(self) -> float | None:
        """Of the training's steps, validation included; None while it can't be told."""
        if self._secondsPerStep is None or not self.steps:
            return None
        passed = self._clock() - self._lastStep
        return max(1.0, (self.steps - self.step) * self._secondsPerStep - passed)

    def text(self) -> str:
        """For people: the stage, the epoch, and the time that is left."""
        if self._part == LABELLING:
            text = _("Labels (1 of 2): {stage}").format(stage=self._stage)
        elif self._stage or not self.step:
            text = self._stage or _("Starting")
        else:
            text = _("Epoch {epoch} of {epochs}").format(epoch=self.epoch, epochs=self.epochs)
        if self._part == TRAINING and self.twoStages:
            text = _("Training (2 of 2): {stage}").format(stage=text)
        left = self.remainingSeconds() if self._part == TRAINING and not self._stage else None
        if left is None:
            return text
        return _("{text}, about {time} left").format(text=text, time=_duration(left))

    def verdict(self) -> str:
        """For people: whether the validation's error is good, in a sentence or two; empty before the first step."""
        if not self.losses:
            return ""
        if not self.validations:
            return _("No scans are watched yet: the loss says nothing of scans that it does not learn from.")
        best = min(self.validations, key=lambda epoch: self.validations[epoch])
        text = _(
            "The watched scans' percentages are off by {last:.1f} points; best: {best:.1f}, epoch {epoch}."
        )
        text = text.format(
            last=self.validations[max(self.validations)], best=self.validations[best], epoch=best
        )
        if self.validations[best] <= GOOD_POINTS:
            text += " " + _("That is as near as the recipes came on scans that they had not seen.")
        elif self.validations[best] < POOR_POINTS:
            text += " " + _(
                "That is better than a threshold (14 points), not yet what the recipes can do (1 to 3.5)."
            )
        else:
            text += " " + _(
                "That is no better than a threshold (14 points): look at the percentages, or train longer."
            )
        later = sum(epoch > best for epoch in self.validations)
        return text + (" " + _("It falls no longer.") if later >= STALLED else "")

    def curve(self) -> list[tuple[float, float]]:
        """The loss: (epochs done, mean of some steps), as many points as can be seen."""
        if not self.losses or not self.steps:
            return []
        width = max(1, -(-self.steps // BINS))
        bins: dict[int, list[float]] = {}
        for step, loss in sorted(self.losses.items()):
            bins.setdefault((step - 1) // width, []).append(loss)
        scale = self.epochs / self.steps
        return [
            (min(self.steps, (number + 0.5) * width) * scale, sum(values) / len(values))
            for number, values in bins.items()
        ]

    def _begin(self) -> None:
        self.model: str | None = None
        self.error: str | None = None
        self.stopped = self.twoStages = False
        self.fraction = 0.0
        self._part, self._stage = "", ""
        self._secondsPerStep: float | None = None
        self._firstStep: tuple[int, float] | None = None
        self._lastStep = self._clock()

    def _takeFigures(self, event: dict[str, Any]) -> None:
        self._stage = ""
        self.epoch, self.epochs = int(event["epoch"]), int(event["epochs"])
        self.step, self.steps = int(event["step"]), int(event["steps"])
        self.fraction = self.step / self.steps
        now = self._lastStep = self._clock()
        if event["event"] == "step":
            self.losses[self.step] = float(event["loss"])
            self._firstStep = self._firstStep or (self.step, now)
            first, began = self._firstStep
            # The steps of an earlier session are all read at once, which says nothing.
            if self.step > first and now - began > 1.0:
                self._secondsPerStep = (now - began) / (self.step - first)
            return
        # The library's own count goes on over all sessions, and has the validations.
        self._secondsPerStep = float(event["seconds"]) / self.step
        self._firstStep = None
        for key, value in event.items():
            if key.startswith(VALIDATION) and isinstance(value, int | float):
                self.validations[self.epoch] = float(value)


def _casesDone(stage: str) -> float:
    """The fraction of the cases that are labelled; that of a stage starts anew for each, and the bar would go back."""
    found = re.search(r", (\d+) of (\d+): ", stage)
    return (int(found[1]) - 1) / int(found[2]) if found else 0.0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return _("{seconds} s").format(seconds=round(seconds))
    if seconds < 5400:
        return _("{minutes} min").format(minutes=round(seconds / 60))
    return _("{hours} h").format(hours=round(seconds / 3600, 1))
