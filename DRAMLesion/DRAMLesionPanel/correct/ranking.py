"""The lobes of a map, ranked by the worker, so that they can be cut at a reader's numbers."""

import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import slicer

from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.ranked_lobe import RankedLobe
from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.shared.background import inWorker
from DRAMLesionPanel.shared.ranked_files import readRanked
from DRAMLesionPanel.shared.worker import Worker


class Ranking:
    """Ranked lobes, whose arrays lie in a folder until :meth:`end`.

    Attributes:
        lobes: By the lobe's value; empty until they are ranked.
    """

    def __init__(self) -> None:
        """Nothing is ranked yet."""
        self.lobes: dict[int, RankedLobe] = {}
        self._folder: Path | None = None

    def making(
        self,
        worker: Worker,
        findings: Findings,
        tell: Callable[[str], None],
        wanted: Collection[int] | None = None,
    ) -> Steps[dict[int, RankedLobe]]:
        """Let the worker rank lobes.

        Args:
            worker: The panel's.
            findings: Whose map is ranked.
            tell: Told the stage, for people.
            wanted: The lobes' values; None: all.

        Raises:
            InputError: It failed; one line.
        """
        self.end()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{STAGING_PREFIX}ranked-", dir=slicer.app.temporaryPath))
        lobes = None if wanted is None else sorted(wanted)
        out = str(self._folder)
        temporary = slicer.app.temporaryPath
        yield from inWorker(worker, temporary, "rank", findings, tell, withMaps=True, out=out, lobes=lobes)
        self.lobes = readRanked(self._folder, findings.lobes.labels)
        return self.lobes

    def end(self) -> None:
        """Let go of the arrays."""
        self.lobes = {}
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
