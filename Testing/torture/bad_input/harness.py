"""Odd inputs: how a case is described, made, run and judged.

A case is a function that writes its input into an empty folder and returns a :class:`Job`: what is run, and what has to
come of it, a right result or one line that names the file and says what to do.
"""

import contextlib
import faulthandler
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import STAGING_PREFIX

_DO = (
    "accept add change check choose close convert copy correct delete end export follow free give harden install keep "
    "leave load lower make move name paint put remove rename repair replace resample restore save say segment set "
    "start subtract take train update use wait write"
)
REMEDY = re.compile(rf"[:,;] (or |with lungmask, )?({_DO.replace(' ', '|')}|the first HU must)\b")
"""Somewhere in a refusal stands what to do."""

VALUE_RULE = re.compile(
    r"is no (whole )?number|is not between|is unknown|is no text|is not true or false|not positive|negative"
    r"|is not (\d+|some) number|is no section|is no table|whole number"
    r"|\bnot (a whole number from )?0 to|Input should be"
)
"""Or the rule that a value of a text file breaks, which is what to do."""


@dataclass(frozen=True)
class Job:
    """What is run and what has to come of it.

    Attributes:
        run: The arguments of a command, or a function to call.
        refused: Words that the one line must hold; None where the input is good.
        check: Judges a good result; it raises AssertionError.
        code: The exit code of a refusal.
        finally_: Called at the end, whatever came of it.
    """

    run: tuple[Any, ...] | Callable[[], Any]
    refused: tuple[str, ...] | None = None
    check: Callable[[], None] | None = None
    code: int = 2
    finally_: Callable[[], None] | None = None


@dataclass(frozen=True)
class Case:
    """One input: its name, its kind, and how it is made.

    Attributes:
        kind: For the table of kinds.
        name: What is odd; no two are alike.
        make: Writes the input into an empty folder.
        short: Whether it is among the few that run with all other tests.
        seconds: The most that it may take.
    """

    kind: str
    name: str
    make: Callable[[Any, Path], Job]
    short: bool = False
    seconds: float = 60.0


class Table:
    """The cases of one kind of input, filled by decorators and loops."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.cases: list[Case] = []

    def add(
        self, name: str, make: Callable[[Any, Path], Job], short: bool = False, seconds: float = 60.0
    ) -> None:
        self.cases.append(Case(self.kind, name, make, short, seconds))

    def case(
        self, name: str, short: bool = False, seconds: float = 60.0
    ) -> Callable[[Callable[[Any, Path], Job]], Callable[[Any, Path], Job]]:
        def decorator(make: Callable[[Any, Path], Job]) -> Callable[[Any, Path], Job]:
            self.add(name, make, short, seconds)
            return make

        return decorator


class Hang(BaseException):
    """A case has taken longer than it may."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case: exit code (0 good), the lines for the user, and what else was said."""

    code: int
    lines: tuple[str, ...]
    noise: str
    exception: BaseException | None
    seconds: float


def judge(case: Case, world: Any, folder: Path) -> Outcome:
    """Make a case in ``folder``, run it, and see that what had to come of it came.

    Raises:
        AssertionError: It did not.
    """
    job = case.make(world, folder)
    try:
        before = snapshot(folder)
        outcome = run(job, case.seconds)
        _judge(job, outcome, before, folder)
    finally:
        if job.finally_ is not None:
            job.finally_()
    return outcome


def _judge(job: Job, outcome: Outcome, before: dict[str, tuple[int, ...]], folder: Path) -> None:
    said = "\n".join(outcome.lines) or ("accepted" if outcome.code == 0 else outcome.noise)
    assert not isinstance(outcome.exception, Hang), f"still running after {outcome.seconds:.0f} s"
    fault = outcome.exception if not isinstance(outcome.exception, SystemExit | None) else None
    assert fault is None, f"{type(fault).__name__}: {fault}"
    assert "Traceback" not in outcome.noise, outcome.noise[-2000:]
    assert "WARNING" not in outcome.noise and "Warning:" not in outcome.noise, outcome.noise[-1000:]
    left = [path for path in folder.rglob(f"{STAGING_PREFIX}*") if "-run-" not in path.name]
    assert not left, f"left behind: {left}"
    if job.refused is None:
        assert outcome.code == 0, f"refused: {said}"
        if job.check is not None:
            job.check()
        return
    assert outcome.code == job.code, f"exit code {outcome.code} instead of {job.code}: {said}"
    assert len(outcome.lines) == 1, said
    (line,) = outcome.lines
    assert len(line) < 1500, f"a line of {len(line)} characters: {line[:300]}"
    for word in job.refused:
        assert word in line, f"no {word!r} in: {line}"
    assert REMEDY.search(line) or VALUE_RULE.search(line), f"no word of what to do in: {line}"
    after = snapshot(folder)
    assert after == before, f"changed: {sorted(set(after.items()) ^ set(before.items()))}"


def run(job: Job, seconds: float) -> Outcome:
    """Run a job under a time limit, with all that is said on both levels caught."""
    begin = time.perf_counter()
    code, lines, said, exception = 1, (), "", None
    with tempfile.TemporaryFile() as heard:
        with _heard(heard), _limit(seconds):
            try:
                if callable(job.run):
                    code, lines, said, exception = _call(job.run)
                else:
                    code, lines, said, exception = _invoke(job.run)
            except Hang as hang:
                exception = hang
        heard.seek(0)
        noise = heard.read().decode(errors="replace")
    return Outcome(code, tuple(lines), said + noise, exception, time.perf_counter() - begin)


def _invoke(arguments: tuple[Any, ...]) -> tuple[int, list[str], str, BaseException | None]:
    result = CliRunner().invoke(app, [os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments])
    err = result.stderr
    lines = [line.removeprefix("Error: ") for line in err.splitlines() if line.startswith("Error: ")]
    if result.exit_code == 3:  # a batch: the failed cases stand on standard output
        lines = re.findall(r"^  \S+: (.*(?:\n(?!  \S|Results).*)*)", result.stdout, re.MULTILINE)
        lines = [" ".join(line.split()) for line in lines]
    usage = re.search(r"^(?:Error|Usage error): (.*)", err, re.MULTILINE)
    if result.exit_code == 2 and not lines and usage:
        lines = [usage[1]]
    return result.exit_code, lines, err, result.exception


def _call(function: Callable[[], Any]) -> tuple[int, list[str], str, BaseException | None]:
    try:
        function()
    except InputError as error:
        return 2, str(error).splitlines(), "", None
    except Exception as error:
        return 1, [], "", error
    return 0, [], "", None


def snapshot(folder: Path) -> dict[str, tuple[int, ...]]:
    """All that lies in a folder, with size and time of change."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        kept = (status.st_size, status.st_mtime_ns) if not path.is_dir() or path.is_symlink() else ()
        found[os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")] = kept
    return found


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise :class:`Hang` after so long; end the process where not even that is heard."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(3 * seconds + 30, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _heard(file: Any) -> Iterator[None]:
    """Send what C++ code writes to standard error into ``file``."""
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
