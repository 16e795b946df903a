"""Networks, CRF and training on a GPU: right, and how fast. Prints one table; a few minutes, no internet, no data.

    python Testing/gpu/check.py [--device cuda] [--shape 300 512 512] [--seconds 10]

It carries what it needs: a chest of ellipsoids as arrays, and the models that ship. It asks for torch, numpy, scipy,
MONAI, safetensors and PyYAML alone (no SimpleITK, no Slicer), so it runs on a bare machine of a cluster. Each row
compares the GPU with the CPU of that machine: the largest difference of the maps (0..1), seconds, and the peak of the
GPU's memory. The exit code is 1 where a difference is larger than allowed.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from DRAMLesionLib.lesions.crf.crf import refine  # noqa: E402
from DRAMLesionLib.lesions.dram import predict_maps  # noqa: E402
from DRAMLesionLib.lesions.lung_grid import lobe_samples, lung_grid  # noqa: E402
from DRAMLesionLib.lesions.networks.dram_network import build_network  # noqa: E402
from DRAMLesionLib.lesions.probability import predict_lesion  # noqa: E402
from DRAMLesionLib.lesions.run_models import CaseModels, load_case_models  # noqa: E402
from DRAMLesionLib.training.data.weak_label import WeakLabel  # noqa: E402
from DRAMLesionLib.training.precision import autocast, prepare_network  # noqa: E402
from DRAMLesionLib.training.tasks.dram_losses import weak_loss  # noqa: E402

SPACING_MM = (1.0, 0.7, 0.7)
MAPS_ALLOWED = 0.02
"""Largest difference of maps (0..1) between GPU and CPU: the CPU computes in bfloat16 where it can."""
CRF_ALLOWED = 0.002


@dataclass(frozen=True)
class Chest:
    """A CT as arrays.

    Attributes:
        hu: int16 (z, y, x), HU.
        labels: uint8 (z, y, x), lobes 1..5.
    """

    hu: np.ndarray
    labels: np.ndarray


def make_chest(shape: tuple[int, int, int], seed: int = 0) -> Chest:
    """Two ellipsoids of lung, cut into lobes at heights, with balls of ground glass and consolidation."""
    rng = np.random.default_rng(seed)
    z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    hu = rng.normal(30, 15, shape).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    for center, cuts in ((0.42, ((-2, 2), (0.0, 1))), (-0.42, ((-2, 5), (-0.2, 4), (0.2, 3)))):
        lung = (z / 0.9) ** 2 + (y / 0.62) ** 2 + ((x - center) / 0.36) ** 2 < 1
        for height, lobe in cuts:
            labels[lung & (z > height)] = lobe
    inside = labels > 0
    hu[inside] = rng.normal(-850, 40, int(inside.sum()))
    for _ in range(12):
        at = np.argwhere(inside)[rng.integers(inside.sum())]
        radius = rng.uniform(0.05, 0.18)
        low = [z.ravel()[at[0]], y.ravel()[at[1]], x.ravel()[at[2]]]
        ball = (z - low[0]) ** 2 + (y - low[1]) ** 2 + (x - low[2]) ** 2 < radius**2
        hu[ball & inside] += rng.uniform(200, 800)
    return Chest(np.clip(hu, -1024, 200).astype(np.int16), labels)


def timed(device: torch.device, work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, its seconds after a first run, and the peak of the GPU's memory in MiB (0 on a CPU)."""
    gpu = device.type == "cuda"
    if gpu:
        work()  # kernels are chosen and loaded in the first run
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = work()
    if gpu:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    return result, seconds, torch.cuda.max_memory_allocated(device) / 2**20 if gpu else 0.0


def row(name: str, *cells: str) -> None:
    """One row of the table, as soon as it is known."""
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def compare(
    name: str, device: torch.device, allowed: float, work: Callable[[torch.device], np.ndarray]
) -> bool:
    """A row: ``work`` on the CPU and on ``device``; whether the results are the same within ``allowed``."""
    cpu = torch.device("cpu")
    expected, slow, _ = timed(cpu, lambda: work(cpu))
    result, fast, memory = timed(device, lambda: work(device))
    difference = np.abs(np.asarray(expected, np.float32) - np.asarray(result, np.float32))
    worst, share = (
        float(np.quantile(difference[difference > 0], 0.999)) if difference.any() else 0.0,
        difference.max(),
    )
    fine = worst <= allowed
    row(
        name,
        f"{worst:.4f} ({share:.4f})",
        f"{slow:.2f}",
        f"{fast:.2f}",
        f"{memory:.0f}" if memory else "",
        "ok" if fine else "DIFFERS",
    )
    return fine


