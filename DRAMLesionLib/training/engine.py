"""The training loop: one lesion percentage per lobe in, a model bundle out."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DRAMLesionLib.device import find_device
from DRAMLesionLib.dram import dram_logits, lobe_mean
from DRAMLesionLib.errors import InputError
from DRAMLesionLib.model import save_model
from DRAMLesionLib.network import DenseNetwork
from DRAMLesionLib.progress import Progress, silent
from DRAMLesionLib.training.card import model_card
from DRAMLesionLib.training.datalist import read_datalist
from DRAMLesionLib.training.losses import percent_loss, roughness, softness
from DRAMLesionLib.training.recipe import Recipe, read_recipe
from DRAMLesionLib.training.samples import TrainingSample, Variation, load_samples

Log = Callable[[dict[str, Any]], None]


def train(
    recipe_path: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    epochs: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
    log: Log = lambda values: None,
) -> Path:
    """Train a dRAM network and write it as a bundle; nothing is written unless the training ends well.

    Args:
        recipe_path: See :class:`~DRAMLesionLib.training.recipe.Recipe`.
        data: See :mod:`~DRAMLesionLib.training.datalist`.
        out: Folder of the bundle.
        epochs: Instead of the recipe's.
        device: See :func:`~DRAMLesionLib.device.find_device`.
        progress: Told the stage and how much of it is done.
        log: Given the numbers of each step, and of each epoch (``epoch_done`` is then True).

    Returns:
        The bundle's folder.

    Raises:
        InputError: The recipe, the data list or a scan can't be used, or the loss is no longer finite.
    """
    recipe = read_recipe(recipe_path)
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    scans = read_datalist(data)
    place = find_device(device)
    samples = load_samples(scans.training, recipe.model, progress, "Reading the training scans")
    watched = load_samples(scans.validation, recipe.model, progress, "Reading the validation scans")
    if not samples:
        raise InputError(f"{data}: no lobe has a known percentage: give at least one")
    torch.manual_seed(recipe.seed)
    network = DenseNetwork(recipe.model.network).to(place)
    started = time.perf_counter()
    figures = _fit(network, recipe, samples, watched, place, progress, log)
    figures["minutes"] = round((time.perf_counter() - started) / 60, 1)
    figures["machine"] = f"{place}, {platform.machine()}, torch {torch.__version__}"
    return save_model(
        out,
        network,
        recipe.model,
        name=recipe.name,
        version=recipe.version,
        card=model_card(recipe, len(scans.training), len(samples), figures),
        summary=f"dRAM network, trained on lesion percentages of {len(samples)} lobes",
        data=recipe.data,
        licence=recipe.licence,
    )


def _fit(
    network: DenseNetwork,
    recipe: Recipe,
    samples: Sequence[TrainingSample],
    watched: Sequence[TrainingSample],
    device: torch.device,
    progress: Progress,
    log: Log,
) -> dict[str, Any]:
    """Train in place; return the figures of the last epoch."""
    total = recipe.epochs * len(samples)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=total)
    vary, order = Variation(recipe.seed), np.random.default_rng(recipe.seed)
    figures: dict[str, Any] = {}
    step = 0
    for epoch in range(1, recipe.epochs + 1):
        losses: list[dict[str, float]] = []
        for index in order.permutation(len(samples)):
            progress("Training", step / total)
            loss, parts = _loss(network, recipe, samples[index], vary, step / total, device)
            if not torch.isfinite(loss):
                raise InputError(
                    f"the loss is not finite at step {step} ({samples[index].name}): lower the learning rate"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            losses.append({"loss": loss.item(), **parts})
            log({"epoch": epoch, "step": step, **losses[-1]})
        figures = {
            "epoch": epoch,
            **{key: float(np.mean([part[key] for part in losses])) for key in losses[0]},
        }
        if watched and (epoch % 5 == 0 or epoch == recipe.epochs):
            figures["validation_mae_points"] = _percent_error(network, recipe, watched, device)
        log({**figures, "epoch_done": True})
    progress("Training", 1.0)
    return figures


def _loss(
    network: DenseNetwork,
    recipe: Recipe,
    sample: TrainingSample,
    vary: Variation,
    done: float,
    device: torch.device,
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss to descend, and its parts before they are weighted."""
    image, mask = (part.to(device) for part in vary(sample))
    logits = dram_logits(network, image, recipe.model)
    dram = torch.sigmoid(logits)
    parts = {
        "percent_loss": percent_loss(logits, mask, torch.tensor([sample.fraction], device=device)),
        "softness": softness(dram, mask),
        "roughness": roughness(dram, mask),
    }
    # The map's shape matters only once its amount is about right.
    rise = min(1.0, max(0.0, (done - recipe.priors_from) / 0.3))
    shape = recipe.softness_weight * parts["softness"] + recipe.roughness_weight * parts["roughness"]
    return parts["percent_loss"] + rise * shape, {key: value.item() for key, value in parts.items()}


@torch.inference_mode()
def _percent_error(
    network: DenseNetwork, recipe: Recipe, watched: Sequence[TrainingSample], device: torch.device
) -> float:
    """Mean absolute error of the lobes' percentages, in points: a weak metric, no voxel label is seen."""
    network.eval()
    errors = []
    for sample in watched:
        dram = torch.sigmoid(dram_logits(network, sample.image[None].to(device), recipe.model))
        predicted = lobe_mean(dram, sample.mask[None].to(device)).item()
        errors.append(abs(predicted - sample.fraction) * 100)
    network.train()
    return float(np.mean(errors))
