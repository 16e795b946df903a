"""A worker's process: reads a job and then cases from standard input, JSON by lines, and writes their outcomes.

It ends at once when its input ends, so it never outlives the process that started it.
"""

import faulthandler
import importlib
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from DRAMLesionLib.batch.work import Case, Job, do_case, to_json
from DRAMLesionLib.system.allocation import keep_freed_memory
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Estimate, Progress

LEAST_STEP = 0.02
"""A smaller part of a case is not told."""


def main() -> int:
    """Work until the input ends."""
    answers = _private_output()
    faulthandler.enable()
    keep_freed_memory()
    cases = _read(sys.stdin)
    job = Job(**next(cases))
    try:
        segmenter = importlib.import_module(job.segmenter)
        checksum = segmenter.prepare(job.options)
    except InputError as error:
        _tell(answers, {"refused": " ".join(str(error).split())})
        return 2
    except Exception as error:
        traceback.print_exc()
        _tell(answers, {"refused": f"a worker can't start: {type(error).__name__}: {error}"})
        return 1
    _tell(answers, {"ready": checksum})
    for case in cases:
        told = _telling(answers, getattr(segmenter, "seconds", None), job)
        outcome = do_case(Case(**case), job, segmenter.segment, checksum, told)
        _tell(answers, {"outcome": to_json(outcome)})
    return 0


def _telling(
    answers: TextIO, seconds: Callable[[dict[str, Any]], dict[str, float]] | None, job: Job
) -> Progress:
    """A progress that tells the batch where a case is, in steps that a person can see."""
    estimate = Estimate(seconds(job.options) if seconds else None)
    told = 0.0

    def progress(stage: str, fraction: float) -> None:
        nonlocal told
        known = estimate.stage
        estimate.report(stage, fraction)
        now = estimate.fraction if estimate.knows_the_whole else 0.0
        if stage != known or now >= told + LEAST_STEP:
            told = now
            _tell(answers, {"moved": [stage, round(now, 3)]})

    return progress


def _private_output() -> TextIO:
    """Standard output for answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _read(source: TextIO) -> Iterator[dict[str, Any]]:
    """Lines as they come; read ahead by a thread, which sees the end of the input while a case is being done."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def watch() -> None:
        for line in source:
            lines.put(line)
        _end()

    threading.Thread(target=watch, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def _end() -> None:
    """End this process and those that it started (the scene's)."""
    if os.name != "nt" and os.getpgid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def _tell(answers: TextIO, values: dict[str, Any]) -> None:
    answers.write(json.dumps(values, default=str) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
