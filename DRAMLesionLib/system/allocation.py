"""Freed memory, kept for the next array, for processes that do one job and end; arrays that are mostly 0.

glibc gives each large array back to the system when it is freed, and the next one begins with pages that the system has
to find and clear first. Where a job goes through many arrays of the size of the CT, that is a third of its time.
"""

import ctypes
import math
import mmap
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""The numbers of three parameters of glibc's mallopt(3)."""
_MOST_FREE = 1 << 30
_SMALL = 1 << 20
"""Bytes up to which an array comes from the heap: pages of its own would gain nothing."""


def keep_freed_memory() -> None:
    """Let freed memory stay with this process, up to 1 GiB at its heap's end; where the C library is another, nothing.

    Not for a process that somebody goes on working in: it would hold what it does not need.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_ARENA_MAX, 1)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _MOST_FREE)


def give_freed_memory_back() -> None:
    """Return to the system what is free: before another process needs it."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def zeros_on_demand(shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
    """Zeros that take memory only where something was written: for maps, which are 0 outside the lungs.

    The array is a usual one of full size. The system gives it a page (4 KiB: two rows of 512 float32 values) when
    something is first written there, and has all of them back as soon as nobody holds the array. So write no zeros into
    it: assign with a mask, or use ``numpy.copyto`` with ``where``. A copy of it takes its full size.

    Args:
        shape: Of the array.
        dtype: Of its values.

    Raises:
        OSError: There is not enough memory.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _SMALL:
        return np.zeros(shape, dtype)
    # Shared pages, the default, would be filled by reading them, too.
    private = {} if sys.platform == "win32" else {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
    return np.frombuffer(mmap.mmap(-1, size, **private), dtype).reshape(shape)


def copy_on_demand(array: np.ndarray) -> np.ndarray:
    """A copy of an array in :func:`zeros_on_demand`: it takes memory where it is not 0."""
    copy = zeros_on_demand(array.shape, array.dtype)
    for values, target in zip(array, copy, strict=True):
        np.copyto(target, values, where=values != 0)
    return copy


class Unshared(np.ndarray):
    """An array that nobody else reads or changes: who takes it over, as VTK does, needs no copy. So are its views."""


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "gnu_get_libc_version") else None
