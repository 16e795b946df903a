"""Two folders of results compared, in a process of its own; the page that comes of it is one click away."""

import html
import shutil
import tempfile
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.shared.child_process import LibraryProcess
from DRAMLesionPanel.shared.path_field import PathField

POLL_MS = 200
PAGE = "report.html"


def commandOf(baseline: Path, followup: Path, out: Path) -> list[str]:
    """The library's command that compares."""
    return ["compare", str(baseline), str(followup), "--out", str(out)]


class FollowUpSection:
    """Asks for the folders, runs ``compare``, and shows how it goes and what it found."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._process: LibraryProcess | None = None
        self._folder: Path | None = None
        self._out = Path()
        self._message = ""
        selectors = (
            self._ui.baselineFolderSelector,
            self._ui.followupFolderSelector,
            self._ui.comparisonFolderSelector,
        )
        self._fields = [PathField(selector, lambda _path: None) for selector in selectors]
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._onTimer)
        self._ui.comparisonLabel.openExternalLinks = True
        self._ui.compareButton.connect("clicked(bool)", self._onCompare)
        self._show("")

    @property
    def running(self) -> bool:
        """Whether a comparison is under way."""
        return self._process is not None

    def cancel(self) -> None:
        """End the comparison; nothing is left of it."""
        self._timer.stop()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._ui.compareButton.text = _("Compare")

    def _onCompare(self, _checked: bool = False) -> None:
        if self.running:
            self.cancel()
            self._show(_("Cancelled; nothing was written."))
            return
        with self._panel.reported():
            names = (
                _("folder of the first results"),
                _("folder of the later results"),
                _("folder for the page"),
            )
            folders = [field.folder(name) for field, name in zip(self._fields, names, strict=True)]
            for field in self._fields:
                field.remember()
            self._start(*folders)

    def _start(self, baseline: Path, followup: Path, out: Path) -> None:
        self._panel.showStatus("")
        self._out, self._message = out, ""
        prefix = f"{STAGING_PREFIX}compare-"
        self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=slicer.app.temporaryPath))
        try:
            self._process = LibraryProcess(commandOf(baseline, followup, out), self._folder)
        except OSError:
            self.cancel()
            raise
        self._ui.compareButton.text = _("Cancel")
        self._show(_("Starting"))
        self._timer.start()

    def _onTimer(self) -> None:
        process = self._process
        if process is None:
            return
        code = process.poll()  # before the events: none comes after the end
        for event in process.events():
            if event["event"] == "progress":
                self._show(f"{event['stage']}: {100 * float(event['fraction']):.0f} %")
            elif event["event"] == "error":
                self._message = str(event["message"])
            elif event["event"] == "result":
                self._showResult(event)
        if code is None:
            return
        self.cancel()
        if code != 0:
            self._show("")
            words = self._message or _("The comparison ended unexpectedly; details are in the log.")
            self._panel.showStatus(words, "error")

    def _showResult(self, result: dict[str, Any]) -> None:
        total = next(row for row in reversed(result["changes"]) if row["region"] == "total")
        counts = result["intervals"][0]["lesion_counts"]
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or _("none")
        change = f"{total['lesion_change_ml']:+.1f}".replace("-", "−")
        text = _("Lesion {change} mL; lesions: {kinds}.").format(change=change, kinds=kinds)
        flags = [flag["sentence"] for interval in result["intervals"] for flag in interval["flags"]]
        link = f'<a href="{(self._out / PAGE).as_uri()}">{html.escape(_("Open the page"))}</a>'
        self._show("<br>".join([*(html.escape(line) for line in (text, *flags)), link]))

    def _show(self, text: str) -> None:
        self._ui.comparisonLabel.text = text
        self._ui.comparisonLabel.setVisible(bool(text))
