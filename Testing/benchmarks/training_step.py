"""A training step of the dRAM: seconds per lobe and the loss after some epochs, against a plain float32 loop.

    python Testing/benchmarks/training_step.py [--data DIR] [--epochs 5] [--cases 01 04] [--threads 2]

The same network (MONAI's BasicUNet with the dRAM's head) learns the same percentages of the same lobes in the same order
from the same weights: once in a loop as torch's tutorials have it, once as the training engine does it (bfloat16 where
the processor has it, guarded where it fails, channels last). The last row is the engine itself with the recipe that
ships, one epoch: augmentation, pasted lesions, attention and CRF layer on top. DIR of ``--data`` (or
``DRAMLESION_REAL_DATA``) holds ``caseNN_{ct,lobes,lesion}.nii.gz``; without it two phantoms serve.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from main_job import machine  # noqa: E402

from DRAMLesionLib.lesions.networks.dram_network import build_network  # noqa: E402
from DRAMLesionLib.system.progress import silent  # noqa: E402
from DRAMLesionLib.training.data.datalist import read_datalist  # noqa: E402
from DRAMLesionLib.training.engine import train  # noqa: E402
from DRAMLesionLib.training.precision import autocast, choose_precision, prepare_network  # noqa: E402
from DRAMLesionLib.training.recipes.recipe import Recipe, read_recipe  # noqa: E402
from DRAMLesionLib.training.tasks.dram_losses import weak_loss  # noqa: E402
from DRAMLesionLib.training.tasks.dram_samples import TrainingSample, load_samples  # noqa: E402

CPU = torch.device("cpu")
RECIPE = "dram-covid"


def real_list(data: Path, cases: list[str], folder: Path) -> Path:
    """A data list of real scans; the percentages are counted from the lesion masks."""
    rows = []
    for case in cases:
        image, lobes, lesion = (data / f"case{case}_{what}.nii.gz" for what in ("ct", "lobes", "lesion"))
        labels, mask = (sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in (lobes, lesion))
        percent = [float(100 * mask[labels == lobe].mean()) for lobe in range(1, 6)]
        rows.append({"image": str(image), "lobes": str(lobes), "percent": percent})
    return written(rows, folder)


def phantom_list(folder: Path) -> Path:
    """The same of two phantoms."""
    from DRAMLesionLib.phantom import make_phantom, save_phantom

    rows = []
    for seed in range(2):
        made = make_phantom((160, 120, 120), (2.5, 2.5, 2.5), seed=seed)
        save_phantom(made, folder / str(seed))
        files = {"image": f"{seed}/ct.nii.gz", "lobes": f"{seed}/lobes.nii.gz"}
        rows.append({**files, "percent": list(made.percent)})
    return written(rows, folder)


def written(rows: list[dict], folder: Path) -> Path:
    path = folder / "list.json"
    path.write_text(json.dumps({"training": rows}), encoding="utf-8")
    return path


def loop(samples: list[TrainingSample], recipe: Recipe, epochs: int, as_engine: bool) -> tuple[float, float]:
    """Seconds per step, the first epoch left out, and the mean loss over all lobes at the end, in float32."""
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.model)
    dtype = choose_precision("auto" if as_engine else "float32", CPU)
    prepare_network(network, dtype)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate)
    order = np.random.default_rng(recipe.seed)
    spent = 0.0
    for epoch in range(epochs):
        start = time.perf_counter()
        for index in order.permutation(len(samples)):
            sample = samples[index]
            with autocast(CPU, dtype):
                logits = network(sample.image[None]).float()
                loss = weak_loss(logits, sample.mask[None], [sample.label])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if epoch:
            spent += time.perf_counter() - start
    with torch.inference_mode():
        losses = [weak_loss(network(s.image[None]).float(), s.mask[None], [s.label]).item() for s in samples]
    return spent / (epochs - 1) / len(samples), float(np.mean(losses))


def engine(recipe: Recipe, data: Path, folder: Path) -> float:
    """Seconds per lobe of the engine's second epoch."""
    seconds: list[float] = []

    def log(event: dict) -> None:
        if event["event"] == "epoch":
            seconds.append(event["seconds"])

    train(replace(recipe, epochs=2, validate_every=10), data, folder / "model", device="cpu", log=log)
    return seconds[1] - seconds[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DRAMLESION_REAL_DATA"))
    parser.add_argument("--cases", nargs="*", default=["01", "04"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = read_recipe(RECIPE)
    plain = replace(recipe, model=replace(recipe.model, attention=None))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = real_list(Path(given.data), given.cases, folder) if given.data else phantom_list(folder)
        samples = load_samples(read_datalist(data).training, recipe.model, silent, "")
        what = f"cases {', '.join(given.cases)}" if given.data else "two phantoms"
        print(f"{machine()}; {given.threads} threads; {len(samples)} lobes of {what}\n")
        print(f"| method | s per lobe | loss after {given.epochs} epochs |\n|---|---|---|")
        for method, as_engine in (("plain loop, float32", False), ("as the engine does it", True)):
            runs = [
                loop(samples, replace(plain, seed=seed), given.epochs, as_engine)
                for seed in range(given.seeds)
            ]
            losses = ", ".join(f"{loss:.4f}" for _, loss in runs)
            print(f"| {method} | {min(seconds for seconds, _ in runs):.2f} | {losses} |", flush=True)
        seconds = engine(recipe, data, folder) / len(samples)
        print(f"| the whole engine, recipe {recipe.name} | {seconds:.2f} | |")


if __name__ == "__main__":
    main()
