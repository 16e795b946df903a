"""The manifest of a batch: a CSV to which each end of a case adds a line, which a crash can't spoil.

The last line of a case counts. When the batch ends, the manifest is written anew with one line for each.
"""

import csv
import io
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from DRAMLesionLib.batch.work import CRASHED, POISONED, Outcome
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import OutputError, atomic_file, lock_folder

MANIFEST_NAME = "manifest.csv"
COLUMNS = (
    "case",
    "status",
    "attempts",
    "seconds",
    "peak_memory_mb",
    "reason",
    "model_checksum",
    "outputs",
    "worker",
    "finished",
)
"""``outputs`` are names and SHA-256 sums, ``name:sum``, separated by spaces; ``finished`` is UTC."""
_LOCK = "batch.lock"
_RENEW_S = 60.0


class Manifest:
    """The manifest of a batch that runs; one batch at a time writes into a folder.

    Attributes:
        status: What became of each case, by its last line.
        crashes: How often the cases that crashed have done so since they were last done.
    """

    def __init__(self, out: Path, resume: bool) -> None:
        """Open it, or begin a new one.

        Args:
            out: The batch's folder.
            resume: Go on with the lines that are there.

        Raises:
            InputError: Another batch is writing into the folder, or the file is no manifest.
            OutputError: It can't be written.
        """
        self.status: dict[str, str] = {}
        self.crashes: dict[str, int] = {}
        self._path = out / MANIFEST_NAME
        self._lock = _lock(out)
        self._renewed = time.monotonic()
        try:
            if resume and self._path.exists():
                self._take_up()
            else:
                self._begin()
            self._file = self._path.open("ab", buffering=0)
        except BaseException:
            self._lock.unlink(missing_ok=True)
            raise

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.unlink(missing_ok=True)

    def add(self, outcome: Outcome) -> None:
        """Add a line, and see it on the disk.

        Raises:
            OutputError: The disk is full.
        """
        crashed = self.crashes.get(outcome.case, 0) + (outcome.status == CRASHED)
        line = _line(outcome, crashed + (outcome.status not in (CRASHED, POISONED)))
        try:
            self._file.write(line)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(
                f"{self._path}: {error.strerror}: free some space and go on with --resume"
            ) from error
        self._count(outcome.case, outcome.status, crashed)
        self.renew()

    def forget_poisoned(self) -> None:
        """Let cases that were set aside be tried again."""
        self.crashes.clear()
        self.status = {name: status for name, status in self.status.items() if status != POISONED}

    def renew(self) -> None:
        """Show other machines that this batch lives; call it from time to time."""
        if time.monotonic() - self._renewed > _RENEW_S:
            self._lock.touch()
            self._renewed = time.monotonic()

    def compact(self, names: Iterable[str]) -> None:
        """Keep the last line of each case, in the order of ``names``; cases that are not among them go."""
        places: dict[str, tuple[int, int]] = {}
        with self._path.open("rb") as old:
            start = old.tell()
            for line in old:
                places[line.split(b",", 1)[0].decode("utf-8", "replace")] = (start, len(line))
                start += len(line)
            with atomic_file(self._path) as temporary, temporary.open("wb") as new:
                for name in (COLUMNS[0], *names):
                    if name in places:
                        old.seek(places[name][0])
                        new.write(old.read(places[name][1]))
        self._file.close()
        self._file = self._path.open("ab", buffering=0)

    def _begin(self) -> None:
        with atomic_file(self._path) as temporary:
            temporary.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def _take_up(self) -> None:
        """Read the lines, and cut off one that a crash left unfinished."""
        whole = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self._read_line(number, line.decode("utf-8", errors="replace"))
        if whole < self._path.stat().st_size:
            with self._path.open("rb+") as file:
                file.truncate(whole)
        if not whole:
            self._begin()

    def _read_line(self, number: int, line: str) -> None:
        if number == 0:
            if line.rstrip("\r\n") != ",".join(COLUMNS):
                raise InputError(
                    f"{self._path}: is not the manifest of a batch: move it away or give another folder"
                )
            return
        try:
            row = next(csv.reader([line]), [])
            if len(row) == len(COLUMNS):
                self._count(row[0], row[1], int(row[2]) if row[1] in (CRASHED, POISONED) else 0)
        except (csv.Error, ValueError):
            return  # a damaged line: its case is looked at again

    def _count(self, case: str, status: str, crashed: int) -> None:
        self.status[case] = status
        if status in (CRASHED, POISONED):
            self.crashes[case] = crashed
        else:
            self.crashes.pop(case, None)


def read_manifest(out: Path) -> Iterator[dict[str, str]]:
    """The lines of a manifest, as they are: of a batch that runs, a case may have several."""
    with (out / MANIFEST_NAME).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _line(outcome: Outcome, attempts: int) -> bytes:
    buffer = io.StringIO()
    peak = outcome.peak_memory_mb
    values = [
        outcome.case,
        outcome.status,
        attempts,
        f"{outcome.seconds:.1f}",
        "" if peak is None else f"{peak:.0f}",
        " ".join(outcome.reason.split()),
        outcome.model_checksum,
        " ".join(f"{name}:{value}" for name, value in outcome.outputs.items()),
        outcome.worker,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    ]
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue().encode()


def _lock(out: Path) -> Path:
    """Refuse to write where another batch does."""
    out.mkdir(parents=True, exist_ok=True)

    def refusal(who: str) -> str:
        return f"{out}: another batch writes there ({who}): wait for its end, or give another folder"

    return lock_folder(out, _LOCK, refusal)
