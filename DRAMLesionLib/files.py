"""Outputs that are either whole or absent: written to a temporary name, then renamed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

STAGING_PREFIX = ".dramlesion-"


def suffixes(path: Path) -> str:
    """The file name from its first known image suffix on: ``.nii.gz``, ``.seg.nrrd``, ``.json``."""
    name = path.name.lower()
    for double in (".nii.gz", ".seg.nrrd"):
        if name.endswith(double):
            return path.name[-len(double) :]
    return path.suffix


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds, remove it otherwise.

    The temporary name keeps the suffix, since image writers choose the format by it.

    Args:
        path: The file to make or replace. Its folder is created.

    Raises:
        OSError: The folder can't be written, or the disk is full; ``path`` is then as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=STAGING_PREFIX, suffix=suffixes(path), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_directory(out: str | Path) -> Iterator[Path]:
    """Yield an empty folder inside ``out``; move what it holds into ``out`` when the block succeeds.

    Files of the same name are replaced, others stay. When the block fails nothing in ``out`` has changed, and an
    ``out`` that did not exist before does not exist after.

    Args:
        out: The folder for the results. It is created.
    """
    out = Path(out)
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=out))
    done = False
    try:
        yield staging
        for item in sorted(staging.iterdir()):
            target = out / item.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            item.replace(target)
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
