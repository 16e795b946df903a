"""bfloat16 where the machine computes with it: autocast about float32 weights, float32 where that goes wrong.

Two things would: normalisation over the few voxels of the coarsest level, and oneDNN's gradient of a convolution's
weights on a grid with fewer slices than the kernel has (seen with torch 2.13: parts of it are memory that nobody wrote).
Small lobes have such grids at the coarsest level, and would be trained on noise or end in NaN.
"""

from typing import Any

import torch
from torch import nn

from DRAMLesionLib.system.device import has_bfloat16

_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_NORMALISATION = (*_BATCH, *_INSTANCE, nn.GroupNorm, nn.LayerNorm)


class _GuardedConv3d(nn.Conv3d):
    """A convolution that computes in float32 where the grid has fewer slices than the kernel."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.shape[-3] >= self.kernel_size[0]:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that convolutions compute in.

    Args:
        name: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where CPU or GPU have instructions for it.
        device: Where.
    """
    if name == "auto":
        name = "bfloat16" if has_bfloat16(device) else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> Any:
    """A context in which convolutions and matrix products compute in ``dtype``."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


def prepare_network(network: nn.Module, dtype: torch.dtype) -> None:
    """Make a network fit for autocast, in place; its weights and their names stay as they are.

    Args:
        network: Is changed: normalisation and convolutions on flat grids are in float32 from now on, and weights are in
            the layout that is fast with bfloat16 (channels last).
        dtype: From :func:`choose_precision`; with float32 nothing changes.
    """
    if dtype == torch.float32:
        return
    for module in network.modules():
        if isinstance(module, _NORMALISATION):
            module.register_forward_pre_hook(_to_float32)
        elif type(module) is nn.Conv3d:
            # Another class rather than another `forward`: copies of the network (its moving average) keep their weights.
            module.__class__ = _GuardedConv3d
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _to_float32(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(module, _BATCH) and not module.training:
        return inputs  # statistics that are kept are not computed from few voxels
    return tuple(value.float() if torch.is_tensor(value) else value for value in inputs)


def compile_network(network: nn.Module, backend: str = "inductor") -> None:
    """Compile a network in place; its weights and their names stay as they are.

    The first steps take minutes. On a CPU it was no faster than the network as it is. Grids differ from lobe to lobe, so
    shapes are compiled as variables.

    Args:
        network: One with ``compiled_parts`` has these compiled, since more than its ``forward`` is called.
        backend: The backend of ``torch.compile``.
    """
    parts: list[nn.Module] = getattr(network, "compiled_parts", [network])
    torch._dynamo.config.recompile_limit = max(32, torch._dynamo.config.recompile_limit)
    for part in parts:
        part.compile(dynamic=True, backend=backend)
