"""First use: what is missing, and a button that installs it."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

IN_SLICER = ("numpy", "scipy", "SimpleITK")
"""Slicer's own; they are never installed over."""


class InstallSection:
    """Shown only while packages are missing. Nothing is installed but on the user's click.

    Attributes:
        missing: The requirements that are not met, as in ``Resources/requirements.txt``.
    """

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._requirements = Path(panel.resourcePath("requirements.txt"))
        self.missing: list[str] = []
        self._ui.installButton.connect("clicked(bool)", self._onInstall)
        self.update()

    def update(self) -> None:
        """Look again, and show or hide the section."""
        self.missing = missingRequirements(self._requirements)
        self._ui.installCollapsibleButton.setVisible(bool(self.missing))
        self._ui.installLabel.text = _(
            "These Python packages are needed and will be installed into Slicer from the Python Package Index "
            "(PyTorch alone is 200 MB to 3 GB): {names}"
        ).format(names=", ".join(self.missing))

    def _onInstall(self, _checked: bool = False) -> None:
        with self._panel.reported(waitCursor=True):
            self._panel.showStatus(_("Installing: {names}").format(names=", ".join(self.missing)))
            slicer.app.processEvents()
            install(self.missing, self._ui.wheelFolderSelector.currentPath)
            self.update()
            if self.missing:
                text = _("Still missing: {names}; details are in the log.")
                self._panel.showStatus(text.format(names=", ".join(self.missing)), "error")
            else:
                self._panel.showStatus(_("Installed. If the first run fails, restart Slicer."))
                self._panel.inputs.examine()
        self._panel.update()


def readRequirements(path: Path) -> list[str]:
    """The lines of a requirements file without comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def missingRequirements(path: Path) -> list[str]:
    """The requirements that are not met here."""
    from packaging.requirements import Requirement

    missing = []
    for line in readRequirements(path):
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            if not requirement.specifier.contains(version(requirement.name), prereleases=True):
                missing.append(line)
        except PackageNotFoundError:
            missing.append(line)
    return missing


def install(requirements: list[str], wheelFolder: str = "") -> None:
    """Install into Slicer's Python; Slicer's own packages keep their versions.

    Args:
        requirements: As in a requirements file.
        wheelFolder: Take them from this folder alone; empty: from the package index.
    """
    pinned = [f"{name}=={version(name)}" for name in IN_SLICER]
    arguments = [*(requirement.replace(" ", "") for requirement in requirements), *pinned]
    if wheelFolder:
        arguments += ["--no-index", "--find-links", wheelFolder]
    slicer.util.pip_install(arguments)
