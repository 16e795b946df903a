"""Two exams compared by a process of its own: CTs of the scene with their results, or folders of results."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.results.arrays import FOR_SCENE, writing_arrays
from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.results.nodes import Results
from DRAMLesionPanel.shared.background import following
from DRAMLesionPanel.shared.worker import Worker

COARSER = 1.0
"""Factor on the voxel sizes of the registration."""
HANDOVER = "Handing over"
SECONDS = {
    HANDOVER: 1.0,
    "Reading the results": 2.0,
    "Registering the lungs": 16.0,
    "Matching the lesions": 1.0,
    "Matching the slices": 1.0,
    "Writing the comparison": 2.0,
}
"""The stages of a comparison in their order, and what each usually takes, for the bar."""


def comparing(
    exams: Sequence[Results | Path],
    out: Path,
    reading: Callable[[Results], Steps[Findings]],
    temporaryPath: str,
    tell: Callable[[str, float], None],
) -> Steps[dict[str, Any]]:
    """Compare exams; nothing is left of it where the steps are given up.

    Args:
        exams: The earliest first: results in the scene as they are now, or a folder of results.
        out: The folder for page and tables.
        reading: Reads results in the scene.
        temporaryPath: A folder to hand the scene's results over in.
        tell: Told the stage, for people, and how much of it is done.

    Returns:
        What ``compare`` reports as its result.

    Raises:
        InputError: They can't be compared; one line.
    """
    with tempfile.TemporaryDirectory(prefix=f"{STAGING_PREFIX}compare-", dir=temporaryPath) as folder:
        given: list[dict[str, str]] = []
        for number, exam in enumerate(exams):
            tell(_(HANDOVER), number / len(exams))
            if isinstance(exam, Path):
                given.append({"folder": str(exam)})
                continue
            case = Path(folder) / f"exam_{number + 1}"
            findings = yield from reading(exam)
            yield from writing_arrays(findings, case, FOR_SCENE)
            del findings  # as large as the CT and more, and the next one comes
            given.append({"case": str(case)})
        worker = Worker(temporaryPath)  # the panel's own may have to segment meanwhile
        try:
            job = worker.submit("compare", exams=given, out=str(out), coarser=COARSER)
            return (yield from following(job, tell))
        finally:
            worker.end()
