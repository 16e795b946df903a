"""The lobes' sliders: the latest wish alone is done, and a drag is over when the hand rests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.numbers import percent_text

REST_S = 0.4
"""A drag of a slider is over, and a step of undo, when nothing moved for so long."""


class Sliders:
    """What the sliders of the page show, and what they wish."""

    def __init__(
        self,
        state: Any,
        steer: Callable[[int, float | None], float | None],
        rested: Callable[[], None],
    ) -> None:
        """Watch the sliders.

        Args:
            state: trame's: ``percent_1`` to ``percent_5`` are the sliders, ``lobes`` the rows beside them.
            steer: Gives a lobe a percentage (None: the model's own mask), and returns what the lobe has then; None where
                it can't be steered.
            rested: Called when the hand rests after a drag.
        """
        self._state, self._steer, self._rested = state, steer, rested
        self._wanted: dict[int, float | None] = {}
        self._shown: dict[int, float] = {}
        self._rest: asyncio.TimerHandle | None = None
        for lobe in LOBES:
            state.change(f"percent_{lobe.value}")(self._changed(lobe.value))

    def show(self, rows: list[dict[str, Any]]) -> None:
        """Show what the lobes have now; a slider that moves is left where it is.

        Args:
            rows: From :func:`~DRAMLesionLib.view.tables.lobe_rows`.
        """
        with self._state:
            for row in rows:
                if row["value"] not in self._wanted:
                    self._shown[row["value"]] = row["percent"]
                    self._state[f"percent_{row['value']}"] = row["percent"]

    def reset(self, lobe: int) -> None:
        """Give a lobe the model's own lesion again, with what was painted."""
        self._want(lobe, None)

    def apply(self) -> None:
        """Do what is wished."""
        wanted = dict(self._wanted)
        self._wanted.clear()
        for lobe, percent in wanted.items():
            given = self._steer(lobe, None if percent is None else min(max(percent, 0.0), 100.0))
            if given is None:
                continue
            if percent is not None:
                self._shown[lobe] = percent
            self._tell_share(lobe, given)
            self._stop()
            self._rest = asyncio.get_running_loop().call_later(REST_S, self._on_rest)

    def forget(self) -> None:
        """Another case comes."""
        self._stop()
        self._wanted, self._shown = {}, {}

    def _changed(self, lobe: int) -> Callable[..., None]:
        def changed(**state: Any) -> None:
            value = state.get(f"percent_{lobe}")
            if value is not None and lobe in self._shown and value != self._shown[lobe]:
                self._want(lobe, float(value))

        return changed

    def _want(self, lobe: int, percent: float | None) -> None:
        """Remember the latest wish alone: a slider moves faster than a large lobe is cut."""
        if not self._wanted:
            asyncio.get_running_loop().call_soon(self.apply)
        self._wanted[lobe] = percent

    def _tell_share(self, lobe: int, percent: float) -> None:
        """The number beside a moving slider; the whole table follows when it rests."""
        with self._state:
            rows = [dict(row) for row in self._state.lobes]
            rows[lobe - 1]["percent_text"] = percent_text(min(max(percent, 0.0), 100.0))
            self._state.lobes = rows

    def _on_rest(self) -> None:
        if not self._wanted:
            self._rested()

    def _stop(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