def check_stages(chest: Chest, models: dict[str, CaseModels], device: torch.device) -> bool:
    """dRAM, final network and CRF of a whole CT."""

    def maps(where: torch.device) -> np.ndarray:
        dram = models[where.type].dram
        return predict_maps(
            dram.network, dram.description, chest.hu, chest.labels, SPACING_MM, device=where
        ).best

    def probability(where: torch.device) -> np.ndarray:
        final = models[where.type].final
        assert final is not None
        return predict_lesion(
            final.network, final.description, chest.hu, chest.labels, SPACING_MM, device=where
        )

    best = maps(device)

    def crf(where: torch.device) -> np.ndarray:
        arrays = (torch.from_numpy(best), torch.from_numpy(chest.hu), torch.from_numpy(chest.labels))
        on = [array.to(where) for array in arrays]
        return refine(on[0], on[1], SPACING_MM, mask=on[2]).cpu().numpy()

    fine = compare("dRAM and attention", device, MAPS_ALLOWED, maps)
    fine &= compare("final network", device, MAPS_ALLOWED, probability)
    return fine & compare("dense CRF", device, CRF_ALLOWED, crf)


def steps_per_second(
    chest: Chest, models: CaseModels, device: torch.device, dtype: torch.dtype, seconds: float
) -> None:
    """Rows: training steps of the dRAM network (one lobe each), the loss before and after."""
    description = models.dram.description
    grid = lung_grid(chest.hu, chest.labels, SPACING_MM, description)
    samples = [
        (
            torch.from_numpy(sample.image)[None, None].to(device),
            torch.from_numpy(sample.mask)[None, None].to(device),
            WeakLabel.from_percent(5.0 + 10 * sample.lobe),
        )
        for sample in lobe_samples(grid, description)
    ]
    torch.manual_seed(0)
    network = build_network(description).to(device)
    prepare_network(network, dtype)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def step(number: int) -> float:
        image, mask, label = samples[number % len(samples)]
        with autocast(device, dtype):
            loss = weak_loss(network(image).float(), mask, [label])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    losses = [step(number) for number in range(len(samples))]
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or count < len(samples):
        losses.append(step(count % len(samples)))
        count += 1
    rate = count / (time.perf_counter() - start)
    first, last = np.mean(losses[: len(samples)]), np.mean(losses[-len(samples) :])
    name, on_cpu = str(dtype).removeprefix("torch."), device.type == "cpu"
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    row(
        f"training step, {name}",
        f"loss {first:.3f} to {last:.3f}",
        f"{1 / rate:.3f}" if on_cpu else "",
        "" if on_cpu else f"{1 / rate:.3f}",
        f"{memory:.0f}" if memory else "",
        f"{rate:.1f} a second",
    )


def two_processes(device: torch.device) -> bool:
    """Whether two processes train on one device at a time (gloo) and hold the same weights at the end."""
    import torch.multiprocessing

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_one_of_two, (folder, str(device)), nprocs=2)
        first, second = (torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(2))
    same = torch.equal(first, second)
    row(
        "two processes on one device (gloo)",
        "same weights" if same else "weights differ",
        "",
        "",
        "",
        "ok" if same else "DIFFERS",
    )
    return same


def _one_of_two(rank: int, folder: str, device: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=os.environ.get("MASTER_PORT", "29531"))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(0)
    layer = torch.nn.Conv3d(1, 4, 3, padding=1).to(device)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for number in range(5):
        image = torch.full((1, 1, 8, 8, 8), float(rank + number), device=device)
        layer(image).square().mean().backward()
        for weight in layer.parameters():
            assert weight.grad is not None
            shared = weight.grad.cpu()
            torch.distributed.all_reduce(shared)
            weight.grad.copy_(shared / 2)
        optimizer.step()
        optimizer.zero_grad()
    torch.save(
        torch.cat([weight.detach().flatten().cpu() for weight in layer.parameters()]),
        Path(folder) / f"{rank}.pt",
    )
    torch.distributed.destroy_process_group()


def main() -> int:
    """Print the table; 1 where something differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512), help="slices, rows, columns")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each training rate")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here: give --device cpu to try the script itself")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    shape = " x ".join(map(str, given.shape))
    print(f"{name}, torch {torch.__version__}, {os.cpu_count()} cores; {shape} voxels (z, y, x)\n")
    print(
        "| stage | difference, 99.9 % (largest) | CPU, s | GPU, s | GPU memory, MiB | |\n|---|---|---|---|---|---|"
    )
    chest = make_chest(tuple(given.shape))
    models = {where.type: load_case_models(None, "final", where) for where in (torch.device("cpu"), device)}
    fine = check_stages(chest, models, device)
    fine &= two_processes(device)
    for dtype in (torch.float32, torch.bfloat16):
        steps_per_second(chest, models["cpu"], device, dtype, given.seconds)
    if device.type != "cpu":
        steps_per_second(chest, models["cpu"], torch.device("cpu"), torch.float32, given.seconds)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
