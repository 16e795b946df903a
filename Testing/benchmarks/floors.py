"""What a stage of the main job can't be faster than on this machine: its bytes or its arithmetic, at measured rates.

Bytes are each array as large as the CT that a stage must read or write, once; arithmetic that of convolutions and matrix
products as torch counts them. A floor leaves out all that a cleverer method might.
"""

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

Floors = dict[str, tuple[float, str]]


def seconds_of(work: Callable[[], Any], rounds: int = 5) -> float:
    """The fastest of some calls."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def bandwidth() -> float:
    """Bytes read and written a second by a copy that no cache holds."""
    source, target = torch.zeros(1 << 28, dtype=torch.uint8), torch.zeros(1 << 28, dtype=torch.uint8)
    return 2 * source.numel() / seconds_of(lambda: target.copy_(source))


def product_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product."""
    matrix = torch.rand(2048, 2048, dtype=torch.float32).to(dtype)
    return 2 * 2048**3 / seconds_of(lambda: matrix @ matrix)


def deflate_rate(values: np.ndarray) -> float:
    """Bytes a second that one thread packs of such values, at the level of the results."""
    from DRAMLesionLib.images.deflate import LEVEL

    packed = values.tobytes()
    return len(packed) / seconds_of(lambda: zlib.compress(packed, LEVEL), 1)


def inflate_seconds(path: Path) -> float:
    """To unpack a gzip file by one thread."""
    data = path.read_bytes()
    return seconds_of(lambda: zlib.decompress(data, wbits=31), 2)


@contextlib.contextmanager
def counted_products() -> Iterator[list[float]]:
    """Counts the operations of ``mm``, ``bmm`` and ``@`` in any thread; torch's own counter sees one thread alone."""
    total = [0.0]
    plain = {"mm": torch.mm, "bmm": torch.bmm}
    plain_matmul = torch.Tensor.__matmul__

    def counting(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def call(one: torch.Tensor, other: torch.Tensor, **more: Any) -> torch.Tensor:
            total[0] += 2.0 * one.numel() * other.shape[-1]
            return function(one, other, **more)

        return call

    for name, function in plain.items():
        setattr(torch, name, counting(function))
    torch.Tensor.__matmul__ = counting(plain_matmul)  # type: ignore[method-assign, assignment]
    try:
        yield total
    finally:
        for name, function in plain.items():
            setattr(torch, name, function)
        torch.Tensor.__matmul__ = plain_matmul  # type: ignore[method-assign]


def floors(path: Path) -> Floors:
    """Of each stage, in seconds, and what it is made of."""
    from torch.utils.flop_counter import FlopCounterMode

    from DRAMLesionLib.images.volume import read_ct
    from DRAMLesionLib.lesions.dram import predict_maps
    from DRAMLesionLib.lesions.probability import predict_lesion
    from DRAMLesionLib.lesions.refined_dram import refine_dram
    from DRAMLesionLib.lesions.run_models import load_case_models
    from DRAMLesionLib.lungs.read_lobes import find_lobes

    cores = len(os.sched_getaffinity(0))
    speed, float32, bfloat16 = bandwidth(), product_rate(torch.float32), product_rate(torch.bfloat16)
    rates = f"{float32 / 1e9:.0f} GFLOP/s in float32, {bfloat16 / 1e9:.0f} in bfloat16"
    print(f"\nmemory {speed / 1e9:.0f} GB/s, products {rates}")
    ct, models = read_ct(path), load_case_models(None, None, torch.device("cpu"))
    labels = find_lobes(ct, allow_missing=True).labels
    given = (ct.array, labels, ct.spacing_mm)
    voxels = ct.array.size
    with FlopCounterMode(display=False) as counter:
        maps = predict_maps(models.dram.network, models.dram.description, *given)
    dram_work = counter.get_total_flops()
    with counted_products() as products:
        refine_dram(maps.best, ct.array, ct.spacing_mm, labels, models.dram.description)
    assert models.final is not None
    with FlopCounterMode(display=False) as counter:
        predict_lesion(models.final.network, models.final.description, *given)
    final_work = counter.get_total_flops()
    # A third of the slices stands for all of them.
    part = slice(len(ct.array) // 3, 2 * len(ct.array) // 3)
    map_rate, ct_rate = deflate_rate(maps.dram[part]), deflate_rate(ct.array[part])
    map_s, ct_s = 4 * voxels / map_rate, 2 * voxels / ct_rate

    def moved(each: int) -> float:
        return each * voxels / speed

    return {
        "read": (inflate_seconds(path), "unpacking the file once, one thread"),
        "lobes": (moved(2 + 1), "CT read, labels written"),
        "dRAM": (
            dram_work / bfloat16 + moved(2 + 1 + 2 * 4),
            f"{dram_work / 1e9:.0f} GFLOP in bfloat16, two maps written",
        ),
        "CRF": (
            products[0] / float32 + moved(4 + 2 + 1 + 4),
            f"{products[0] / 1e9:.0f} GFLOP in float32, map and CT read, map written",
        ),
        "final network": (
            final_work / bfloat16 + moved(2 + 1 + 2 * 4 + 4),
            f"{final_work / 1e9:.0f} GFLOP in bfloat16, maps read and written",
        ),
        "quantify": (moved(4 + 1 + 1 + 2 + 1 + 1 + 4), "the arrays read once"),
        "write": (3 * map_s / cores, f"three maps packed at {map_rate / 1e6:.0f} MB/s by each core"),
        "scene": (map_s + ct_s, f"CT ({ct_rate / 1e6:.0f} MB/s) and map packed by one thread"),
    }
