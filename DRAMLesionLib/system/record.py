"""For the record of a run: seconds of each stage, versions, and the sentence on research use."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import DRAMLesionLib


@dataclass
class Stopwatch:
    """Seconds of each stage, in the order they ran."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block as the stage ``name``."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    from importlib.metadata import PackageNotFoundError, version

    known = {"DRAMLesion": DRAMLesionLib.__version__, "Python": platform.python_version()}
    for package in ("torch", "monai", "numpy", "scipy", "SimpleITK", "slicer-core"):
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            continue
    return known


RESEARCH_USE = "Research use only, not for diagnosis"
"""The statement on everything that leaves this library for a reader."""
