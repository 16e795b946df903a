"""Many CTs, one after the other or many at once: whatever happens to one case, or to a worker, the others go on.

Every case is handed to a worker's process. A case whose process dies is tried again; one that has taken
:data:`MOST_CRASHES` processes with it is set aside. What became of each is in the manifest at once, so that a batch
that was killed goes on where it was.
"""

import contextlib
import shutil
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from DRAMLesionLib.batch import pools
from DRAMLesionLib.batch.listing import Listing, list_cases
from DRAMLesionLib.batch.manifest import Manifest
from DRAMLesionLib.batch.pace import Clock, usual_seconds, whereabouts
from DRAMLesionLib.batch.readings import with_readings
from DRAMLesionLib.batch.scan_numbers import read_scan_numbers, write_scan_numbers
from DRAMLesionLib.batch.tables import read_volumes, write_volumes
from DRAMLesionLib.batch.work import (
    CASES,
    CRASHED,
    DONE,
    LOGS,
    POISONED,
    SEGMENTER,
    WORK,
    Case,
    Job,
    Outcome,
    withdraw,
)
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.results.table import FLAGS_COLUMN
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import remove_stale, write_text
from DRAMLesionLib.system.progress import Progress, silent

MOST_CRASHES = 3
"""A case that has crashed its worker so often is set aside."""
_LOOK_S = 1.0
_MOMENTS = 30


@dataclass(frozen=True)
class CaseEvent:
    """A case has come to an end, or will be tried again.

    Attributes:
        outcome: What became of the case.
        ended: Cases that have come to their end, this one included.
        count: All cases.
        remaining_s: How long the others will take at the pace so far; None where nothing was computed yet.
    """

    outcome: Outcome
    ended: int
    count: int
    remaining_s: float | None


@dataclass
class BatchResult:
    """What became of a batch.

    Attributes:
        out: The batch's folder.
        count: How many cases it has.
        statuses: How many are ``done``, ``failed`` and ``poisoned``.
        kept: How many of the done ones were done before.
        failures: The failed and poisoned ones and their reasons.
        notes: Sentences on what the user should know.
        seconds: How long the batch took.
        stopped: Whether the batch was interrupted.
    """

    out: Path
    count: int
    statuses: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def good(self) -> bool:
        """Whether all cases are done."""
        return self.statuses[DONE] == self.count

    @property
    def flagged(self) -> dict[str, list[str]]:
        """The finished cases that should be looked at, with the codes of their flags."""
        try:
            rows = [(name, regions["total"]) for name, regions in read_volumes(self.out)]
        except OSError:
            return {}
        return {name: codes.split(";") for name, row in rows if (codes := row.get(FLAGS_COLUMN, ""))}


@dataclass(frozen=True)
class Workers:
    """Who does the cases.

    Attributes:
        count: Processes on this machine; None: as many as cores and memory allow.
        gib_each: Memory that each needs.
        scheduler: Address of a Dask scheduler, whose workers do them instead.
        dask: Use Dask on this machine where it is installed and there are several.
        threads: How many each process uses; None shares the cores among them.
    """

    count: int | None = None
    gib_each: float = pools.GIB_PER_WORKER
    scheduler: str | None = None
    dask: bool = True
    threads: int | None = None


OpenPool = Callable[[Job], contextlib.AbstractContextManager[pools.Pool]]


@dataclass(frozen=True)
class BatchOptions:
    """Which CTs a batch takes, and how it goes about them; how each is segmented is in
    :class:`~DRAMLesionLib.lesions.options.Options`.

    Attributes:
        lobes: Where the lobes of each case are: see :func:`~DRAMLesionLib.batch.listing.list_cases`.
        images: Which files or DICOM series to take: see :func:`~DRAMLesionLib.batch.listing.list_cases`.
        resume: Leave cases that are done, intact and made with the same inputs, options and model.
        retry_poisoned: When resuming, try those again that were set aside.
        keep_identifiers: Let names and results show the inputs' folders and files.
        timeout_s: Stop a case that takes longer; 0: none.
        with_report: Write the batch's report.
        readings: A table of readers' percentages or scores that steer the masks: see
            :func:`~DRAMLesionLib.batch.readings.with_readings`.
        who: The reader of that table.
        segmenter: The module that segments a case: see :class:`~DRAMLesionLib.batch.work.Job`.
    """

    lobes: str | None = None
    images: str | None = None
    resume: bool = False
    retry_poisoned: bool = False
    keep_identifiers: bool = False
    timeout_s: float = 0.0
    with_report: bool = True
    readings: str | Path | None = None
    who: str = ""
    segmenter: str = SEGMENTER


