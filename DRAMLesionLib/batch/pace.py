"""Where a batch is, and how long the rest of it may take."""

import time

from DRAMLesionLib.batch.pools import Moving
from DRAMLesionLib.batch.work import CRASHED, Outcome

CASE_S, STARTING_S = 20.0, 5.0
"""What a case, and the start of the workers, usually takes: what the first estimate of the time left rests on."""
_NAMED = 2


def whereabouts(ended: int, count: int, moving: Moving) -> tuple[str, float]:
    """Where a batch is, for people, and how much of it is done: ``Segmenting, 3 of 40 done: case0004, Lobes``.

    Args:
        ended: Cases that have come to their end.
        count: All cases.
        moving: Those that are being done.
    """
    done = ended + sum(fraction for _, fraction in moving.values())
    names = sorted(moving)
    words = [f"{name}, {moving[name][0]}" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        words.append(f"{len(names) - _NAMED} more")
    text = f"Segmenting, {ended} of {count} done"
    return (": ".join([text, "; ".join(words)]) if words else text), done / max(1, count)


def usual_seconds(cases: int, at_once: int) -> dict[str, float]:
    """The stages that are left once the cases are known, and the seconds that each usually takes.

    Args:
        cases: How many cases there are.
        at_once: How many are done at a time.
    """
    rounds = -(-cases // max(1, min(cases, at_once)))
    return {"Segmenting": STARTING_S + CASE_S * rounds, "Writing the tables": 2.0}


class Clock:
    """Tells from the cases that were computed how long the others take."""

    def __init__(self) -> None:
        """Start it."""
        self._start = time.monotonic()
        self._computed = 0

    def count(self, outcome: Outcome) -> None:
        """Take a case that ended."""
        self._computed += outcome.status != CRASHED and not outcome.kept

    def remaining_s(self, left: int) -> float | None:
        """Seconds for as many more cases; None before one was computed."""
        if not self._computed:
            return None
        # Cases that were done before take no time: they are seen first, and mostly over by now.
        return (time.monotonic() - self._start) / self._computed * left
