"""One case of a batch, in a worker: done whole, with a record of its files' checksums, or not at all.

A finished case is a folder ``cases/NAME`` that appears by a single rename, ``case.json`` in it. Doing it again finds that
record, checks the files, and leaves it at that: so a case whose worker dies after the rename is not done twice.
"""

import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import DRAMLesionLib
from DRAMLesionLib.batch.inputs import Inputs, fingerprint, neutral_inputs, own_inputs
from DRAMLesionLib.batch.listing import Case
from DRAMLesionLib.batch.memory import peak_memory_mb, reset_peak_memory
from DRAMLesionLib.system.files import checksum, replace_folder, temporary_prefix, write_text
from DRAMLesionLib.system.memory import is_out_of_memory
from DRAMLesionLib.system.progress import Progress, silent

CASES, WORK, LOGS = "cases", ".work", "logs"
"""Folders of a batch: finished cases, what is being made, and what broken cases said."""
RECORD = "case.json"
DONE, FAILED, CRASHED, POISONED = "done", "failed", "crashed", "poisoned"
"""What became of a case. Crashed ones are tried again; poisoned ones crashed too often and are set aside."""
_TOLD = ("seconds", "peak_memory_mb", "outputs", "model_checksum")
_RECORDED = {"case", "run", "made_with", *_TOLD}
SEGMENTER = "DRAMLesionLib.batch.segmenter"


