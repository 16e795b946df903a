"""Which packages are needed, in which versions, and why: one table for ``doctor``, the panel and the installer.

The panel's ``Resources/requirements.txt`` and the ranges in ``pyproject.toml`` say the same, and a test compares them.
Nothing here imports a package to ask for its version: that would load torch into the application.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec

UNKNOWN_VERSION = ""
"""The version of a package that can be imported but says no version, as Slicer's own vtk."""


@dataclass(frozen=True)
class Rule:
    """A bound on a version.

    Attributes:
        package: The package's name; ``python`` is Python itself.
        versions: The versions that are admitted, as in a requirements file.
        why: Where the bound comes from; empty where the code simply uses what older versions lack.
        system: ``sys.platform`` of the systems that it holds for; empty: all.
        in_slicer: It holds inside Slicer alone.
        beside: It holds where a package has one of these versions, such as ``("monai", ">=1.6")``; None: always.
    """

    package: str
    versions: str
    why: str = ""
    system: str = ""
    in_slicer: bool = False
    beside: tuple[str, str] | None = None


RULES = (
    Rule("python", ">=3.10"),
    Rule("python", ">=3.12", "that is the Python of Slicer 5.10 and later", in_slicer=True),
    Rule("numpy", ">=1.26"),
    Rule("scipy", ">=1.11"),
    Rule("SimpleITK", ">=2.4"),
    Rule("packaging", ">=23"),
    Rule("pydicom", ">=2.4"),
    Rule("torch", ">=2.8"),
    Rule("torch", "<2.13", "torch 2.13 can't be loaded by Slicer on Windows", system="win32", in_slicer=True),
    Rule("monai", ">=1.5"),
    Rule("torch", ">=2.8", "MONAI 1.6 and later need it", beside=("monai", ">=1.6")),
    Rule("safetensors", ">=0.4"),
    Rule("typer", ">=0.12"),
    Rule("rich", ">=13"),
    Rule("jinja2", ">=3.1"),
    Rule("matplotlib", ">=3.8"),
    Rule("pyyaml", ">=6"),
)

PACKAGES = tuple(dict.fromkeys(rule.package for rule in RULES if rule.package != "python"))
"""The packages' names, in the table's order."""

BUNDLED = ("numpy", "scipy", "SimpleITK", "packaging", "pydicom")
"""Needed, and Slicer brings them: inside Slicer they are never installed."""

PROTECTED = (*BUNDLED, "vtk", "pip")
"""What Slicer is built against or works with: no installation may change their versions."""


@dataclass(frozen=True)
class Environment:
    """What the rules look at.

    Attributes:
        versions: Lower-case package name to version, ``python`` among them; what is absent is not installed.
        system: The system, as ``sys.platform`` names it.
        in_slicer: Whether this is Slicer's Python.
        cut_off: Names in lower case of packages whose installation was not finished.
    """

    versions: Mapping[str, str]
    system: str = sys.platform
    in_slicer: bool = False
    cut_off: frozenset[str] = field(default=frozenset())

    @classmethod
    def here(cls) -> "Environment":
        """This Python. Slicer's launcher and application set ``SLICER_HOME``, for their child processes too."""
        versions = {"python": ".".join(map(str, sys.version_info[:3]))}
        cut_off = set()
        for name in {*PACKAGES, *PROTECTED}:
            try:
                installed = distribution(name)
            except PackageNotFoundError:
                if name in PROTECTED and find_spec(name) is not None:
                    versions[name.lower()] = UNKNOWN_VERSION
                continue
            version = _version(installed)
            if version is not None:
                versions[name.lower()] = version
            if version is None or _in_pieces(installed):
                cut_off.add(name.lower())
        return cls(versions, in_slicer="SLICER_HOME" in os.environ, cut_off=frozenset(cut_off))


@dataclass(frozen=True)
class Problem:
    """A package that does not keep the rules.

    Attributes:
        package: The package's name.
        found: The version that is installed; None: none.
        versions: What is needed, as in a requirements file.
        why: Reasons of the bounds that are not kept.
        cut_off: Whether its installation was not finished.
        remedy: What to do.
    """

    package: str
    found: str | None
    versions: str
    why: str
    cut_off: bool
    remedy: str

    def __str__(self) -> str:
        """One line: what is there, what is needed and why, what to do."""
        reason = f" ({self.why})" if self.why else ""
        if self.cut_off:
            return f"{self.package} was installed only in part: {self.remedy}"
        if self.found is None:
            return f"{self.package} is missing: {self.remedy}"
        return f"{self.package} {self.found} is here, {self.versions} is needed{reason}: {self.remedy}"


