"""How much memory a run needs and how much there is, so that too little is said before the run and not after."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

BASE_GIB = 0.85
"""What a run takes before it holds a CT: Python, torch, the models, and the networks' work on a part of the lungs."""
BYTES_PER_VOXEL = 26.0
"""Measured at the peak: 1.0 GiB for a CT of 256 x 256 x 120 by the final network, 2.6 GiB for one of 512 x 512 x 300."""
GPU_GIB = 1.5
"""On a GPU: the driver's own 0.5 GiB, and one lobe in the network; it does not grow with the CT's matrix."""
SCARCE = 0.9
"""A run that needs more than this share of what is free is likely to fail: the window and the system need some, too."""


@dataclass(frozen=True)
class MemoryNeed:
    """What a run needs at its peak.

    Attributes:
        main_gib: Of the computer's memory.
        gpu_gib: Of the GPU's, 0 on the CPU.
    """

    main_gib: float
    gpu_gib: float


def memory_need(size: tuple[int, int, int], device: str = "cpu") -> MemoryNeed:
    """The peak of ``segment`` on a CT.

    Args:
        size: Voxels along each axis, in any order.
        device: ``cpu``, ``cuda:N`` or ``mps``; ``mps`` shares the computer's memory.
    """
    first, second, third = size
    main = BASE_GIB + BYTES_PER_VOXEL * first * second * third / 2**30
    return MemoryNeed(round(main, 2), GPU_GIB if device.startswith("cuda") else 0.0)


def low_memory(
    size: tuple[int, int, int],
    device: str = "cpu",
    *,
    free_gib: float | None = None,
    gpu_gib: float | None = None,
) -> str | None:
    """Why a run is likely to fail for want of memory, and what to do.

    Args:
        size: Voxels of the CT along each axis.
        device: Where the network would run.
        free_gib: Of the computer's memory; None asks the system.
        gpu_gib: Of the GPU's memory; None where it is not known, which is then not judged.

    Returns:
        One line, or None where there is enough or nothing is known.
    """
    need = memory_need(size, device)
    free = free_memory_gib() if free_gib is None else free_gib
    shape = " x ".join(str(length) for length in size)
    if free is not None and need.main_gib > SCARCE * free:
        return (
            f"a CT of {shape} voxels needs about {need.main_gib:.1f} GiB of memory, {free:.1f} GiB are free: close other "
            "programs, or crop the CT to the lungs or resample it to thicker slices"
        )
    if gpu_gib is not None and need.gpu_gib > SCARCE * gpu_gib:
        return f"{device} has {gpu_gib:.1f} GiB of memory, about {need.gpu_gib:.1f} GiB are needed: choose the device cpu"
    return None


def free_memory_gib() -> float | None:
    """What programs can still get without swapping, in GiB; None where the system does not tell."""
    if sys.platform == "win32":
        return _windows_free_gib()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kib[0]) / 2**20 if kib else None


def device_memory_gib(description: str) -> float | None:
    """The memory in a device's description as :func:`~DRAMLesionLib.device.list_devices` gives it; None without one."""
    found = re.search(r"([0-9.]+) GiB", description)
    return float(found[1]) if found else None


def _windows_free_gib() -> float | None:
    import ctypes

    class Status(ctypes.Structure):
        # MEMORYSTATUSEX: a length, a load in percent, then seven 64-bit counts of bytes.
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "free", "a", "b", "c", "d", "e")),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined]
        return None
    return status.free / 2**30
