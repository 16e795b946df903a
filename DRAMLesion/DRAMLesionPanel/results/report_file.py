"""The report as PDF: the library's page, printed by the web browser that is inside Slicer."""

import time
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.results.scene.steps import WAITING, Steps
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import atomic_file

PATIENCE_S = 120.0
"""A browser that has not answered for so long has died: its process can end without a word."""
MARGINS_MM = (13.0, 11.0, 13.0, 14.0)
"""Left, top, right, bottom. The browser takes them from here, and not from the page's own style."""


def canPrint() -> bool:
    """Whether Slicer has a browser inside: it can be built without."""
    return hasattr(slicer, "qSlicerWebWidget")


def printing(page: str | Path, path: str | Path) -> Steps[None]:
    """Print a page into a PDF file, whole or not at all, in the browser's own process.

    Args:
        page: The report as HTML, which must stay until the end.
        path: The file to make.

    Raises:
        InputError: This Slicer has no browser.
        OSError: The page can't be printed, or the file can't be written.
    """
    if not canPrint():
        raise InputError(
            _(
                "{path}: this Slicer has no browser inside to print with: save a web page, and print that"
            ).format(path=path)
        )
    with atomic_file(path) as temporary:
        browser = _Browser()
        try:
            browser.load(Path(page))
            yield from browser.answering(path)
            browser.print(temporary)
            yield from browser.answering(path)
        finally:
            browser.end()


class _Browser:
    """Loads a page unseen, and prints it."""

    def __init__(self) -> None:
        self._widget: Any = slicer.qSlicerWebWidget()
        self._done: bool | None = None
        self._widget.connect("loadFinished(bool)", self._onDone)
        self._widget.connect("pdfPrintingFinished(QString,bool)", lambda _path, done: self._onDone(done))

    def load(self, page: Path) -> None:
        """Begin to load a page; a text of more than 2 MB can't be handed over otherwise than as a file."""
        self._done = None
        self._widget.url = page.resolve().as_uri()

    def print(self, path: Path) -> None:
        """Begin to print what is loaded on A4."""
        self._done = None
        layout = qt.QPageLayout(
            qt.QPageSize(qt.QPageSize.A4),
            qt.QPageLayout.Portrait,
            qt.QMarginsF(*MARGINS_MM),
            qt.QPageLayout.Millimeter,
        )
        self._widget.printToPdf(str(path), layout)

    def answering(self, path: str | Path) -> Steps[None]:
        """Wait until what was begun is done.

        Args:
            path: The file that is made, for people.

        Raises:
            OSError: It failed, or the browser does not answer.
        """
        end = time.monotonic() + PATIENCE_S
        while self._done is None and time.monotonic() < end:
            yield WAITING
        if not self._done:
            raise OSError(0, _("could not be printed"), str(path))

    def end(self) -> None:
        """Let go of the browser's process."""
        self._widget.deleteLater()

    def _onDone(self, done: bool) -> None:
        self._done = bool(done)
