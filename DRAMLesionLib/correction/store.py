"""A correction session on disk: never half-written, and whole after a killed process.

A session's folder holds:

* ``session.json``: what was corrected with what (provenance, settings, versions), and the names of the two files below;
* ``volumes-N.npz``: HU, lobes and the logits that the map began with (numpy, uncompressed, CRC-32 of each array);
* ``journal-N.jsonl``: one line per step (stroke, undo, redo) in order: CRC-32 in hexadecimal, a blank, JSON. Each is
  on the disk before the step returns. A last line that was torn by a crash is ignored;
* ``label.nii.gz`` and ``edits.nii.gz`` in the CT's geometry (``label.npz`` where none is known): what others read,
  as of the last ``save``.

N grows when the map is replaced; ``session.json`` is renamed into place last, so there is always one whole session.
"""

import contextlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import atomic_file, remove_stale, write_text
from DRAMLesionLib.system.text_file import read_json

FORMAT = 1
SESSION_FILE = "session.json"
VOLUMES = ("hu", "lobes", "start")


@dataclass(frozen=True)
class Saved:
    """What a session's folder holds.

    Attributes:
        header: ``session.json``.
        volumes: ``hu`` (int16 or float32), ``lobes`` (uint8) and ``start`` (int8), all (z, y, x).
        records: The journal's records in order.
        store: To go on writing.
    """

    header: dict[str, Any]
    volumes: dict[str, np.ndarray]
    records: list[dict[str, Any]]
    store: "Store"


class Store:
    """The folder of one session, open for writing.

    Attributes:
        directory: The folder.
        generation: N of the current files.
    """

    def __init__(self, directory: str | Path, generation: int = 0) -> None:
        self.directory = Path(directory)
        self.generation = generation

    @property
    def journal(self) -> Path:
        """The current journal."""
        return self.directory / f"journal-{self.generation}.jsonl"

    def write_all(
        self, header: dict[str, Any], volumes: dict[str, np.ndarray], records: Iterable[dict[str, Any]]
    ) -> None:
        """Write the whole session as the next generation, then make it the current one.

        Raises:
            OSError: It can't be written; what was there before stays valid.
        """
        following = Store(self.directory, self.generation + 1)
        volumes_path = self.directory / f"volumes-{following.generation}.npz"
        with atomic_file(volumes_path) as temporary, temporary.open("wb") as file:
            np.savez(file, hu=volumes["hu"], lobes=volumes["lobes"], start=volumes["start"])
        with atomic_file(following.journal) as temporary:
            temporary.write_bytes(b"".join(_line(record) for record in records))
        header = {
            "format": FORMAT,
            **header,
            "generation": following.generation,
            "volumes": volumes_path.name,
            "journal": following.journal.name,
        }
        write_text(self.directory / SESSION_FILE, json.dumps(header, indent=2) + "\n")
        self.generation = following.generation
        self._remove_others(volumes_path.name)

    def append(self, record: dict[str, Any]) -> None:
        """Add one step to the journal; it is on the disk when this returns.

        Raises:
            OSError: It can't be written; the journal is then as it was before.
        """
        append_record(self.journal, record)

    def _remove_others(self, volumes_name: str) -> None:
        for pattern in ("volumes-*.npz", "journal-*.jsonl"):
            for path in self.directory.glob(pattern):
                if path.name not in (volumes_name, self.journal.name):
                    path.unlink(missing_ok=True)


def append_record(journal: Path, record: dict[str, Any]) -> None:
    """Add a record to a journal that is there; it is on the disk when this returns.

    Raises:
        OSError: It can't be written; the journal is then as it was before.
    """
    # The journal must be there: a vanished folder is an error, not a new file.
    size = journal.stat().st_size
    with journal.open("r+b") as file:
        file.seek(size)
        try:
            file.write(_line(record))
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise


