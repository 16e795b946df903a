"""Packages that only some work needs: imported when it begins, or refused with the command that installs them.

What an extra holds is read from the library's own metadata. The command names those packages, not the library with its
extra: no package index has the library, and Slicer's own Python has no metadata of it.
"""

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from DRAMLesionLib.system.errors import InputError

DISTRIBUTION = "dramlesion"
"""The library's name in the metadata of an installed wheel or of an editable installation."""


def import_optional(module: str, package: str, purpose: str) -> Any:
    """The module of an optional package.

    Args:
        module: What to import, such as ``torch.utils.tensorboard``.
        package: The package that holds it, as pip calls it: ``tensorboard``.
        purpose: What needs it, for the error: ``DICOM output``.

    Raises:
        InputError: It can't be imported; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"{purpose} needs {package}: {install_command(package)}") from error


def install_command(package: str) -> str:
    """The command that installs an optional package together with the others of its extra.

    Args:
        package: The package, as pip calls it.
    """
    requirements = _same_extra(package) or [package]
    if "SLICER_HOME" in os.environ:
        return f'slicer.util.pip_install("{" ".join(requirements)}") in Slicer\'s Python console'
    quoted = (f"'{text}'" if set(text) & set("<>=!~;") else text for text in requirements)
    return f"pip install {' '.join(quoted)}"


def _same_extra(package: str) -> list[str]:
    """The requirements of the first extra that names the package, without markers; none where nothing is known."""
    try:
        from packaging.utils import canonicalize_name
    except ImportError:
        return []
    wanted = canonicalize_name(package)
    listed = list(_extras())
    extra = next((extra for extra, name, _ in listed if canonicalize_name(name) == wanted), None)
    return [text for other, name, text in listed if other == extra and name != DISTRIBUTION]


def _extras() -> Iterator[tuple[str, str, str]]:
    """Extra, package and requirement of each optional requirement, in the order of the library's metadata."""
    from packaging.requirements import Requirement

    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return
    for line in lines:
        requirement = Requirement(line)
        marker = str(requirement.marker or "")
        if "extra ==" in marker:
            extra = marker.partition("extra ==")[2].strip(" \"'")
            yield extra, requirement.name, f"{requirement.name}{requirement.specifier}"
