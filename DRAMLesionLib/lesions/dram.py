"""The dense regression activation map (dRAM): lobe samples, lobe-wise pooling, and maps on the CT's own grid.

Method: Xie, Jacobs, Charbonnier, van Ginneken, "Dense Regression Activation Maps for Lesion Segmentation in CT scans of
COVID-19 patients", arXiv 2105.11748.
"""

import threading
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from DRAMLesionLib.images.box import zeros_on_demand
from DRAMLesionLib.lesions.crf.threads import one_thread_each
from DRAMLesionLib.lesions.lung_grid import LobeSample, LungGrid, MapOnCT, lobe_samples, lung_grid, to_ct_grid
from DRAMLesionLib.lesions.networks.candidates import dram_and_refined, dram_logits
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.networks.dram_network import HALVINGS, DenseNetwork
from DRAMLesionLib.lesions.networks.sliding_window import in_windows
from DRAMLesionLib.lesions.networks.windows import Window, in_windows_that_fit, note_windows, smaller_windows
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.device import has_bfloat16
from DRAMLesionLib.system.progress import Progress, silent


@dataclass(frozen=True)
class DramMaps:
    """Maps of a CT: kept on the network's grid, made on the CT's when they are asked for, each time anew.

    Attributes:
        labels: uint8 (z, y, x): the CT's lobes.
        grid: The lung grid; None without lobes.
        coarse: float32 on that grid: the network's own map and, where the model has attention, the attended one.
    """

    labels: np.ndarray
    grid: LungGrid | None
    coarse: tuple[np.ndarray, ...]

    @property
    def dram(self) -> np.ndarray:
        """float32 (z, y, x), 0..1, 0 outside the lobes: the network's own map."""
        return self._on_ct_grid(self.coarse[0])

    @property
    def attended(self) -> np.ndarray | None:
        """float32 (z, y, x), 0..1: the map after the attention; None where the model has none."""
        return self._on_ct_grid(self.coarse[1]) if len(self.coarse) > 1 else None

    @property
    def best(self) -> np.ndarray:
        """The map that all later steps use: the attended one where there is one."""
        return self._on_ct_grid(self.coarse[-1])

    @property
    def best_by_parts(self) -> MapOnCT:
        """The values of :attr:`best`, made part by part: the whole map is as large as the CT and more."""
        return MapOnCT(self.coarse[-1], self.grid, self.labels)

    def _on_ct_grid(self, coarse: np.ndarray) -> np.ndarray:
        fine = zeros_on_demand(self.labels.shape, np.float32)
        if self.grid is not None:
            box = self.grid.box
            to_ct_grid(coarse, self.grid, self.labels[box], out=fine[box])
        return fine


def predict_dram(
    network: torch.nn.Module,
    description: ModelDescription,
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    *,
    device: torch.device | str = "cpu",
    flips: bool = True,
    progress: Progress = silent,
) -> np.ndarray:
    """The dRAM of a CT, on the CT's grid: refined by the attention where the model has one.

    Args:
        network: Gives logits (1, 1, z, y, x) for a lobe's image (1, 1, z, y, x); in eval mode, on ``device``. With
            attention in ``description``, a :class:`~DRAMLesionLib.lesions.networks.dram_network.DenseNetwork` that has
            it.
        description: What the network expects.
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), 1..5 in the lobes.
        spacing_mm: (z, y, x) of the CT.
        device: The device to compute on.
        flips: Average the map over the lobe as it is and mirrored left to right.
        progress: Told the stage and how much of it is done, after each lobe.

    Returns:
        float32 (z, y, x), 0..1, 0 outside the lobes.
    """
    return predict_maps(
        network, description, hu, labels, spacing_mm, device=device, flips=flips, progress=progress
    ).best