Tell = Callable[[CaseEvent], None]
Expect = Callable[[Mapping[str, float]], None]


def segment_batch(
    source: str | Path,
    out: str | Path,
    batch: BatchOptions | None = None,
    *,
    options: Options | Mapping[str, Any] | None = None,
    workers: Workers | None = None,
    open_pool: OpenPool | None = None,
    progress: Progress = silent,
    tell: Tell | None = None,
    expect: Expect | None = None,
    **choices: Any,
) -> BatchResult:
    """Segment all CTs of a folder, a DICOM tree or a CSV.

    Args:
        source: A folder or a CSV: see :func:`~DRAMLesionLib.batch.listing.list_cases`.
        out: The folder for ``manifest.csv``, ``volumes.csv``, ``report.html``, ``key.csv`` and ``cases/``.
        batch: Which CTs, and how the batch goes about them.
        options: How each CT is segmented; as a mapping: keyword arguments of the segmenter, JSON values.
        workers: Who does the work.
        open_pool: Gives another pool than ``workers`` describes.
        progress: Told how far the batch is, and which cases are at which stage.
        tell: Told what becomes of each case.
        expect: Told the stages and the seconds that they usually take, once the number of cases is known: see
            :class:`~DRAMLesionLib.system.progress.Estimate`.
        **choices: Fields of :class:`BatchOptions` by name, which change ``batch``:
            ``segment_batch("cts", "results", resume=True)``.

    Returns:
        What became of them; ``stopped`` where the user interrupted it.

    Raises:
        InputError: The arguments can't be used, or no worker can be started.
    """
    start = time.perf_counter()
    batch, out = replace(batch or BatchOptions(), **choices), Path(out)
    existed = out.exists()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, not a folder: give another path")
    listing = list_cases(
        source,
        lobes=batch.lobes,
        images=batch.images,
        out=out,
        known=read_scan_numbers(out),
        keep_identifiers=batch.keep_identifiers,
        progress=progress,
    )
    if batch.readings is not None:
        listing = with_readings(listing, batch.readings, batch.who)
    opened, job, notes = _opened(
        _job(out, batch, options), workers or Workers(), open_pool, len(listing.cases)
    )
    result = BatchResult(out, len(listing.cases), notes=[*listing.notes, *notes])
    with Manifest(out, batch.resume) as manifest:
        _remove_leftovers(out)
        write_scan_numbers(out, listing.cases)
        if batch.retry_poisoned:
            manifest.forget_poisoned()
        try:
            with opened(job) as pool:
                if expect is not None:
                    expect(usual_seconds(len(listing.cases), pool.window))
                _run(listing, pool, manifest, result, progress, tell or (lambda event: None))
        except KeyboardInterrupt:
            result.stopped = True
        except InputError:
            if not existed and not result.statuses:
                shutil.rmtree(out, ignore_errors=True)
            raise
        finally:
            _remove_leftovers(out)
        manifest.compact(case.name for case in listing.cases)
        _write_tables(out, listing, manifest, batch.with_report, progress)
    result.seconds = time.perf_counter() - start
    return result


def _job(out: Path, batch: BatchOptions, options: Options | Mapping[str, Any] | None) -> Job:
    """What is the same for all cases of this run."""
    return Job(
        str(out.resolve()),
        options.to_dict() if isinstance(options, Options) else dict(options or {}),
        batch.segmenter,
        uuid.uuid4().hex,
        batch.resume,
        batch.keep_identifiers,
        batch.timeout_s,
    )


