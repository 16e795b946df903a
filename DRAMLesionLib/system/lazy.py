"""Names that a folder's face hands on: the file behind a name is imported when the name is asked for."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any


def load_name(package: str, name: str, modules: Mapping[str, str]) -> Any:
    """What a package's ``__getattr__`` returns for ``name``.

    Args:
        package: The package that was asked, for the error.
        name: The attribute that was asked for.
        modules: The module that defines each public name.

    Raises:
        AttributeError: The package hands on no such name.
    """
    if name not in modules:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(import_module(modules[name]), name)
