"""Installs the Python packages that Slicer does not bring. Nothing here runs but on request.

torch comes through the PyTorch extension where it is there, which chooses the build that fits the graphics card; the
rest through ``slicer.packaging.pip_ensure``, or ``slicer.util.pip_install`` before Slicer 5.12.

What all of them must keep to (Slicer's own packages, a proxy, a folder of wheels) reaches pip by its environment
variables for the time of the call: neither PyTorchUtils nor pip_ensure takes pip's options, and a proxy's password on
a command line could be read by others.

Without a window: ``Slicer --no-main-window --python-code "from DRAMLesionPanel.install.packages import
installRequirements; installRequirements()"``, or the same in ``PythonSlicer -c`` with the module's folder on its path.
"""

import importlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.system import interrupted_install
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.requirements import (
    PROTECTED,
    Environment,
    constraints,
    installable,
    needed_packages,
    problems,
    requirement,
    state_of_packages,
)
from DRAMLesionPanel.install.pip_report import PipLog, explain

REQUIREMENTS = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"
REQUESTER = "DRAMLesion"


@dataclass(frozen=True)
class PackageSource:
    """Where packages come from.

    Attributes:
        wheelFolder: Take them from this folder alone; empty: from the package index.
        proxy: As ``http://host:port`` or ``http://name:password@host:port``; empty: as the system says.
    """

    wheelFolder: str = ""
    proxy: str = ""

    def check(self) -> None:
        """Raises InputError if it can't be used."""
        if self.wheelFolder and not Path(self.wheelFolder).is_dir():
            raise InputError(
                f"{self.wheelFolder}: there is no such folder: choose the folder of wheels again"
            )
        if self.wheelFolder and not any(Path(self.wheelFolder).glob("*.whl")):
            raise InputError(
                f"{self.wheelFolder}: has no packages (*.whl): fill it on a computer with internet, the same system "
                f"and Python {sys.version_info[0]}.{sys.version_info[1]} by: pip download -d FOLDER -r {REQUIREMENTS}"
            )
        if self.proxy and not self.proxy.lower().startswith(("http://", "https://", "socks5://")):
            raise InputError("the proxy has no scheme: enter it as http://HOST:PORT")


@dataclass(frozen=True)
class PackageState:
    """What is installed here, as far as it is of interest.

    Attributes:
        environment: The versions.
        unfinished: What an interrupted installation was to install, or None.
    """

    environment: Environment
    unfinished: list[str] | None

    @classmethod
    def here(cls) -> "PackageState":
        """Look at this Python. It takes some milliseconds and imports no package."""
        importlib.invalidate_caches()
        return cls(Environment.here(), interrupted_install.interrupted())

    @property
    def complete(self) -> bool:
        """Whether nothing is to be done."""
        return not problems(self.environment) and self.unfinished is None

    @property
    def lines(self) -> list[str]:
        """What is wrong: the same lines as ``doctor`` shows."""
        return state_of_packages(self.environment, self.unfinished)

    @property
    def missing(self) -> list[str]:
        """What an installation would install, such as ``torch>=2.8``."""
        return [requirement(self.environment, problem.package) for problem in installable(self.environment)]

    @property
    def wanted(self) -> list[str]:
        """What pip is asked for: what is missing; to continue, all, since what they need may be in pieces."""
        if self.unfinished is None:
            return self.missing
        return [requirement(self.environment, name) for name in needed_packages(self.environment)]

    @property
    def hopeless(self) -> list[str]:
        """What no installation of packages can mend."""
        mendable = installable(self.environment)
        return [str(problem) for problem in problems(self.environment) if problem not in mendable]


def installRequirements(
    source: PackageSource | None = None,
    interactive: bool = False,
    beforePip: Callable[[PipLog], None] | None = None,
) -> None:
    """Install what is missing. Without ``interactive`` no window opens and nothing is asked.

    An installation that was cut off before is continued: its pieces are removed first.

    Args:
        source: Where the packages come from; None: from the package index.
        interactive: Slicer may show its progress window, and offer to restart where that is needed.
        beforePip: Called with pip's log before pip runs; the application stays alive while pip runs, so that a timer
            can show what the log says.

    Raises:
        InputError: It failed; the line says why and what to do.
    """
    source = source or PackageSource()
    state = PackageState.here()
    if state.complete:
        return
    if state.hopeless:
        raise InputError(state.hopeless[0])
    source.check()
    before = state.environment.versions
    state = _continued(state)
    interrupted_install.begin(state.wanted)
    with tempfile.TemporaryDirectory(prefix="dramlesion-pip-") as folder:
        log = PipLog(Path(folder) / "pip.log")
        if beforePip:
            beforePip(log)
        try:
            _installAll(state, source, interactive, log)
        except CalledProcessError as error:
            if error.returncode > 0:
                interrupted_install.finish()  # pip has put things in order itself; ended from outside, it has not
            raise InputError(explain(log.text(), bool(source.wheelFolder), error.returncode)) from error
        except Exception:
            interrupted_install.finish()
            raise
    _checkResult(before)
    interrupted_install.finish()


