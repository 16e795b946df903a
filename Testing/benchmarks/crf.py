"""The dense CRF against its peers: wall and CPU seconds, memory, error and Dice on a synthetic CT.

Run ``python Testing/benchmarks/crf.py`` (all sizes) or with ``--quick`` (the smallest). Every measurement is a process of
its own, methods take turns, and the best of the rounds counts. Memory is the peak above what imports and inputs take.
"""

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# The volumes are (z, y, x).
SIZES = {"128x128x96": (96, 128, 128), "192x192x128": (128, 192, 192), "256x256x160": (160, 256, 256)}
METHODS = {
    "lowrank": {},
    "lowrank 1e-3": {"tolerance": 1e-3},
    "pydensecrf2": {"backend": "pydensecrf"},
}
SPACING = (1.0, 1.0, 1.0)


def synthetic(shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU (int16), a blurred noisy lesion map (float32) and the true lesion (bool), all of ``shape``."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    field = gaussian_filter(random.standard_normal(shape, dtype=np.float32), 6)
    field /= field.std()
    lesion = field > 1.2
    hu = np.where(lesion, -400, -850) + 60 * random.standard_normal(shape, dtype=np.float32)
    hu[field < -1.5] = 40
    logit = (
        4 * gaussian_filter(lesion.astype(np.float32), 2)
        - 1.5
        + random.standard_normal(shape, dtype=np.float32)
    )
    return hu.clip(-1000, 200).astype(np.int16), (1 / (1 + np.exp(-logit))).astype(np.float32), lesion


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def measure(method: str, size: str, threads: int) -> dict[str, float]:
    """One run in this process."""
    import torch

    from DRAMLesionLib.lesions.crf.crf import refine

    torch.set_num_threads(threads)
    hu, probability, lesion = synthetic(SIZES[size])
    # Loads what is loaded late, outside the measurement.
    refine(probability[:8, :8, :8], hu[:8, :8, :8], SPACING, **METHODS[method])
    torch.randn(1 << 18).tanh()
    before = reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    refined = refine(probability, hu, SPACING, **METHODS[method])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resident("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "wall": wall,
        "cpu": cpu,
        "mb": peak - before,
        "dice_before": dice(probability > 0.5, lesion),
        "dice": dice(refined > 0.5, lesion),
    }


def resident(field: str) -> float:
    """VmRSS or VmHWM of this process, MB; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def reset_peak() -> float:
    """Forgets the peak that making the inputs left behind; MB in use now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return resident("VmRSS")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def message_error(method: str) -> float:
    """Relative L2 error of the normalised bilateral message at 32^3 against float64 sums over all pairs."""
    import torch

    from DRAMLesionLib.lesions.crf.crf import refine

    hu, probability, _ = synthetic((32, 32, 32), seed=3)
    unary = torch.logit(torch.from_numpy(probability).double().clamp(0.02, 0.98)).flatten()
    grid = np.indices(hu.shape).reshape(3, -1).T / 9.0
    points = torch.from_numpy(np.column_stack([grid, hu.ravel() / 80.0]))
    squares = (points**2).sum(1) / 2

    def product(values: torch.Tensor) -> torch.Tensor:
        parts = [
            torch.addmm(-squares[None], rows, points.T).sub_(own[:, None]).clamp_(max=0).exp_() @ values
            for rows, own in zip(points.split(1024), squares.split(1024), strict=True)
        ]
        return torch.cat(parts)

    scale = product(torch.ones(len(points), dtype=torch.float64)).rsqrt()
    exact = scale * product(scale * torch.tanh(unary / 2))
    # One iteration with a weight of 1 moves the logit by just this message.
    refined = refine(
        torch.sigmoid(unary).view(hu.shape).numpy(), hu, SPACING, iterations=1, gaussian_weight=0.0, bilateral_weight=1.0,
        **METHODS[method],
    )  # fmt: skip
    message = torch.logit(torch.from_numpy(refined).double()).flatten() - unary
    return float((message - exact).norm() / exact.norm())


def child(*arguments: str) -> dict[str, float]:
    answer = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(answer.stdout.splitlines()[-1])


def table(sizes: list[str], methods: list[str], rounds: int, threads: int) -> None:
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    for size in sizes:
        for _ in range(rounds):
            for method in methods:
                one = child("--child", method, "--size", size, "--threads", str(threads))
                results.setdefault((size, method), []).append(one)
    errors = {method: child("--child", method, "--error")["error"] for method in methods}
    print(f"{threads} threads, best of {rounds}; error: bilateral message at 32^3\n")
    print("| size | method | wall s | CPU s | peak MB | Dice (before) | error |")
    print("|---|---|---|---|---|---|---|")
    for (size, method), runs in results.items():
        wall, cpu, mb = (min(run[key] for run in runs) for key in ("wall", "cpu", "mb"))
        run = runs[0]
        score = f"{run['dice']:.4f} ({run['dice_before']:.3f})"
        print(f"| {size} | {method} | {wall:.2f} | {cpu:.2f} | {mb:.0f} | {score} | {errors[method]:.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the smallest size alone")
    parser.add_argument("--size", choices=SIZES, action="append", help="only this size; may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--error", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        answer = (
            {"error": message_error(options.child)}
            if options.error
            else measure(options.child, options.size[0], options.threads)
        )
        print(json.dumps(answer))
        return
    methods = list(METHODS)
    if importlib.util.find_spec("pydensecrf") is None:
        print("pydensecrf2 is not installed and left out (pip install pydensecrf2)\n")
        methods.remove("pydensecrf2")
    table(
        options.size or (list(SIZES)[:1] if options.quick else list(SIZES)),
        methods,
        options.rounds,
        options.threads,
    )


if __name__ == "__main__":
    main()
