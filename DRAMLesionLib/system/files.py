"""Outputs that are either whole or absent: written to a temporary name, then renamed.

A killed process leaves its temporary files behind. Their names hold the machine and the process, and the next one that
writes into the same folder removes those whose process is gone, and brings a folder back that stood aside for its
successor (:func:`replace_folder`) where that never came.
"""

import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from DRAMLesionLib.system.errors import InputError

STAGING_PREFIX = ".dramlesion-"
_ASIDE = "aside-"
STALE_DAYS = 7
"""Temporary files whose process can't be asked after are removed when they are older than this."""

_UNWRITABLE = {
    errno.ENOSPC: "the disk is full: free some space or give another folder",
    errno.EDQUOT: "your disk quota is used up: free some space or give another folder",
    errno.EROFS: "the disk is read-only: give another folder",
    errno.EFBIG: "the file is larger than this disk or account allows (ulimit -f): give another folder",
}
_PLACE = {
    errno.EACCES: "no permission to write there: change its permissions or give another folder",
    errno.EPERM: "no permission to write there: change its permissions or give another folder",
    errno.ENOENT: "nothing can be made there: give another folder",
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


def check_folder(out: str | Path) -> None:
    """See that results can be written into a folder, which need not be there yet: asked before the work, not after it.

    Raises:
        OutputError: It can't be written, or is a file. Nothing was made.
    """
    out = Path(out)
    with explained(out, _UNWRITABLE | _PLACE):
        above = next(folder for folder in (out, *out.absolute().parents) if _is_there(folder))
        if not above.is_dir():
            code = errno.EEXIST if above == out else errno.ENOTDIR
            raise OSError(code, os.strerror(code), str(above))
        Path(tempfile.mkdtemp(prefix=temporary_prefix(), dir=above)).rmdir()


def check_output_file(path: str | Path) -> None:
    """See that a file can be written, which need not be there yet; asked before the work, as :func:`check_folder`.

    Raises:
        OutputError: It can't be written, or is a folder. Nothing was made.
    """
    path = Path(path)
    with explained(path, _UNWRITABLE | _PLACE):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        _is_there(path)  # a name that is too long ends here
    try:
        check_folder(path.absolute().parent)
    except OutputError as error:
        raise OutputError(str(error).replace(str(path.absolute().parent), str(path), 1)) from error


def _is_there(path: Path) -> bool:
    """Whether a path leads to something; other than ``exists`` it lets the system say why it can't tell."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@contextlib.contextmanager
def atomic_file(path: str | Path, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds, remove it otherwise.

    The temporary name keeps the suffix, since image writers choose the format by it.

    Args:
        path: The file to make or replace. Its folder is created.
        private: Only its owner may read it.

    Raises:
        OutputError: The folder can't be written, or the disk is full; ``path`` is then as it was before.
    """
    path = Path(path)
    with explained(path, _UNWRITABLE | _PLACE):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path.parent)
        handle, name = tempfile.mkstemp(prefix=temporary_prefix(), suffix=suffixes(path), dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with explained(path, _UNWRITABLE):
            yield temporary
        with explained(path, _UNWRITABLE | _PLACE):
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            if not private:
                usual_permissions(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_directory(out: str | Path, owned: Iterable[str] = (), last: str | None = None) -> Iterator[Path]:
    """Yield an empty folder inside ``out``; move what it holds into ``out`` when the block succeeds.

    Files of the same name are replaced, others stay. When the block fails nothing in ``out`` has changed, and an
    ``out`` that did not exist before does not exist after. A process that is killed while the files are moved leaves
    new ones beside old ones, each of them whole, but no ``last``.

    Args:
        out: The folder for the results. It is created.
        owned: Names that such a run may write: what an earlier run left under them, and this one did not write, would
            pass for its result, and is removed.
        last: The file that comes last; an earlier run's is removed first. Where it is, all results are of one run.

    Raises:
        OutputError: It can't be written, or the disk is full.
    """
    out = Path(out)
    existed = out.exists()
    with explained(out, _UNWRITABLE | _PLACE):
        out.mkdir(parents=True, exist_ok=True)
        remove_stale(out)
        staging = Path(tempfile.mkdtemp(prefix=temporary_prefix(), dir=out))
    done = False
    try:
        try:
            with explained(out, _UNWRITABLE):
                yield staging
        except OutputError as error:
            raise OutputError(str(error).replace(str(staging), str(out))) from error
        with explained(out, _UNWRITABLE | _PLACE):
            _move_all(staging, out, owned, last)
        done = True
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not done and not existed:
            with contextlib.suppress(OSError):
                out.rmdir()


@contextlib.contextmanager
def replaced_directory(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``folder`` when the block succeeds; an older one goes as a whole.

    Args:
        folder: Where the folder above is created.

    Raises:
        OutputError: It can't be written, or the disk is full; ``folder`` is as it was.
    """
    folder = Path(folder)
    with explained(folder, _UNWRITABLE | _PLACE):
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(folder.parent)
        staging = Path(tempfile.mkdtemp(prefix=temporary_prefix(), dir=folder.parent))
    try:
        with explained(folder, _UNWRITABLE):
            yield staging
        with explained(folder, _UNWRITABLE | _PLACE):
            for path in (staging, *staging.rglob("*")):
                usual_permissions(path)
            replace_folder(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move_all(staging: Path, out: Path, owned: Iterable[str], last: str | None) -> None:
    made = sorted(staging.iterdir(), key=lambda item: (item.name == last, item.name))
    for item in made:  # before anything is moved
        if (out / item.name).is_dir() and not item.is_dir():
            raise OutputError(f"{out / item.name}: is a folder where a result goes: move it away")
    if last is not None and made and made[-1].name == last:
        (out / last).unlink(missing_ok=True)
    for name in set(owned) - {item.name for item in made}:
        (out / name).unlink(missing_ok=True)
    for item in made:
        target = out / item.name
        if item.is_dir() and target.is_dir() and not target.is_symlink():
            replace_folder(item, target)
        else:
            item.replace(target)


def replace_folder(made: Path, folder: Path) -> None:
    """Let the folder ``made`` become ``folder``, on the same disk.

    No system replaces a folder that holds something in one step: the older one stands aside for a moment and is removed
    last. Who is killed in this moment leaves it there, and :func:`remove_stale` brings it back.

    Raises:
        OSError: It can't be done; both are where they were.
    """
    if not folder.exists():
        made.rename(folder)
        return
    aside = folder.with_name(f"{temporary_prefix()}{_ASIDE}{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    try:
        made.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def usual_permissions(path: Path) -> None:
    """Give a file or folder that was made for its owner alone those that the user's new ones have."""
    path.chmod((0o777 if path.is_dir() else 0o666) & ~_umask())


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path``, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def checksum(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, hexadecimal, read block by block.

    Raises:
        OSError: The file can't be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove_stale(folder: Path) -> None:
    """Remove the temporary files and folders in ``folder`` that a killed process left.

    A folder that stood aside when its process was killed comes back, if nothing has taken its place.
    """
    for item in folder.glob(STAGING_PREFIX + "*"):
        with contextlib.suppress(OSError):
            if not _is_stale(item):
                continue
            aside = re.match(_OWN_NAME + _ASIDE + "(.+)", item.name)
            if aside and not (folder / aside[3]).exists():
                item.rename(folder / aside[3])
            elif item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()


ELSEWHERE_S = 900.0
"""A lock of another machine is that of a dead process when it was not renewed, by touching it, for so long."""
_OWN_NAME = re.escape(STAGING_PREFIX) + r"([0-9a-f]{8})-(\d+)-"


def _is_stale(item: Path) -> bool:
    named = re.match(_OWN_NAME, item.name)
    if named and named[1] == _machine() and (running := is_running(int(named[2]))) is not None:
        return not running
    return time.time() - item.lstat().st_mtime > STALE_DAYS * 86400


def lock_folder(folder: Path, name: str, refusal: Callable[[str], str]) -> Path:
    """Lock a folder; locks that killed processes of this machine left are removed.

    Args:
        folder: It must be there.
        name: What the lock is for; the file's name ends with it.
        refusal: Makes the sentence of the error from who holds the folder, such as ``process 123``.

    Returns:
        The lock's file: its owner removes it, and touches it once a minute where other machines reach the folder.

    Raises:
        InputError: Another process holds the folder.
        OSError: The folder can't be written.
    """
    mine = folder / f"{temporary_prefix()}{name}"
    mine.touch()
    remove_stale(folder)
    for other in folder.glob(f".*{name}"):
        if other == mine:
            continue
        named = re.match(_OWN_NAME, other.name)
        here = named is not None and named[1] == _machine()
        if here or time.time() - other.stat().st_mtime < ELSEWHERE_S:
            mine.unlink()
            raise InputError(refusal(f"process {named[2]}" if named and here else "another machine"))
        other.unlink(missing_ok=True)
    return mine


def is_running(process: int) -> bool | None:
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
def explained(path: Path, known: dict[int, str] = _UNWRITABLE) -> Iterator[None]:
    """Let what a block can't write to ``path`` end in one line.

    Raises:
        OutputError: For the system's errors in ``known``; others pass as they are.
    """
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else _foreign_code(error)
        if code not in known:
            raise
        raise OutputError(f"{path}: can't be written: {known[code]}") from error


def _foreign_code(error: Exception) -> int | None:
    """The system's error number in the words of a library that is written in Rust (safetensors), which has no errno."""
    named = re.search(r"\(os error (\d+)\)", str(error))
    return int(named[1]) if named else None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
