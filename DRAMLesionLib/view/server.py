"""The server of the page: it listens on this machine alone, and lives until it is told to end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from DRAMLesionLib.correction.segment.hold import Hold
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.view.access import HEADERS, LOOPBACK, Access
from DRAMLesionLib.view.available import check, choose_rendering
from DRAMLesionLib.view.cases import Entry

TICK_S = 1.0


@dataclass(frozen=True)
class Listening:
    """Where a server listens, and how long.

    Attributes:
        host: A name or address of this machine; another than loopback lets others in who have the token.
        port: 0 takes a free one.
        browser: Open the page in the browser.
        idle_minutes: End after so many minutes without a tab while nothing is segmented; 0 for never.
    """

    host: str = LOOPBACK[0]
    port: int = 0
    browser: bool = True
    idle_minutes: float = 0.0


def serve(entries: list[Entry], listening: Listening, told: Callable[[str], None]) -> None:
    """Serve a page until it is ended: by its button, by Ctrl+C, or after idle minutes.

    Args:
        entries: The case, or the cases of a batch in the order of its list.
        listening: Where and how long.
        told: Told the address when the page can be opened.

    Raises:
        InputError: trame-slicer is missing, the port is taken, or another server has the folder open.
    """
    check()
    choose_rendering()
    if len(entries) == 1 and entries[0].is_segmented:
        Hold(entries[0].places.results).release()  # refused here in one line, rather than on a page
    asyncio.run(_Serving(entries, listening, told).run())


class _Serving:
    def __init__(self, entries: list[Entry], listening: Listening, told: Callable[[str], None]) -> None:
        self._entries, self._listening, self._told = entries, listening, told
        self._access = Access(listening.host)
        self._ending = asyncio.Event()
        self._web: Any = None

    async def run(self) -> None:
        from trame.app import get_server

        from DRAMLesionLib.view.page import Page
        from DRAMLesionLib.view.widgets import build

        sys.argv[1:] = []  # trame reads options of its own there
        server = get_server("dramlesion", client_type="vue3")
        server.state.trame__title = "DRAMLesion"
        page = Page(server, self._entries)
        build(server, page, self._ending.set)
        server.controller.on_server_bind.add(lambda web: self._bind(web, page))
        self._watch_signals()
        task = server.start(
            port=self._listening.port,
            host=self._listening.host,
            exec_mode="task",
            open_browser=False,
            show_connection_info=False,
            disable_logging=True,
            thread=True,  # signals are watched here
            timeout=0,
        )
        watched = asyncio.get_running_loop().create_task(self._live(server, page))
        done, _pending = await asyncio.wait({task, watched}, return_when=asyncio.FIRST_COMPLETED)
        page.close()
        if task not in done:
            await server.stop()
        watched.cancel()
        for one in done:
            self._raise(one)

    def _raise(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OSError):
            raise InputError(
                f"port {self._listening.port} of {self._listening.host} can't be used ({error.strerror}): give another "
                "with --port"
            ) from error
        if error is not None:
            raise error

    def _bind(self, web: Any, page: Any) -> None:
        """Put the rule of access before everything that the server answers."""
        from aiohttp.web import Request, Response

        async def report(_request: Request) -> Response:
            try:
                return Response(body=await page.report(), content_type="text/html", headers=HEADERS)
            except (InputError, OSError) as error:
                return Response(status=409, text=f"{error}\n")

        self._web = web
        web.app.middlewares.append(self._access.middleware())
        web.app.router.add_get("/report", report)

    async def _live(self, server: Any, page: Any) -> None:
        """Tell the address, open the case, and watch the tabs, until the end."""
        await server.ready
        address = self._access.address(self._web.get_port())
        self._told(address)
        if self._listening.browser:
            import webbrowser

            await asyncio.to_thread(webbrowser.open, address)
        page.begin()
        idle = 0.0
        while not self._ending.is_set():
            tabs = self._tabs()
            page.tell_tabs(tabs)
            page.renew()
            idle = 0.0 if tabs or page.segmenting else idle + TICK_S
            if self._listening.idle_minutes and idle > 60 * self._listening.idle_minutes:
                break
            try:
                await asyncio.wait_for(self._ending.wait(), TICK_S)
            except asyncio.TimeoutError:
                continue

    def _tabs(self) -> int:
        return sum(len(handler.connections) for handler in self._web._ws_handlers)

    def _watch_signals(self) -> None:
        if sys.platform == "win32":
            return  # Ctrl+C raises there
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._ending.set)
