"""Ending a training early, at a checkpoint: by a signal, by a file, or by the caller's wish."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

STOPPED_EXIT_CODE = 75
"""What the command ends with when it stopped at a checkpoint: sysexits' "temporary failure, try again"."""


class Stopped(Exception):
    """The training was asked to stop. With ``resume`` it goes on from where it ended.

    Attributes:
        checkpoint: Where it ended; None where it had not begun.
    """

    def __init__(self, checkpoint: Path | None):
        """Remember the checkpoint."""
        super().__init__(f"stopped at {checkpoint}" if checkpoint else "stopped before the first step")
        self.checkpoint = checkpoint


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Take SIGTERM and Ctrl+C as a wish to stop; yield what tells whether there was one.

    A second Ctrl+C interrupts at once. Outside the main thread signals stay as they are.
    """
    wished = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wished.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def wish(number: int, frame: FrameType | None) -> None:
        wished.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in before:
        signal.signal(number, wish)
    try:
        yield wished.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