def problems(environment: Environment) -> list[Problem]:
    """What does not keep the rules, in the table's order."""
    broken_rules = []
    for package in ("python", *PACKAGES):
        rules = _rules(environment, package)
        version = environment.versions.get(package.lower())
        broken = [rule for rule in rules if version is None or not _admits(rule.versions, version)]
        cut_off = package.lower() in environment.cut_off
        if broken or cut_off:
            why = "; ".join(rule.why for rule in broken if rule.why)
            remedy = _remedy(environment, package, _joined(rules))
            broken_rules.append(Problem(package, version, _joined(rules), why, cut_off, remedy))
    return broken_rules


def installable(environment: Environment) -> list[Problem]:
    """The problems that an installation of packages can mend here."""
    mendable = needed_packages(environment)
    return [problem for problem in problems(environment) if problem.package in mendable]


def state_of_packages(environment: Environment, unfinished: list[str] | None) -> list[str]:
    """The lines that both ``doctor`` and the panel show; none: all that is needed is here.

    Args:
        environment: What is installed.
        unfinished: What an interrupted installation was to install
            (:func:`DRAMLesionLib.system.interrupted_install.interrupted`), or None.
    """
    lines = [str(problem) for problem in problems(environment)]
    if unfinished is not None:
        wanted = unfinished or [requirement(environment, name) for name in needed_packages(environment)]
        again = (
            "press Install in the module DRAMLesion"
            if environment.in_slicer
            else "pip install " + " ".join(f"'{line}'" for line in wanted)
        )
        lines.insert(0, f"an installation was interrupted; to continue it: {again}")
    return lines


def requirement(environment: Environment, package: str) -> str:
    """A package with the versions that are admitted here, such as ``torch>=2.8,<2.13``."""
    return package + _joined(_rules(environment, package))


def needed_packages(environment: Environment) -> list[str]:
    """The names of what an installation here has to provide, in the table's order."""
    return [name for name in PACKAGES if not (environment.in_slicer and name in BUNDLED)]


def constraints(environment: Environment) -> list[str]:
    """Lines of a pip constraints file: Slicer's own packages stay as they are, and the rules hold for what is here.

    A protected package that can be imported but is unknown to pip must not be installed over it: no version is
    admitted, so that pip refuses what asks for it. What is not installed has no line: pip would call a package that
    it can't find a conflict.
    """
    lines = []
    for name in PROTECTED:
        version = environment.versions.get(name.lower())
        if version == UNKNOWN_VERSION:
            lines.append(f"{name}<0")
        elif version is not None:
            lines.append(f"{name}=={version.partition('+')[0]}")
    others = [name for name in needed_packages(environment) if name not in PROTECTED]
    return lines + [requirement(environment, name) for name in others if name.lower() in environment.versions]


def _rules(environment: Environment, package: str) -> list[Rule]:
    return [rule for rule in RULES if rule.package == package and _holds(rule, environment)]


def _holds(rule: Rule, environment: Environment) -> bool:
    if (rule.system and rule.system != environment.system) or (rule.in_slicer and not environment.in_slicer):
        return False
    if rule.beside is None:
        return True
    package, versions = rule.beside
    version = environment.versions.get(package.lower())
    return version is not None and _admits(versions, version)


def _admits(versions: str, version: str) -> bool:
    """Whether a version is in a range; unknown versions are, and all are where ``packaging`` itself is missing."""
    try:
        from packaging.specifiers import SpecifierSet
        from packaging.version import InvalidVersion, Version
    except ImportError:
        return True
    try:
        return version == UNKNOWN_VERSION or SpecifierSet(versions).contains(
            Version(version), prereleases=True
        )
    except InvalidVersion:
        return True


def _joined(rules: list[Rule]) -> str:
    return ",".join(dict.fromkeys(rule.versions for rule in rules))


def _remedy(environment: Environment, package: str, versions: str) -> str:
    if package == "python":
        return "use Slicer 5.10 or later" if environment.in_slicer else "use a newer Python"
    if not environment.in_slicer:
        return f"pip install '{package}{versions}'"
    if package in BUNDLED:
        return "Slicer brings it: install the newest Slicer"
    return "press Install in the module DRAMLesion"


def _version(installed: Distribution) -> str | None:
    try:
        return installed.version
    except Exception:  # a folder without METADATA: each Python raises something else
        return None


def _in_pieces(installed: Distribution) -> bool:
    """pip writes INSTALLER and RECORD last; other installers leave out at most one of them, and eggs have neither."""
    made = str(getattr(installed, "_path", "")).endswith(".dist-info")
    return made and installed.read_text("INSTALLER") is None and installed.read_text("RECORD") is None
