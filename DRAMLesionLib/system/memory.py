"""How much memory a run needs and how much there is: too little is said before the run, or else with what would fit."""

import contextlib
import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from DRAMLesionLib.system.errors import InputError

BASE_GIB = 1.0
"""What a run takes before it holds a CT: Python, torch, the models, and the networks' work on a part of the lungs."""
BYTES_PER_VOXEL = 14.2
"""Measured at the peak by two threads, with the scene's process: 1.9 GiB for a CT of 512 x 512 x 300, 3.0 GiB for
twice the slices; maps took 0.16 of the 0.29 GiB that they would take as whole arrays."""
MOST_BESIDE, BESIDE_GIB = 1 << 24, 0.5
"""Up to so many voxels the scene is made beside the computing, which takes so much more at the peak."""
GPU_GIB = 1.5
"""On a GPU: the driver's own 0.5 GiB, and one lobe in the network; it does not grow with the CT's matrix."""
SCARCE = 0.9
"""A run that needs more than this share of what is free is likely to fail: the window and the system need some, too."""


_SHORT = re.compile(
    "out of memory|(can't|cannot|could not|failed to|unable to) allocate|not enough memory|bad_?alloc|bad allocation"
    "|can't start new thread|failed to map segment|could not (create|execute) a (primitive|memory( object)?)$",
    re.IGNORECASE,
)
"""How torch (CUDA, MPS, CPU, oneDNN), ITK, numpy, Python and C++ libraries say it."""


class NotEnoughMemory(InputError, MemoryError):
    """Memory ran out; the message is one line, as an :class:`~DRAMLesionLib.system.errors.InputError`'s."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of whatever library it is."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | OSError | ImportError) and _SHORT.search(str(error)) is not None
    )


@contextlib.contextmanager
def shortage_explained(name: str, advice: Callable[[], str]) -> Iterator[None]:
    """Let a block that runs out of memory end in one line.

    Args:
        name: The file or whatever the work is about.
        advice: Asked then: what fits, or what to do.

    Raises:
        NotEnoughMemory: It ran out.
    """
    try:
        yield
    except NotEnoughMemory:
        raise
    except (MemoryError, RuntimeError, OSError, ImportError) as error:
        if not is_out_of_memory(error):
            raise
        raise NotEnoughMemory(f"{name}: not enough memory: {advice()}") from error


def smaller_setting(
    size: tuple[int, ...], spacing_mm: tuple[float, float, float], device: str = "cpu"
) -> str:
    """What to do where a run on a CT has run out of memory: a size that fits in what this process can get.

    Args:
        size: Voxels of the CT, (z, y, x).
        spacing_mm: Voxel spacing of the CT, (z, y, x).
        device: Where the networks ran.
    """
    if not device.startswith("cpu"):
        return "use --device cpu, which needs the computer's memory alone"
    need, here = BASE_GIB + BYTES_PER_VOXEL * math.prod(size) / 2**30, obtainable_gib()
    shape = " x ".join(str(length) for length in reversed(size))
    about = f"a CT of {shape} voxels needs about {need:.1f} GiB"
    voxels = None if here is None else (SCARCE * here - BASE_GIB) * 2**30 / BYTES_PER_VOXEL
    if here is None or voxels is None or voxels >= math.prod(size):
        return f"{about}: close other programs, or resample it to slices of {2 * spacing_mm[0]:g} mm"
    about += f", {here:.1f} GiB are to be had"
    times = math.ceil(math.prod(size) / voxels) if voxels > 0 else 99
    if times * spacing_mm[0] > 10:
        return f"{about}: close other programs, or use a computer with more memory"
    return (
        f"{about}: resample it to slices of {times * spacing_mm[0]:g} mm, which fits, or close other programs"
    )


def obtainable_gib() -> float | None:
    """What this process has and can still get, in GiB: of the computer, and within its own limit (``ulimit -v``)."""
    free, has = free_memory_gib(), _own_gib("VmRSS")
    limits = [] if free is None or has is None else [free + has]
    with contextlib.suppress(ImportError, OSError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        mapped = _own_gib("VmSize")
        if limit != resource.RLIM_INFINITY and has is not None and mapped is not None:
            limits.append(max(has, limit / 2**30 - mapped + has))
    return min(limits, default=None)


def _own_gib(key: str) -> float | None:
    """A size of this process, as Linux tells it."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    line = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return int(line[1]) / 2**20 if line else None


@dataclass(frozen=True)
class MemoryNeed:
    """What a run needs at its peak.

    Attributes:
        main_gib: GiB of the computer's memory.
        gpu_gib: GiB of the GPU's memory, 0 on the CPU.
    """

    main_gib: float
    gpu_gib: float


def memory_need(size: tuple[int, int, int], device: str = "cpu") -> MemoryNeed:
    """The peak of ``segment`` on a CT.

    Args:
        size: Voxels along each axis, in any order.
        device: ``cpu``, ``cuda:N`` or ``mps``; ``mps`` shares the computer's memory.
    """
    voxels = math.prod(size)
    main = BASE_GIB + BYTES_PER_VOXEL * voxels / 2**30 + (BESIDE_GIB if voxels <= MOST_BESIDE else 0.0)
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
        free_gib: Free GiB of the computer's memory; None asks the system.
        gpu_gib: GiB of the GPU's memory; None where it is not known, which is then not judged.

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
    """The memory in a device's description as :func:`~DRAMLesionLib.system.device.list_devices` gives it; None without
    one."""
    amount = re.search(r"([0-9.]+) GiB", description)
    return float(amount[1]) if amount else None


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
