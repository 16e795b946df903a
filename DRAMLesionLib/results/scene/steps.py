"""Long work in the application's own process, cut into steps: between two of them the window lives.

A step is what a generator does up to its next ``yield``, which names what was done. Its return value is the result.
"""

import time
from collections.abc import Generator
from typing import TypeVar

WAITING = "waiting"
"""What a step yields that has nothing to do but to wait for another process."""
_NAP_S = 0.02

Result = TypeVar("Result")
Steps = Generator[str, None, Result]


def finish(steps: Steps[Result]) -> Result:
    """Do all steps at once, for those who can wait."""
    while True:
        try:
            if next(steps) == WAITING:
                time.sleep(_NAP_S)
        except StopIteration as end:
            return end.value
