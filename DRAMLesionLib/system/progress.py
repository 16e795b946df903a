"""How long work tells where it is."""

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called as ``progress(stage, fraction)``: the stage's name for people, and the fraction of it that is done, 0..1.

Raise from it (for instance :class:`Cancelled`) to stop the work; nothing is left half-written.
"""


class Cancelled(Exception):
    """The user stopped the work."""


def silent(stage: str, fraction: float) -> None:
    """A progress callback that shows nothing."""
