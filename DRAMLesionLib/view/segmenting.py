"""Segmenting a CT for the page: the command ``segment`` in a process of its own, which can be stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from DRAMLesionLib.correction.segment.hold import Hold
from DRAMLesionLib.results.folder import is_results
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.package import module_command, module_environment
from DRAMLesionLib.view.case import Places

LONGEST_LINE = 2**24
"""Bytes: the line of the result holds all tables."""
Told = Callable[[str, float], None]
"""Told the stage, and how much of the whole is done, 0..1."""


class Segmenting:
    """One run.

    Attributes:
        stopped: Whether it was stopped from here.
    """

    def __init__(self, places: Places) -> None:
        """Nothing runs yet.

        Args:
            places: The CT and the folder for its results.
        """
        self._places, self.stopped = places, False
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, told: Told) -> None:
        """Segment, unless another server did meanwhile; an earlier process of the same folder is not waited for.

        Raises:
            InputError: It failed, or was stopped, or another server is at it; nothing was written.
        """
        hold = Hold(self._places.results, make=True)
        try:
            if not is_results(self._places.results):
                await self._run(told)
        finally:
            hold.release()

    async def _run(self, told: Told) -> None:
        more = ["--keep-identifiers"] if self._places.keep_identifiers else []
        source, out = str(self._places.ct), str(self._places.results)
        command = module_command(
            "DRAMLesionLib", "segment", source, "--out", out, "--no-scene", "--json", *more
        )
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, env=module_environment(), limit=LONGEST_LINE
        )
        try:
            if self.stopped:  # while the process was being made
                self._end()
            reason = await self._follow(self._process, told)
            code = await self._process.wait()
        finally:
            self._end()  # whoever ends the server in between leaves no process behind
        if code and self.stopped:
            raise InputError("stopped; nothing was written: Try again begins anew")
        if code:
            raise InputError(
                reason or f"the run ended with {code}: what the terminal says of dramlesion view tells why"
            )

    async def _follow(self, process: asyncio.subprocess.Process, told: Told) -> str:
        """Tell how it goes until it ends; returns why it failed, where it says so."""
        reason = ""
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if values.get("event") == "progress":
                told(str(values["stage"]), float(values.get("overall", values.get("fraction", 0.0))))
            elif values.get("event") == "error":
                reason = str(values["message"])
        return reason

    def stop(self) -> None:
        """End the run."""
        self.stopped = True
        self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