def _opened(
    job: Job, workers: Workers, open_pool: OpenPool | None, count: int
) -> tuple[OpenPool, Job, list[str]]:
    """How to open the pool, the job with its threads, and sentences on what was chosen."""
    if open_pool is not None:
        return open_pool, job, []
    if workers.scheduler is not None:
        address = workers.scheduler
        threads = workers.threads or 0
        return (lambda job: pools.dask_pool(job, address)), replace(job, threads=threads), []
    device = str(job.options.get("device", "auto"))
    fitting, note = pools.count_workers(workers.count, workers.gib_each, device)
    processes = max(1, min(fitting, count))
    job = replace(job, threads=workers.threads or pools.threads_each(processes))
    notes = [note] if note else []
    if processes > 1 and workers.dask and pools.has_dask():
        return (lambda job: pools.local_dask_pool(job, processes)), job, notes
    return (lambda job: pools.process_pool(job, processes)), job, notes


def _run(
    listing: Listing,
    pool: pools.Pool,
    manifest: Manifest,
    result: BatchResult,
    progress: Progress,
    tell: Tell,
) -> None:
    """Hand out the cases and note what becomes of them, until none is left."""
    clock = Clock()
    waiting = iter(listing.cases)
    again: deque[Case] = deque()
    running = 0
    told = whereabouts(0, result.count, {})
    progress(*told)
    while True:
        while running < max(1, pool.window) and (case := _next(again, waiting, manifest, result)):
            pool.submit(case, manifest.crashes.get(case.name, 0))
            running += 1
        if not running:
            break
        for case, outcome in pool.finished(_LOOK_S):
            running -= 1
            outcome = _judged(outcome, manifest)
            clock.count(outcome)
            _note(outcome, manifest, result)
            if outcome.status == CRASHED:
                again.append(case)
            ended = result.statuses.total()
            tell(CaseEvent(outcome, ended, result.count, clock.remaining_s(result.count - ended)))
        now = whereabouts(result.statuses.total(), result.count, pools.moving_in(pool))
        if now != told:
            told = now
            progress(*told)
        manifest.renew()


def _next(
    again: deque[Case], waiting: Iterator[Case], manifest: Manifest, result: BatchResult
) -> Case | None:
    """The next case to hand out; what an earlier run has set aside stays there."""
    if again:
        return again.popleft()
    for case in waiting:
        if manifest.status.get(case.name) != POISONED:
            return case
        result.statuses[POISONED] += 1
        result.failures[case.name] = (
            "was set aside by an earlier run: see the manifest, or use --retry-poisoned"
        )
    return None


def _judged(outcome: Outcome, manifest: Manifest) -> Outcome:
    """A crash too many makes a case poisoned; the manifest has the crash itself, too."""
    if outcome.status != CRASHED:
        return outcome
    manifest.add(outcome)
    crashes = manifest.crashes[outcome.case]
    if crashes < MOST_CRASHES:
        return outcome
    return replace(outcome, status=POISONED, reason=f"set aside after {crashes} crashes: {outcome.reason}")


def _note(outcome: Outcome, manifest: Manifest, result: BatchResult) -> None:
    if outcome.details:
        log = result.out / LOGS / f"{outcome.case}.txt"
        with contextlib.suppress(OSError):
            write_text(log, f"{outcome.reason}\n\n{outcome.details}\n")
    if outcome.status == CRASHED:
        return
    if not (outcome.kept and manifest.status.get(outcome.case) == DONE):
        manifest.add(outcome)
    result.statuses[outcome.status] += 1
    result.kept += outcome.kept
    if outcome.status == DONE:
        (result.out / LOGS / f"{outcome.case}.txt").unlink(missing_ok=True)
    else:
        result.failures[outcome.case] = outcome.reason
        if outcome.status == POISONED:
            withdraw(result.out, outcome.case)


def _write_tables(
    out: Path,
    listing: Listing,
    manifest: Manifest,
    with_report: bool,
    progress: Progress,
) -> None:
    progress("Writing the tables", 0.0)
    done: Iterable[str] = (c.name for c in listing.cases if manifest.status.get(c.name) == DONE)
    write_volumes(out, done)
    if with_report:
        from DRAMLesionLib.batch.report import write_batch_report

        write_batch_report(out)
    progress("Writing the tables", 1.0)


def _remove_leftovers(out: Path) -> None:
    """What dead workers of this machine have left; those of a worker that was just ended die within moments."""
    remove_stale(out / CASES)
    work = out / WORK
    for _ in range(_MOMENTS):
        remove_stale(work)
        with contextlib.suppress(OSError):
            work.rmdir()
        if not work.exists():
            break
        time.sleep(0.1)
