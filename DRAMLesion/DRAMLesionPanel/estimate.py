"""How much of a run is done and how long the rest may take, from the stages that the library reports."""

import time
from collections.abc import Callable

from slicer.i18n import tr as _

SHARES = {
    "Reading the CT": 0.03,
    "Lobes": 0.22,
    "Computing the dRAM": 0.40,
    "Refining the dRAM": 0.20,
    "Writing the results": 0.05,
    "Writing the report": 0.10,
}
"""Roughly how the time of a run divides, in the order of the stages."""

MINIMUM_SECONDS = 3.0
"""Before this much time has passed an estimate would jump about."""


class Estimate:
    """Turns the fraction of a stage into that of the whole, which never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock."""
        self._clock = clock
        self._start = clock()
        self.fraction = 0.0
        self.stage = ""

    def report(self, stage: str, fraction: float) -> None:
        """Take what the library reports; a stage that is unknown here keeps the fraction where it is."""
        self.stage = stage
        if stage == "Done":
            self.fraction = 1.0
        elif stage in SHARES:
            names = list(SHARES)
            before = sum(SHARES[name] for name in names[: names.index(stage)])
            self.fraction = max(self.fraction, before + SHARES[stage] * min(max(fraction, 0.0), 1.0))

    def remainingSeconds(self) -> float | None:
        """None while it can't be told."""
        elapsed = self._clock() - self._start
        if elapsed < MINIMUM_SECONDS or self.fraction < 0.05:
            return None
        return elapsed * (1 - self.fraction) / self.fraction

    def text(self) -> str:
        """For people: the stage and the time that is left."""
        stage = self.stage or _("Starting")
        seconds = self.remainingSeconds()
        if seconds is None:
            return stage
        if seconds < 90:
            return _("{stage}, about {seconds} s left").format(stage=stage, seconds=max(1, round(seconds)))
        return _("{stage}, about {minutes} min left").format(stage=stage, minutes=round(seconds / 60))
