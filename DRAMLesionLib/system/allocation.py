"""Memory and threads of processes that do one job and end: freed memory is kept for the next array.

glibc gives each large array back to the system when it is freed, and the next one begins with pages that the system has
to find and clear first. Where a job goes through many arrays of the size of the CT, that is a third of its time.
"""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""The numbers of three parameters of glibc's mallopt(3)."""
_MOST_FREE = 1 << 30


def keep_freed_memory() -> None:
    """Let freed memory stay with this process, up to 1 GiB at its heap's end; where the C library is another, nothing.

    Not for a process that somebody goes on working in: it would hold what it does not need.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_ARENA_MAX, 1)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _MOST_FREE)


def wait_without_spinning() -> None:
    """Let threads of OpenMP sleep while they wait, and numpy's products stay in one thread: before numpy is imported.

    A thread that spins takes its core from whatever else runs: another thread of this job, the scene's process, other
    programs. What the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def give_freed_memory_back() -> None:
    """Return to the system what is free: before another process needs it."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "gnu_get_libc_version") else None