def _continued(state: PackageState) -> PackageState:
    """Remove what an interrupted installation left in pieces."""
    pieces = interrupted_install.remove_pieces()
    if pieces:
        logging.info("DRAMLesion: an interrupted installation is continued; removed: %s", ", ".join(pieces))
    return PackageState(Environment.here(), state.unfinished) if pieces else state


def _installAll(state: PackageState, source: PackageSource, interactive: bool, log: PipLog) -> None:
    """Install torch, then the rest."""
    torch = next((line for line in state.missing if line.startswith("torch")), None)
    # The extension asks PyTorch's own index, which a folder of wheels is to replace.
    utils = None if source.wheelFolder or torch is None else torchUtils()
    if utils is not None:
        with pipSettings(source, state.environment, log):
            _installTorch(utils, str(torch))
        state = PackageState(PackageState.here().environment, state.unfinished)
    if not state.wanted:
        return
    with pipSettings(source, state.environment, log):
        packaging = slicerPackaging()
        if packaging is None:
            slicer.util.pip_install(state.wanted)
        elif state.unfinished is not None:
            # pip_ensure looks at these packages alone, and any that they need may be in pieces: pip looks at all.
            packaging.pip_install(state.wanted, requester=REQUESTER, show_progress=interactive)
        else:
            packaging.pip_ensure(
                packaging.load_requirements(REQUIREMENTS),
                prompt_install=False,  # the user has clicked, or nobody is there
                prompt_restart=interactive,
                requester=REQUESTER,
                show_progress=interactive,
            )


def _installTorch(utils: Any, torch: str) -> None:
    try:
        utils.installTorch(askConfirmation=False, torchVersionRequirement=torch.removeprefix("torch"))
    except (ImportError, OSError) as error:
        raise InputError(
            f"torch was installed, but can't be loaded: {error}: start Slicer again; if that does not help, "
            "uninstall it in the module PyTorch Utils and press Install again"
        ) from error


def _checkResult(before: Any) -> None:
    after = PackageState.here()
    for name in PROTECTED:
        was, now = before.get(name.lower()), after.environment.versions.get(name.lower())
        if was is not None and now != was:
            raise InputError(
                f"{name} was changed from {was} to {now}: install Slicer again and tell the developers"
            )
    if after.missing:
        reason = (
            _("Slicer installs nothing in testing mode")
            if hasattr(slicer, "app") and slicer.app.testingEnabled()
            else _("see pip's messages in the Python console")
        )
        raise InputError(f"{', '.join(after.missing)}: still missing: {reason}")


@contextmanager
def pipSettings(source: PackageSource, environment: Environment, log: PipLog) -> Iterator[None]:
    """pip's environment variables within the block; afterwards all is as before."""
    kept = log.path.with_name("constraints.txt")
    kept.write_text("\n".join(constraints(environment)) + "\n", encoding="utf-8")
    settings = {
        # pip splits these two at spaces, which an address has none of.
        "PIP_CONSTRAINT": kept.as_uri(),
        "PIP_LOG": str(log.path),
        "PIP_NO_INPUT": "1",
        "PIP_NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_PREFER_BINARY": "1",
    }
    if source.wheelFolder:
        settings |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": Path(source.wheelFolder).resolve().as_uri()}
    if source.proxy:
        settings["PIP_PROXY"] = source.proxy
    if _reportsProgress(environment):
        # Slicer looks after its windows only when pip writes a line, which it does not while it downloads.
        settings["PIP_PROGRESS_BAR"] = "raw"
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def torchUtils() -> Any | None:
    """The PyTorch extension's logic, or None where that extension is not installed."""
    if getattr(getattr(slicer, "modules", None), "pytorchutils", None) is None:
        return None
    import PyTorchUtils

    return PyTorchUtils.PyTorchUtilsLogic()


def slicerPackaging() -> Any | None:
    """``slicer.packaging``, or None before Slicer 5.12."""
    try:
        return importlib.import_module("slicer.packaging")
    except ImportError:
        return None


def _reportsProgress(environment: Environment) -> bool:
    """Whether pip knows ``--progress-bar raw``: since 24.1."""
    version = environment.versions.get("pip", "")
    parts = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return parts >= [24, 1]


class PipProgress:
    """Shows what pip does and for how long, from a timer of the application; also keeps the marker alive."""

    INTERVAL_MS = 500

    def __init__(self, show: Callable[[str], None]) -> None:
        """``show`` gets one line."""
        import qt

        self._show, self._log = show, None
        self._doing, self._began = "", 0.0
        self._timer = qt.QTimer()
        self._timer.setInterval(self.INTERVAL_MS)
        self._timer.connect("timeout()", self._update)

    def follow(self, log: PipLog) -> None:
        """Begin."""
        self._log, self._began = log, time.monotonic()
        self._doing = _("Looking for packages")
        self._timer.start()
        self._update()

    def stop(self) -> None:
        """End."""
        self._timer.stop()

    def _update(self) -> None:
        if self._log is None:
            return
        self._doing = self._log.doing() or self._doing
        seconds = int(time.monotonic() - self._began)
        self._show(f"{self._doing} ({seconds // 60}:{seconds % 60:02d})")
        interrupted_install.beat()
