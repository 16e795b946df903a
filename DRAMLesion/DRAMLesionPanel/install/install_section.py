"""First use: what is missing, and a button that installs it."""

from typing import Any

import slicer
from slicer.i18n import tr as _

from DRAMLesionPanel.install.packages import PackageSource, PackageState, PipProgress, installRequirements
from DRAMLesionPanel.install.pip_report import PipLog


class InstallSection:
    """Shown only while packages are missing. Nothing is installed but on the user's click.

    Attributes:
        missing: What keeps the module from working, one line each, as ``doctor`` says it; empty: all is here.
    """

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._installing = False
        self._progress = PipProgress(panel.showStatus)
        self.missing: list[str] = []
        self._ui.installButton.connect("clicked(bool)", self._onInstall)
        self.update()

    def update(self) -> None:
        """Look again, and show or hide the section."""
        state = PackageState.here()
        self.missing = state.lines
        self._ui.installCollapsibleButton.setVisible(bool(self.missing))
        self._ui.installButton.enabled = not state.hopeless and not self._installing
        self._ui.installButton.text = _("Install") if state.unfinished is None else _("Continue installation")
        self._ui.installLabel.text = "\n".join([*self._explanation(state), *self.missing])

    def _explanation(self, state: PackageState) -> list[str]:
        if state.hopeless or state.complete:
            return []
        text = _(
            "Python packages are needed, and are installed into Slicer when you press Install: from the Python "
            "Package Index (PyTorch alone is 200 MB to 3 GB), or from a folder of wheels. Slicer's own packages keep "
            "their versions."
        )
        return [text, ""]

    def _onInstall(self, _checked: bool = False) -> None:
        if self._installing:  # the application goes on living while pip runs
            return
        self._installing = True
        self._ui.installButton.enabled = False
        try:
            with self._panel.reported(waitCursor=True):
                source = PackageSource(
                    self._ui.wheelFolderSelector.currentPath.strip(), self._ui.proxyLineEdit.text.strip()
                )
                installRequirements(source, interactive=True, beforePip=self._begin)
                self._panel.showStatus(_("Installed. If the first run fails, restart Slicer."))
                self._panel.inputs.examine()
        finally:
            self._progress.stop()
            self._installing = False
            self.update()
        self._panel.update()

    def _begin(self, log: PipLog) -> None:
        self._progress.follow(log)
        slicer.app.processEvents()  # Slicer's window may stand still until pip writes its first line
