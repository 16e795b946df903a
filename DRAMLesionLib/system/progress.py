"""How long work tells where it is, and how much of the whole that is."""

import math
import time
from collections.abc import Callable, Mapping

Progress = Callable[[str, float], None]
"""Called as ``progress(stage, fraction)``: the stage's name for people, and the fraction of it that is done, 0..1.

Raise from it (for instance :class:`Cancelled`) to stop the work; nothing is left half-written.
"""


class Cancelled(Exception):
    """The user stopped the work."""


def silent(stage: str, fraction: float) -> None:
    """A progress callback that shows nothing."""


PRIOR_S = 5.0
"""The usual pace counts as much as that of the first five seconds: a slow start does not make a slow run at once."""
LEAST_S, LEAST_FRACTION = 2.0, 0.04
"""Where nothing usual is known, the time left is told when so much has passed and is done."""


class Estimate:
    """How much of the whole is done, from the stages that are told, and how long the rest may take.

    Where the usual seconds of the stages are known, both are known from the start, and follow the pace that this run
    has. A stage that tells nothing while it works advances by its usual pace, ever more slowly. The fraction of the
    whole never goes back.

    Attributes:
        stage: The stage that was told last; empty before the first.
    """

    def __init__(
        self, seconds: Mapping[str, float] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock.

        Args:
            seconds: What each stage usually takes, in the order of the stages. A stage whose name begins with one of
                these counts as that one. None: nothing is usual, and each stage is a whole of its own.
            clock: Seconds.
        """
        self._clock, self._start = clock, clock()
        self._spans: dict[str, tuple[float, float]] = {}
        end = 0.0
        for name, length in (seconds or {}).items():
            self._spans[name] = (end, end + length)
            end += length
        self._whole = end or 1.0
        self._told_at, self._done, self._end, self._shown = self._start, 0.0, 0.0, 0.0
        self.stage = ""

    @property
    def knows_the_whole(self) -> bool:
        """Whether :attr:`fraction` is that of the whole, and not of the stage alone."""
        return bool(self._spans)

    def report(self, stage: str, fraction: float) -> None:
        """Take what work tells; a stage that is unknown here keeps the fraction where it is."""
        part, now = min(max(fraction, 0.0), 1.0), self._clock()
        if self.knows_the_whole:
            self._shown = max(self._shown, self._done_now())
            begin, end = self._span(stage)
            self._done = max(self._done, begin + part * (end - begin))
            self._end = max(end, self._done)
        else:
            if stage != self.stage:
                self._start = now
            self._done, self._end = part, part
        self.stage, self._told_at = stage, now

    @property
    def fraction(self) -> float:
        """How much of the whole is done, 0..1; of the stage where the whole is not known."""
        return min(1.0, max(self._shown, self._done_now()) / self._whole)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work, or the stage where the whole is not known, began."""
        return self._clock() - self._start

    @property
    def remaining_s(self) -> float | None:
        """Seconds that the rest may take, 1 at least; None while that can't be told."""
        done, elapsed = self._done_now(), self.elapsed_s
        if self.knows_the_whole:
            return max(1.0, (self._whole - done) * self._pace(elapsed, done))
        if elapsed < LEAST_S or done < LEAST_FRACTION:
            return None
        return max(1.0, elapsed * (1 - done) / done)

    def _done_now(self) -> float:
        """Usual seconds of the whole that are over, with what the stage has probably done since it told anything."""
        rest = self._end - self._done
        if rest <= 0:
            return self._done
        expected = rest * self._pace(self._told_at - self._start, self._done)
        return self._done + rest * (1 - math.exp(-(self._clock() - self._told_at) / expected))

    @staticmethod
    def _pace(elapsed: float, done: float) -> float:
        """Seconds of this run for a usual second."""
        return (elapsed + PRIOR_S) / (done + PRIOR_S)

    def _span(self, stage: str) -> tuple[float, float]:
        """Where a stage begins and ends in the whole."""
        for name, span in self._spans.items():
            if stage.startswith(name):
                return span
        return self._done, self._done


def duration(seconds: float) -> str:
    """Seconds for people: ``40 s``, ``3 min 20 s``, ``2 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
