"""The worker's side: jobs for the panel, one after the other, in a process that keeps torch and the models loaded.

``python -m DRAMLesionPanel.shared.worker_jobs`` reads one job in a line of standard input, JSON as::

    {"id": "3", "job": "segment", ...arguments}

and reports on standard output as the library's commands do, one JSON value in a line; the last one of a job is
``{"event": "ended", "id": "3", "code": 0}``. It ends when its input ends, so it never outlives Slicer. It knows nothing
of Slicer, and imports torch only for the jobs that need it.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from DRAMLesionLib.case import KeptModels

LESION, EDITS, REPORT = "lesion", "edits", "report.html"
OUTLINE = "outline"
"""An event of ``segment``: the mask lies in the file ``path``, as uint8 (z, y, x) in canonical axes."""


def warm(
    models: "KeptModels", _reporter: Any, model: str | None, method: str | None, device: str
) -> dict[str, Any]:
    """Load what the next segmentation needs."""
    import DRAMLesionLib.case
    import DRAMLesionLib.lesions.find  # noqa: F401 - with torch and all else that it imports

    models.load(model, method, device)
    return {}


def segment(
    models: "KeptModels",
    reporter: Any,
    ct: str,
    out: str,
    lobes: str | None,
    model: str | None,
    method: str | None,
    device: str,
) -> dict[str, Any]:
    """Segment a CT, tell of the mask as soon as it is known, and hand the arrays over in the folder ``out``."""
    import numpy as np

    from DRAMLesionLib.case import segment_to_arrays
    from DRAMLesionLib.commands.terminal.console import print_json
    from DRAMLesionLib.lesions.options import Options

    def show(mask: np.ndarray) -> None:
        path = Path(out).with_name(f"{OUTLINE}.npy")
        np.save(path, mask)
        print_json({"event": OUTLINE, "path": str(path)})

    reporter.progress("Loading the models", 0.0)
    loaded = models.load(model, method, device)
    options = Options(lobes=lobes, model=model, method=method, device=device)
    segment_to_arrays(ct, out, options, models=loaded, progress=reporter.progress, outline=show)
    return {"out": out}


def accept(_models: "KeptModels", reporter: Any, case: str, folder: str) -> dict[str, Any]:
    """Store a corrected case, whose arrays lie in ``case``, in the training folder ``folder``."""
    import numpy as np

    from DRAMLesionLib.results.arrays import read_arrays
    from DRAMLesionLib.training.data.accepted_case import save_accepted_case

    reporter.progress("Storing the case", 0.0)
    edits = np.load(Path(case) / f"{EDITS}.npy", mmap_mode="r", allow_pickle=False)
    stored = save_accepted_case(folder, read_arrays(case, mapped=True), edits)
    return {"case": str(stored)}


def report(_models: "KeptModels", reporter: Any, case: str, path: str) -> dict[str, Any]:
    """Write the report of a case, whose arrays lie in ``case``: a web page."""
    from DRAMLesionLib.results.arrays import read_arrays
    from DRAMLesionLib.results.report import write_report

    reporter.progress("Writing the report", 0.0)
    write_report(read_arrays(case, mapped=True), path)
    return {"path": path}


def compare(
    _models: "KeptModels", reporter: Any, exams: list[dict[str, str]], out: str, coarser: float = 1.0
) -> dict[str, Any]:
    """Compare exams, the earliest first, and write page and tables into the folder ``out``.

    Each exam is ``{"case": FOLDER}`` of arrays, or ``{"folder": FOLDER}`` of results (or a CT, which is segmented first
    where all exams are such).
    """
    from DRAMLesionLib.api.compare import compare
    from DRAMLesionLib.api.result import Result
    from DRAMLesionLib.followup.comparison import check_out
    from DRAMLesionLib.followup.sources import compare_sources
    from DRAMLesionLib.results.arrays import read_arrays

    check_out(out)
    folders = [exam["folder"] for exam in exams if "folder" in exam]
    if len(folders) == len(exams):
        comparison = compare_sources(folders, out, coarser=coarser, progress=reporter.progress)
    else:
        given = [
            exam["folder"] if "folder" in exam else Result(read_arrays(exam["case"], mapped=True))
            for exam in exams
        ]
        comparison = compare(*given, coarser=coarser, progress=reporter.progress)
        reporter.progress("Writing the comparison", 0.0)
        comparison.save(out)
    return {"out": out, **comparison.summary}


def rank(
    _models: "KeptModels", reporter: Any, case: str, out: str, lobes: list[int] | None = None
) -> dict[str, Any]:
    """Rank lobes of a case, whose arrays lie in ``case``, so that the panel can cut them; ``out`` is a folder."""
    from DRAMLesionLib.lesions.steer import Steering
    from DRAMLesionLib.results.arrays import read_arrays
    from DRAMLesionPanel.shared.ranked_files import writeRanked

    findings = read_arrays(case, mapped=True)
    steering = Steering(findings.map, findings.threshold, findings.lobes.labels, findings.ct.spacing_mm)
    ranked, wanted = {}, [lobe for lobe in steering.boxes if lobes is None or lobe in lobes]
    for number, lobe in enumerate(wanted):
        reporter.progress("Ranking the lobes", number / len(wanted))
        ranked[lobe] = steering.ranked(lobe)
    writeRanked(Path(out), ranked)
    return {"out": out}


def lesions(_models: "KeptModels", reporter: Any, case: str) -> dict[str, Any]:
    """List the lesions of a case, whose arrays lie in ``case``."""
    from DRAMLesionLib.results.arrays import read_arrays
    from DRAMLesionLib.results.lesion_list import list_lesions

    reporter.progress("Listing the lesions", 0.0)
    findings = read_arrays(case, mapped=True)
    return list_lesions(findings.ct, findings.lobes.labels, findings.lesion).to_dict()


JOBS = {
    "warm": warm,
    "segment": segment,
    "accept": accept,
    "report": report,
    "compare": compare,
    "rank": rank,
    "lesions": lesions,
}


def do(job: dict[str, Any], models: "KeptModels") -> int:
    """Do a job; returns its exit code, which is a command's."""
    import typer

    from DRAMLesionLib.commands.terminal.console import Reporter

    arguments = {name: value for name, value in job.items() if name not in ("id", "job")}
    try:
        with Reporter(as_json=True, debug=False) as reporter:
            reporter.result(JOBS[job["job"]](models, reporter, **arguments))
    except typer.Exit as end:
        return int(end.exit_code)
    return 0


def main() -> None:
    """Work until the input ends."""
    from DRAMLesionLib.case import KeptModels
    from DRAMLesionLib.system.allocation import give_freed_memory_back

    models = KeptModels()
    for line in sys.stdin:
        job = json.loads(line)
        code = do(job, models)
        print(json.dumps({"event": "ended", "id": job["id"], "code": code}), flush=True)
        give_freed_memory_back()


if __name__ == "__main__":
    main()