def read_header(directory: str | Path) -> dict[str, Any] | None:
    """``session.json`` of a folder, None where it has none.

    Raises:
        InputError: It is damaged or of a later version.
    """
    path = Path(directory) / SESSION_FILE
    if not path.is_file():
        return None
    header = read_json(path, "a session", "restore the folder from a backup")
    if isinstance(header, dict) and isinstance(header.get("format"), int) and header["format"] > FORMAT:
        raise InputError(f"{path}: was saved by a later version of DRAMLesion: update DRAMLesion to open it")
    if not _is_header(header):
        raise InputError(f"{path}: is damaged: restore the folder from a backup")
    return header


def _is_header(header: Any) -> bool:
    """Whether a session's header has what is read from it."""
    if not isinstance(header, dict):
        return False
    if type(header.get("format")) is not int or type(header.get("generation")) is not int:
        return False
    number, spacing, geometry = header["generation"], header.get("spacing_mm"), header.get("geometry", 0)
    provenance, settings = header.get("provenance"), header.get("settings")
    return (
        header.get("volumes") == f"volumes-{number}.npz"
        and header.get("journal") == f"journal-{number}.jsonl"
        and _are_numbers(spacing, 3)
        and all(length > 0 for length in spacing or ())
        and isinstance(settings, dict)
        and _are_numbers([settings.get("threshold")], 1)
        and isinstance(provenance, list)
        and bool(provenance)
        and all(isinstance(entry, dict) for entry in provenance)
        and (geometry is None or _is_geometry(geometry))
    )


def _is_geometry(geometry: Any) -> bool:
    counts = {"size": 3, "spacing": 3, "origin": 3, "direction": 9}
    return (
        isinstance(geometry, dict)
        and geometry.keys() == counts.keys()
        and all(_are_numbers(geometry[name], count) for name, count in counts.items())
    )


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in (int, float) and math.isfinite(value) for value in values)
    )


def read_session(directory: str | Path) -> Saved:
    """Read a session's folder; cut off the torn last line and remove the temporary files that a crash may have left.

    Raises:
        InputError: There is no session, or it is damaged.
    """
    directory = Path(directory)
    header = read_header(directory)
    if header is None:
        raise InputError(f"{directory}: holds no correction session: give the folder that was saved into")
    remove_stale(directory)
    volumes = _read_volumes(directory / header["volumes"])
    journal = directory / header["journal"]
    if not journal.is_file():
        raise InputError(f"{journal}: is missing: restore the folder from a backup")
    return Saved(header, volumes, list(read_journal(journal)), Store(directory, header["generation"]))


def _read_volumes(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            volumes = {name: archive[name] for name in VOLUMES}
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing: restore the folder from a backup") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: is damaged: restore the folder from a backup") from error
    shapes = {volume.shape for volume in volumes.values()}
    hu, lobes, start = (volumes[name] for name in VOLUMES)
    kinds = hu.dtype in (np.int16, np.float32) and lobes.dtype == np.uint8 and start.dtype == np.int8
    if len(shapes) != 1 or start.ndim != 3 or not kinds or lobes.max(initial=0) > len(LOBES):
        raise InputError(f"{path}: its arrays don't belong together: restore the folder from a backup")
    return volumes


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode("ascii")
    return b"%08x " % zlib.crc32(text) + text + b"\n"


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """A journal's records; a last line that is torn (no end, or not what its checksum says) is cut off the file.

    Raises:
        InputError: A line before the last one is damaged.
    """
    data = path.read_bytes()
    position = number = 0
    while position < len(data):
        end = data.find(b"\n", position)
        number += 1
        record = _parse(data[position:end]) if end >= 0 else None
        if record is None:
            if 0 <= end < len(data) - 1:
                raise InputError(
                    f"{path}: line {number} is damaged: restore it from a backup, or delete this line and all "
                    "after it to keep the strokes before it"
                )
            with path.open("r+b") as file:
                file.truncate(position)
            return
        yield record
        position = end + 1


def _parse(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.partition(b" ")
    try:
        record = json.loads(text) if int(checksum, 16) == zlib.crc32(text) else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
