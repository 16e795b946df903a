"""A server on a small case, and a tab of Chromium in front of it; skipped with a sentence where either is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "view"))

from reading_room import Room
from small_case import make_case

PATIENCE_S = 150
"""A machine that does much else takes its time; nothing here is measured."""


def missing() -> str:
    """What is not here for these tests; empty where all is."""
    from DRAMLesionLib.view import available

    lacking = available.missing()
    if lacking:
        return f"the page needs {', '.join(lacking)}: pip install 'dramlesion[view]'"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "a browser is driven by playwright: pip install playwright"
    return "" if chromium() else "Chromium is not installed: apt-get install chromium"


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items):
    reason = missing()
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def tab_of():
    """Opens tabs in one browser for the tests of a file."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(1000 * PATIENCE_S)

        def tab(address):
            page = context.new_page()
            page.goto(address)
            return page

        yield tab
        browser.close()


class Server:
    """``dramlesion view`` in a process of its own."""

    def __init__(self, results: Path, *more: str) -> None:
        command = [
            sys.executable,
            "-m",
            "DRAMLesionLib",
            "view",
            str(results),
            "--no-browser",
            "--json",
            *more,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
        self.told: list[dict] = []

    def address(self) -> str:
        for line in self.process.stdout:
            if line.startswith("{"):
                self.told.append(json.loads(line))
                if "address" in self.told[-1]:
                    return self.told[-1]["address"]
        raise AssertionError(f"the server ended with {self.process.wait(10)}: {self.told}")

    def end(self, kill: bool = False) -> int:
        if self.process.poll() is None:
            self.process.kill() if kill else self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def serving():
    """Starts servers, and ends those that are left."""
    servers = []

    def start(results, *more):
        servers.append(Server(results, *more))
        return servers[-1]

    yield start
    for server in servers:
        server.end(kill=True)


@pytest.fixture(scope="module")
def room(tmp_path_factory, serving, tab_of):
    """A reader before the small case: the server, its tab, and the folder."""
    results = make_case(tmp_path_factory.mktemp("reading"))
    server = serving(results)
    room = Room(results, server, tab_of(server.address()), PATIENCE_S)
    room.wait_until_ready()
    return room
