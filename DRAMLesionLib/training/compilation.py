"""``torch.compile``, where a recipe asks for it."""

import torch
from torch import nn


def compile_network(network: nn.Module, backend: str = "inductor") -> None:
    """Compile a network in place; its weights and their names stay as they are.

    The first steps take minutes. On a CPU it was no faster than the network as it is. Grids differ from lobe to lobe, so
    shapes are compiled as variables.

    Args:
        network: One with ``compiled_parts`` has these compiled, since more than its ``forward`` is called.
        backend: Of ``torch.compile``.
    """
    parts: list[nn.Module] = getattr(network, "compiled_parts", [network])
    torch._dynamo.config.recompile_limit = max(32, torch._dynamo.config.recompile_limit)
    for part in parts:
        part.compile(dynamic=True, backend=backend)