@torch.inference_mode()
def predict_maps(
    network: torch.nn.Module,
    description: ModelDescription,
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    *,
    device: torch.device | str = "cpu",
    flips: bool = True,
    progress: Progress = silent,
    notes: list[str] | None = None,
    grid: LungGrid | None = None,
) -> DramMaps:
    """The network's map and, where the model has attention, the attended one; arguments: see :func:`predict_dram`.

    Where memory does not suffice for a lobe, it is computed in windows; a sentence on it is added to ``notes``.
    ``grid`` is the lung grid of CT and description, where the caller has it.
    """
    count = 1 if description.attention is None else 2
    if not labels.any():
        return DramMaps(labels, None, (labels,) * count)
    grid = grid or lung_grid(hu, labels, spacing_mm, description)
    coarse = tuple(np.zeros(grid.labels.shape, np.float32) for _ in range(count))
    progress("Computing the dRAM", 0.0)
    ended, telling = list[int](), threading.Lock()

    def compute(sample: LobeSample) -> None:
        lobe_maps = _lobe_maps_that_fit(network, description, sample, device, flips, notes)
        for target, values in zip(coarse, lobe_maps, strict=True):
            target[sample.box][sample.mask] = values[sample.mask]
        with telling:
            ended.append(sample.lobe)
            progress("Computing the dRAM", len(ended) / len(LOBES))

    samples = sorted(lobe_samples(grid, description), key=lambda sample: -sample.mask.size)
    one_thread_each([partial(compute, sample) for sample in samples], torch.device(device))
    progress("Computing the dRAM", 1.0)
    return DramMaps(labels, grid, coarse)


def _lobe_maps_that_fit(
    network: torch.nn.Module,
    description: ModelDescription,
    sample: LobeSample,
    device: torch.device | str,
    flips: bool,
    notes: list[str] | None,
) -> list[np.ndarray]:
    """The maps that :func:`_lobe_maps` gives, in windows where memory does not suffice for the whole lobe."""

    def maps_of(patches: torch.Tensor) -> torch.Tensor:
        image, mask = patches[0].numpy()
        part = LobeSample(sample.lobe, np.ascontiguousarray(image), mask > 0, sample.box)
        return torch.from_numpy(np.stack(_lobe_maps(network, description, part, device, flips))[None])

    def windowed(window: Window) -> list[np.ndarray]:
        both = torch.from_numpy(np.stack([sample.image, sample.mask.astype(np.float32)])[None])
        return list(in_windows(both, window, 0.25, maps_of)[0].numpy())

    return in_windows_that_fit(
        lambda: _lobe_maps(network, description, sample, device, flips),
        windowed,
        smaller_windows(sample.image.shape, 2**HALVINGS),
        lambda window: note_windows(window, notes),
    )


def _lobe_maps(
    network: torch.nn.Module,
    description: ModelDescription,
    sample: LobeSample,
    device: torch.device | str,
    flips: bool,
) -> list[np.ndarray]:
    """The dRAM of one lobe and, where the model has attention, the attended one; float32 (z, y, x) each."""
    image, mask = (torch.from_numpy(a)[None, None].to(device) for a in (sample.image, sample.mask))
    if flips:  # as one batch: torch has no fast float32 convolution for a batch of one
        image, mask = (torch.cat([values, values.flip(-1)]) for values in (image, mask))
    if image.device.type == "cpu":  # the layout of the input is that of all that follows; this one is fast
        image = torch.empty_like(image, memory_format=torch.channels_last_3d).copy_(image)
    # bfloat16 where it was measured: about twice as fast, and within 0.01 of float32 because of what DenseNetwork keeps.
    fast = isinstance(network, DenseNetwork) and image.device.type == "cpu" and has_bfloat16(image.device)
    with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=fast):
        if description.attention is None:
            lobe_maps = [torch.sigmoid(dram_logits(network, image, description))]
        else:
            assert isinstance(network, DenseNetwork)
            logits, refined = dram_and_refined(network, image, mask, description)
            lobe_maps = [torch.sigmoid(logits), refined]
    if flips:
        lobe_maps = [(values[:1] + values[1:].flip(-1)) / 2 for values in lobe_maps]
    return [values[0, 0].cpu().numpy() for values in lobe_maps]
