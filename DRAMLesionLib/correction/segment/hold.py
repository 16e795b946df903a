"""One server at a time writes into a folder of results; the second one is told which process has it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from DRAMLesionLib.system.files import lock_folder

NAME = "view.lock"
_RENEW_S = 60.0


class Hold:
    """A folder of results that this process has open. One that can't be written is held by nobody."""

    def __init__(self, folder: Path, make: bool = False) -> None:
        """Take the folder.

        Args:
            folder: Results, also those that are still to come.
            make: Make the folder where it is not there; one that is still empty goes with :meth:`release`.

        Raises:
            InputError: Another process has it open.
        """

        def refusal(who: str) -> str:
            return f"{folder}: is open in another dramlesion view ({who}): open its page, or end it first"

        self._renewed = time.monotonic()
        self._lock: Path | None = None
        self._made = make and not folder.exists()
        try:
            if self._made:
                folder.mkdir(exist_ok=True)  # another server may have made it just now
            self._lock = lock_folder(folder, NAME, refusal)
        except OSError:
            return  # no journal can be written there either, which the page says

    def renew(self) -> None:
        """Show other machines that this process lives; call it from time to time."""
        if self._lock is not None and time.monotonic() - self._renewed > _RENEW_S:
            self._renewed = time.monotonic()
            try:
                self._lock.touch()
            except OSError:
                self._lock = None  # the folder has gone

    def release(self) -> None:
        """Let others have the folder."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.unlink(missing_ok=True)
            if self._made:
                with contextlib.suppress(OSError):  # results came into it
                    lock.parent.rmdir()
