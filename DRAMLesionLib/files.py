"""Outputs that are either whole or absent: written to a temporary name, then renamed.

A killed process leaves its temporary files behind. Their names hold the machine and the process, and the next one that
writes into the same folder removes those whose process is gone.
"""

import contextlib
import errno
import os
import platform
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from DRAMLesionLib.errors import InputError

STAGING_PREFIX = ".dramlesion-"
STALE_DAYS = 7
"""Temporary files whose process can't be asked after are removed when they are older than this."""

_UNWRITABLE = {
    errno.ENOSPC: "the disk is full: free some space or give another folder",
    errno.EDQUOT: "your disk quota is used up: free some space or give another folder",
    errno.EROFS: "the disk is read-only: give another folder",
}
_PLACE = {
    errno.EACCES: "no permission to write there: change its permissions or give another folder",
    errno.EPERM: "no permission to write there: change its permissions or give another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder: give another path",
    errno.EEXIST: "is a file, not a folder: give another path",
    errno.EISDIR: "is a folder: give a file name",
    errno.ENAMETOOLONG: "the path is too long: give a shorter one",
}


class OutputError(InputError, OSError):
    """A result can't be written where the user wants it; the message is one line, as an :class:`InputError`'s."""


def suffixes(path: Path) -> str:
    """The file name from its first known image suffix on: ``.nii.gz``, ``.seg.nrrd``, ``.json``."""
    name = path.name.lower()
    for double in (".nii.gz", ".seg.nrrd"):
        if name.endswith(double):
            return path.name[-len(double) :]
    return path.suffix


def temporary_prefix() -> str:
    """How the temporary names of this process begin."""
    return f"{STAGING_PREFIX}{_machine()}-{os.getpid()}-"


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds, remove it otherwise.

    The temporary name keeps the suffix, since image writers choose the format by it.

    Args:
        path: The file to make or replace. Its folder is created.

    Raises:
        OutputError: The folder can't be written, or the disk is full; ``path`` is then as it was before.
    """
    path = Path(path)
    with _explained(path, _UNWRITABLE | _PLACE):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path.parent)
        handle, name = tempfile.mkstemp(prefix=temporary_prefix(), suffix=suffixes(path), dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with _explained(path, _UNWRITABLE):
            yield temporary
        with _explained(path, _UNWRITABLE | _PLACE):
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_directory(out: str | Path, owned: Iterable[str] = ()) -> Iterator[Path]:
    """Yield an empty folder inside ``out``; move what it holds into ``out`` when the block succeeds.

    Files of the same name are replaced, others stay. When the block fails nothing in ``out`` has changed, and an
    ``out`` that did not exist before does not exist after.

    Args:
        out: The folder for the results. It is created.
        owned: Names that such a run may write: what an earlier run left under them, and this one did not write, would
            pass for its result, and is removed.

    Raises:
        OutputError: It can't be written, or the disk is full.
    """
    out = Path(out)
    existed = out.exists()
    with _explained(out, _UNWRITABLE | _PLACE):
        out.mkdir(parents=True, exist_ok=True)
        remove_stale(out)
        staging = Path(tempfile.mkdtemp(prefix=temporary_prefix(), dir=out))
    done = False
    written: set[str] = set()
    try:
        try:
            with _explained(out, _UNWRITABLE):
                yield staging
        except OutputError as error:
            raise OutputError(str(error).replace(str(staging), str(out))) from error
        with _explained(out, _UNWRITABLE | _PLACE):
            for item in sorted(staging.iterdir()):
                target = out / item.name
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(target)
                item.replace(target)
                written.add(item.name)
            for name in set(owned) - written:
                (out / name).unlink(missing_ok=True)
        done = True
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not done and not existed:
            with contextlib.suppress(OSError):
                out.rmdir()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path``, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_stale(folder: Path) -> None:
    """Remove the temporary files and folders in ``folder`` that a killed process left."""
    for item in folder.glob(STAGING_PREFIX + "*"):
        with contextlib.suppress(OSError):
            if not _is_stale(item):
                continue
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()


def _is_stale(item: Path) -> bool:
    named = re.match(re.escape(STAGING_PREFIX) + r"([0-9a-f]{8})-(\d+)-", item.name)
    if named and named[1] == _machine() and (running := _is_running(int(named[2]))) is not None:
        return not running
    return time.time() - item.lstat().st_mtime > STALE_DAYS * 86400


def _is_running(process: int) -> bool | None:
    """Whether a process of this machine runs; None where asking would harm it (Windows takes signal 0 for Ctrl+C)."""
    if os.name == "nt":
        return True if process == os.getpid() else None
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # it runs as somebody else
    return True


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


@contextlib.contextmanager
def _explained(path: Path, known: dict[int, str]) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno not in known:
            raise
        raise OutputError(f"{path}: can't be written: {known[error.errno]}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
