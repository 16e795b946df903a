"""Segmenting a CT for the page: the command ``segment`` in a process of its own, which can be stopped."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.package import module_command, module_environment
from DRAMLesionLib.view.case import Places

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
        """Segment; an earlier process of the same folder is not waited for.

        Raises:
            InputError: It failed, or was stopped; nothing was written.
        """
        more = ["--keep-identifiers"] if self._places.keep_identifiers else []
        source, out = str(self._places.ct), str(self._places.results)
        command = module_command(
            "DRAMLesionLib", "segment", source, "--out", out, "--no-scene", "--json", *more
        )
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, **module_environment()}
        )
        reason = ""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if values.get("event") == "progress":
                told(str(values["stage"]), float(values.get("overall", values.get("fraction", 0.0))))
            elif values.get("event") == "error":
                reason = str(values["message"])
        if await self._process.wait():
            raise InputError("stopped; nothing was written" if self.stopped else reason or "the run failed")

    def stop(self) -> None:
        """End the run."""
        self.stopped = True
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
