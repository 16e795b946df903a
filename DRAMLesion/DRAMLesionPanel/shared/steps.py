"""Long work in the application's own process, cut into steps: between two of them the window lives.

A step is what a generator does up to its next ``yield``, which names what was done. Its return value is the result.
"""

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")
Steps = Generator[str, None, Result]


def finish(steps: Steps[Result]) -> Result:
    """Do all steps at once, for those who can wait."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
