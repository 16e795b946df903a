"""How much memory workers may take, and how much this process has used."""

import contextlib
import re
import sys
from pathlib import Path

from DRAMLesionLib.system.memory import free_memory_gib

_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory_gib() -> float | None:
    """What can still be used, by the machine and by a container's or job's limit; None where nothing tells."""
    limits = [left for left in (free_memory_gib(), *map(_left_in_group, _LIMITS)) if left is not None]
    return min(limits, default=None)


def reset_peak_memory() -> None:
    """Let :func:`peak_memory_mb` begin anew, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float | None:
    """The most memory in MiB that this process held since :func:`reset_peak_memory` (Linux) or since it began."""
    with contextlib.suppress(OSError):
        if peak := re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE):
            return int(peak[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 1024


def _left_in_group(names: tuple[str, str, str]) -> float | None:
    """What a control group has left, in GiB; cached files count as free, as they are."""
    limit, used, cached = names
    try:
        most, now = int((_CGROUP / limit).read_text()), int((_CGROUP / used).read_text())
        table = ((_CGROUP / limit).parent / "memory.stat").read_text()
    except (OSError, ValueError):
        return None
    files = re.search(rf"^{cached} (\d+)", table, re.MULTILINE)
    return max(0.0, (most - now + (int(files[1]) if files else 0)) / 2**30)
