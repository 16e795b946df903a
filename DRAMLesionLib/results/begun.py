"""Results on their way: a folder for their files, and their scene, made beside the computing of what it does not show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from DRAMLesionLib.results.scene import process
from DRAMLesionLib.system.files import staged_directory

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings


class BegunResults:
    """A folder whose results are on their way.

    Attributes:
        folder: Takes the files until all of them are there.
        making: The scene that is being made; None: none was begun.
    """

    def __init__(self, folder: Path, child: process.Child | None) -> None:
        """Nothing is written yet."""
        self.folder, self._child = folder, child
        self.making: process.Making | None = None

    def begin_scene(self, findings: Findings) -> None:
        """Begin to make the scene of findings that lack no more than what a scene does not show."""
        if self._child is not None:
            self.making = process.begin_scene_folder(findings, self.folder, self._child)


@contextlib.contextmanager
def begun_results(
    out: str | Path, owned: Iterable[str], last: str, child: process.Child | None
) -> Iterator[BegunResults]:
    """A staged directory (see :func:`~DRAMLesionLib.system.files.staged_directory`) in which a scene may be begun.

    Args:
        out: The folder for the results.
        owned: Names that may be written there.
        last: The file that comes last.
        child: A process that waits to make the scene; None: nothing is begun before the rest is written.

    Raises:
        OutputError: The folder can't be written.
    """
    with staged_directory(out, owned, last=last) as folder:
        begun = BegunResults(folder, child)
        try:
            yield begun
        finally:
            if begun.making is not None:
                begun.making.stop()
