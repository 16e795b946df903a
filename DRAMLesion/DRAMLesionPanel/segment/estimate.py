"""How much of a run is done and how long the rest may take, from the stages that the library reports."""

import time
from collections.abc import Callable, Mapping

from slicer.i18n import tr as _

ARRIVAL = "Bringing the results into the scene"
"""The last stage, which is not the library's."""

SHARES = {
    "Reading the CT": 0.03,
    "Lobes": 0.15,
    "Computing the dRAM": 0.48,
    "Refining the dRAM": 0.14,
    "Handing over": 0.04,
    ARRIVAL: 0.16,
}
"""Roughly how the time of a run on a CPU divides, in the order of the stages, where the lesion map makes the mask."""

FINAL_SHARES = {
    "Reading the CT": 0.02,
    "Lobes": 0.25,
    "Segmenting the lesions": 0.15,
    "Computing the dRAM": 0.26,
    "Refining the dRAM": 0.20,
    "Handing over": 0.03,
    ARRIVAL: 0.09,
}
"""The same where the final network makes it."""

MINIMUM_SECONDS = 3.0
MINIMUM_FRACTION = 0.05
"""Before this an estimate would jump about."""


class Estimate:
    """Turns the fraction of a stage into that of the whole, which never goes back."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, shares: Mapping[str, float] = SHARES
    ) -> None:
        """Start the clock.

        Args:
            clock: Seconds.
            shares: How the time divides among the stages, in their order.
        """
        self._clock, self._shares = clock, shares
        self._start = clock()
        self._end: float | None = None
        self.fraction = 0.0
        self.stage = ""

    def report(self, stage: str, fraction: float) -> None:
        """Take what the library reports; a stage that is unknown here keeps the fraction where it is."""
        if not self.stage:
            # Python and its packages took the time until here, which says nothing of the rest.
            self._start = self._clock()
        self.stage = stage
        before = self.fraction
        self._advance(stage, fraction)
        elapsed = self._clock() - self._start
        if self.fraction > before and elapsed > MINIMUM_SECONDS and self.fraction > MINIMUM_FRACTION:
            # Between two reports the clock counts down to this.
            self._end = self._clock() + elapsed * (1 - self.fraction) / self.fraction

    def _advance(self, stage: str, fraction: float) -> None:
        if stage in self._shares:
            names = list(self._shares)
            before = sum(self._shares[name] for name in names[: names.index(stage)])
            self.fraction = max(self.fraction, before + self._shares[stage] * min(max(fraction, 0.0), 1.0))

    def remainingSeconds(self) -> float | None:
        """None while it can't be told."""
        return None if self._end is None else max(1.0, self._end - self._clock())

    def text(self) -> str:
        """For people: the stage and the time that is left."""
        stage = self.stage or _("Starting")
        seconds = self.remainingSeconds()
        if seconds is None:
            return stage
        if seconds < 90:
            return _("{stage}, about {seconds} s left").format(stage=stage, seconds=round(seconds))
        return _("{stage}, about {minutes} min left").format(stage=stage, minutes=round(seconds / 60))
