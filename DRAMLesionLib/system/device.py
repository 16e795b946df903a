"""Where to compute: the CPU, a CUDA GPU, or Apple's GPU."""

from typing import TYPE_CHECKING

from DRAMLesionLib.system.errors import InputError

if TYPE_CHECKING:
    import torch


def find_device(name: str = "auto") -> "torch.device":
    """The torch device of that name.

    Args:
        name: ``auto`` (the first CUDA GPU, else Apple's, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        InputError: There is no such device here; lists those there are.
    """
    import torch

    here = list(list_devices())
    if name == "auto":
        return torch.device(here[-1] if len(here) == 1 else here[1])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in here:
        raise InputError(f"device {name!r}: not on this machine: use auto or one of: {', '.join(here)}")
    return torch.device(wanted)


def has_bfloat16(device: "torch.device") -> bool:
    """Whether the device has instructions for bfloat16; without, autocast is slower than float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in asked)


def list_devices() -> dict[str, str]:
    """Device names and what they are, the CPU first, then the fastest."""
    import os

    import torch

    devices = {"cpu": f"{os.cpu_count()} cores"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices
