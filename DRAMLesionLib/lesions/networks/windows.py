"""Where memory runs out, the networks see less at once: the same work again, in smaller windows, before giving up."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from DRAMLesionLib.system.memory import is_out_of_memory

Window = tuple[int, int, int]
Result = TypeVar("Result")
_NOTE = "memory was short: a network saw the lungs in windows of "


def smaller_windows(size: tuple[int, ...], step: int) -> Iterator[Window]:
    """Windows (z, y, x) below ``size``: the longest side halved each time, down to two steps on each side.

    Args:
        size: Voxels (z, y, x).
        step: Sides are multiples of it.
    """
    sides = list(size)
    while max(sides) > 2 * step:
        longest = sides.index(max(sides))
        sides[longest] = max(2 * step, -(-sides[longest] // 2 // step) * step)
        yield sides[0], sides[1], sides[2]


def in_windows_that_fit(
    whole: Callable[[], Result],
    windowed: Callable[[Window], Result],
    windows: Iterator[Window],
    tell: Callable[[Window], None] = lambda window: None,
) -> Result:
    """``whole()``, or where memory does not suffice the first ``windowed(window)`` for which it does.

    Args:
        whole: The work as it should be done.
        windowed: The work in windows of the size that it is given.
        windows: From large to small.
        tell: Told the window before it is tried.

    Raises:
        MemoryError, RuntimeError: What the smallest window met, as it was raised.
    """
    try:
        return whole()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        failure = error.with_traceback(None)  # its frames would keep the memory
    for window in windows:
        _let_go()
        tell(window)
        try:
            return windowed(window)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            failure = error.with_traceback(None)
    raise failure


def note_windows(window: Window, notes: list[str] | None) -> None:
    """Say in ``notes`` what a reader of the results should know; the last word counts."""
    if notes is None:
        return
    notes[:] = [note for note in notes if not note.startswith(_NOTE)]
    notes.append(
        f"{_NOTE}{' x '.join(map(str, window))} voxels: the map may differ a little at their borders"
    )


def _let_go() -> None:
    """Give back what torch keeps for the next tensors."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
