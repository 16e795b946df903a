"""The neighbour attention on one lobe: CPU seconds forward and backward, and peak memory above the inputs.

python Testing/benchmarks/attention.py [--size 80x64x48] [--rounds 5] [--threads 1]

"copies" is the same formula in plain autograd, with a copy of the keys for each of the 18 neighbours. Each line is a
process of its own.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from pathlib import Path

from DRAMLesionLib.lesions.networks import description

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))


def copies_of_keys(query, key, present):
    """What :func:`DRAMLesionLib.lesions.networks.attention.neighbour_weights` gives, without any of its care."""
    import torch

    from DRAMLesionLib.lesions.networks.attention import OFFSETS

    def shifted(values, offset):
        return torch.roll(values, [-o for o in offset], (2, 3, 4))

    keys = torch.stack([shifted(torch.nn.functional.pad(key, (1,) * 6), o) for o in OFFSETS], 1)
    part = torch.stack([shifted(torch.nn.functional.pad(present, (1,) * 6), o) for o in OFFSETS], 1)
    keys, part = (v[..., 1:-1, 1:-1, 1:-1] for v in (keys, part))
    scores = torch.relu((query[:, None] * keys).sum(2)) * query.shape[1] ** -0.5
    weights = torch.softmax(scores.masked_fill(part[:, :, 0] == 0, torch.finfo(scores.dtype).min), 1)
    return weights, (part[:, :, 0] > 0).any(1, keepdim=True)


def measure(method: str, size: tuple[int, int, int], rounds: int, threads: int, results) -> None:
    """Send (forward s, backward s, peak MB, largest difference from the plain formula)."""
    import torch

    from DRAMLesionLib.lesions.networks import attention

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    grid = {"half grid": 2.0}.get(method)
    module = attention.NeighbourAttention(description.AttentionSettings(grid=grid), (8, 16))
    half = [n // 2 for n in size]
    inputs = (
        torch.rand(1, 1, *size, requires_grad=True),
        torch.rand(1, 1, *size),
        [torch.randn(1, 8, *size), torch.randn(1, 16, *half)],
        torch.rand(1, 1, *size) > 0.3,
    )
    ours = attention.neighbour_weights
    if method == "copies, same grid":
        attention.neighbour_weights = copies_of_keys
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    forward, backward = [], []
    for _ in range(rounds):
        start = time.process_time()
        refined = module(*inputs)
        middle = time.process_time()
        (refined * refined).sum().backward()
        forward.append(middle - start)
        backward.append(time.process_time() - middle)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    with torch.no_grad():
        found = []
        for attention.neighbour_weights in (ours, copies_of_keys):
            found.append(module(*inputs))
    error = (found[0] - found[1]).abs().max().item()
    results.put((min(forward), min(backward), peak, error))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="80x64x48", help="z x y x x voxels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    z, y, x = (int(n) for n in arguments.size.split("x"))
    context = multiprocessing.get_context("spawn")
    print("| size | method | forward s | backward s | peak MB | error |\n|---|---|---|---|---|---|")
    for method in ("half grid", "same grid", "copies, same grid"):
        results = context.Queue()
        given = (method, (z, y, x), arguments.rounds, arguments.threads, results)
        process = context.Process(target=measure, args=given)
        process.start()
        forward, backward, peak, error = results.get()
        process.join()
        print(
            f"| {arguments.size} | {method} | {forward:.3f} | {backward:.3f} | {peak:.0f} | {error:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