@dataclass(frozen=True)
class Job:
    """What is the same for all cases of a run.

    Attributes:
        out: The batch's folder.
        options: Keyword arguments for the segmenter's ``segment`` (fields of
            :class:`~DRAMLesionLib.lesions.options.Options`), JSON values.
        segmenter: A module with ``prepare(options) -> checksum`` and ``segment(image, out, **options)``, as
            :mod:`DRAMLesionLib.batch.segmenter`.
        run: Names this run; a case that this run has finished is never done again.
        resume: Cases that any run has finished with the same inputs and options are not done again.
        keep_identifiers: Results may show the inputs' file names.
        timeout_s: A case that takes longer is stopped; 0: none is.
        threads: How many threads each worker uses.
    """

    out: str
    options: dict[str, Any] = field(default_factory=dict)
    segmenter: str = SEGMENTER
    run: str = ""
    resume: bool = False
    keep_identifiers: bool = False
    timeout_s: float = 0.0
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of one try at a case.

    Attributes:
        case: The case's name.
        status: :data:`DONE`, :data:`FAILED`, :data:`CRASHED` or :data:`POISONED`.
        kept: Whether it was done before, and nothing was computed.
        seconds: How long computing it took.
        peak_memory_mb: The most memory of the worker's process meanwhile, MiB.
        reason: One line; empty where it is done.
        outputs: SHA-256 of each file, by name.
        model_checksum: SHA-256 of the weights.
        worker: Machine and process.
        details: What a developer needs to know of a failure.
    """

    case: str
    status: str
    kept: bool = False
    seconds: float = 0.0
    peak_memory_mb: float | None = None
    reason: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    model_checksum: str = ""
    worker: str = ""
    details: str = ""


class Segment(Protocol):
    """Segments one CT into a folder: as :func:`DRAMLesionLib.case.segment_case`."""

    def __call__(self, source: Path, out: Path, *, progress: Progress = silent, **options: Any) -> Any:
        """Write all results into ``out``."""


def do_case(
    case: Case, job: Job, segment: Segment, model_checksum: str = "", progress: Progress = silent
) -> Outcome:
    """Do a case, or find that it is done.

    Args:
        case: The case.
        job: What is the same for all.
        segment: Does the work.
        model_checksum: SHA-256 of the weights that it uses.
        progress: Told how far the case is.

    Returns:
        Done, kept, or failed with a reason. A lack of memory counts as crashed: elsewhere there may be more.
    """
    base = made_with(case, job, model_checksum)
    kept = kept_outcome(case, job, base)
    if kept is not None:
        return kept

    def fill(folder: Path, inputs: Inputs) -> None:
        options = dict(job.options)
        if inputs.lobes is not None:
            options["lobes"] = inputs.lobes
        if inputs.series is not None:
            options["series"] = inputs.series
        if case.reading is not None:
            options["reading"] = case.reading
        segment(inputs.image, folder, progress=progress, **options)

    reset_peak_memory()
    return finish_case(case, job, base, fill, model_checksum, time.perf_counter())


def kept_outcome(case: Case, job: Job, base: str) -> Outcome | None:
    """The outcome of a case that was done before, by this run or with the same inputs and options, and is intact.

    Args:
        case: The case.
        job: What is the same for all.
        base: What the results would follow from: :func:`made_with`.
    """
    known = read_record(Path(job.out), case.name)
    if known is None or not (known["run"] == job.run or (job.resume and known["made_with"] == base)):
        return None
    if damaged(Path(job.out), case.name, known):
        return None
    return Outcome(case.name, DONE, kept=True, worker=_here(), **{key: known[key] for key in _TOLD})


def finish_case(
    case: Case,
    job: Job,
    base: str,
    fill: Callable[[Path, Inputs], None],
    model_checksum: str,
    start: float,
) -> Outcome:
    """Let ``fill(folder, inputs)`` write a case's results, and put them in their place.

    Args:
        case: The case.
        job: What is the same for all.
        base: What the results follow from: :func:`made_with`.
        fill: Writes them; what it raises is the reason why the case failed.
        model_checksum: SHA-256 of the weights.
        start: When the work began, by :func:`time.perf_counter`.
    """
    work = Path(job.out) / WORK
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=work, ignore_cleanup_errors=True) as name:
        staging = Path(name)
        try:
            made, given = staging / case.name, staging / "inputs"
            given.mkdir()
            fill(made, own_inputs(case) if job.keep_identifiers else neutral_inputs(case, given))
            done = _record(made, case, job, base, model_checksum, time.perf_counter() - start)
            _put_in_place(made, Path(job.out) / CASES / case.name)
        except Exception as error:
            withdraw(Path(job.out), case.name)
            return _failure(error, time.perf_counter() - start, _Words(case, job, staging))
    return Outcome(case.name, DONE, worker=_here(), **{key: done[key] for key in _TOLD})


def read_record(out: Path, name: str) -> dict[str, Any] | None:
    """What a finished case's ``case.json`` says; None where it is not finished."""
    try:
        record = json.loads((out / CASES / name / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(record, dict) and record.get("case") == name and record.keys() >= _RECORDED
    return record if whole and _are_outputs(record["outputs"]) else None


def _are_outputs(outputs: Any) -> bool:
    """Whether a record's outputs are names within the case's folder: by them files are removed."""
    return isinstance(outputs, dict) and all(
        isinstance(known, str)
        and Path(name).parts
        and not Path(name).is_absolute()
        and ".." not in Path(name).parts
        for name, known in outputs.items()
    )


def damaged(out: Path, name: str, record: dict[str, Any]) -> list[str]:
    """The files of a finished case that are missing or not as they were written."""
    folder = out / CASES / name
    return [file for file, known in record["outputs"].items() if checksum_or_none(folder / file) != known]


def withdraw(out: Path, name: str) -> None:
    """Remove what an earlier run wrote for a case that has now failed; a user's own files stay."""
    folder = out / CASES / name
    record = read_record(out, name)
    for file in (RECORD, *(record["outputs"] if record else ())):
        with suppress(OSError):
            (folder / file).unlink()
    with suppress(OSError):
        folder.rmdir()


def checksum_or_none(path: Path) -> str | None:
    """SHA-256 of a file, hexadecimal; None where it can't be read."""
    try:
        return checksum(path)
    except OSError:
        return None


def made_with(case: Case, job: Job, model_checksum: str) -> str:
    """Stands for all that a case's results follow from; on which device they were computed does not count."""
    options = {key: value for key, value in job.options.items() if key != "device"}
    parts = [DRAMLesionLib.__version__, job.segmenter, options, model_checksum, job.keep_identifiers]
    text = json.dumps([*parts, fingerprint(case), case.reading], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _record(
    made: Path, case: Case, job: Job, base: str, model_checksum: str, seconds: float
) -> dict[str, Any]:
    files = sorted(path for path in made.rglob("*") if path.is_file())
    peak = peak_memory_mb()
    record = {
        "case": case.name,
        "run": job.run,
        "made_with": base,
        "model_checksum": model_checksum,
        "seconds": round(seconds, 3),
        "peak_memory_mb": None if peak is None else round(peak),
        "outputs": {path.relative_to(made).as_posix(): checksum_or_none(path) for path in files},
    }
    write_text(made / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def _put_in_place(made: Path, folder: Path) -> None:
    """Let ``made`` become ``folder``; a user's own files in an older one come along."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        earlier = read_record(folder.parents[1], folder.name) or {"outputs": {}}
        for item in folder.iterdir():
            mine = item.name == RECORD or item.name in earlier["outputs"]
            if not mine and not (made / item.name).exists():
                copy = shutil.copytree if item.is_dir() else shutil.copy2
                copy(item, made / item.name)
    replace_folder(made, folder)


@dataclass(frozen=True)
class _Words:
    """Takes what a reader of the results may not see out of a text."""

    case: Case
    job: Job
    staging: Path

    def clean(self, text: str) -> str:
        text = text.replace(str(self.staging / "inputs") + os.sep, "").replace(str(self.staging) + os.sep, "")
        if self.job.keep_identifiers:
            return text
        for path in (self.case.image, self.case.lobes, self.case.series):
            if path:
                text = text.replace(path, self.case.name).replace(str(Path(path).resolve()), self.case.name)
        return text


def _failure(error: Exception, seconds: float, words: _Words) -> Outcome:
    from DRAMLesionLib.system.errors import InputError

    reason = " ".join(str(error).split())
    short = is_out_of_memory(error)
    known = isinstance(error, InputError)
    if short and not known:
        reason = f"not enough memory: {reason}".rstrip(": ")
    elif not known:
        reason = f"{type(error).__name__}: {reason}"
    details = "" if known or short else words.clean("".join(traceback.format_exception(error)))
    peak = None
    with suppress(OSError):
        peak = peak_memory_mb()
    return Outcome(
        words.case.name,
        CRASHED if short else FAILED,
        seconds=round(seconds, 3),
        peak_memory_mb=None if peak is None else round(peak),
        reason=words.clean(reason),
        details=details,
        worker=_here(),
    )


def _here() -> str:
    return f"{platform.node()}:{os.getpid()}"


def to_json(values: Case | Job | Outcome) -> dict[str, Any]:
    """The value's fields as JSON values, to go from process to process."""
    return asdict(values)
