"""Class activation maps (CAM): the baseline that the dRAM is compared with, not a part of daily use.

A classification network says how bad each lobe is; the weights of its last layer, applied to the features voxel by
voxel, show what made it say so (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from monai.networks.nets.basic_unet import Down, TwoConv
from torch import nn

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.lung_grid import lobe_samples, lung_grid, to_ct_grid
from DRAMLesionLib.lesions.networks.candidates import candidate_offset
from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import Padding
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.training.data.pseudo_label import pseudo_label
from DRAMLesionLib.training.recipes.settings import CamSettings

ACTIVATION = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True})
NORMALISATION = ("instance", {"affine": True})


class CamNetwork(nn.Module):
    """The U-Net's encoder, the mean of its features over the lobe, and a linear layer on the classes."""

    def __init__(self, description: NetworkDescription, settings: CamSettings):
        """Build it with random weights.

        Args:
            description: A U-Net's description: the encoder here has as many channels as the U-Net's.
            settings: Stages and classes.
        """
        super().__init__()
        self.settings = settings
        widths = description.features[: settings.stages]
        blocks: list[nn.Module] = [
            TwoConv(3, description.in_channels, widths[0], ACTIVATION, NORMALISATION, True)
        ]
        for before, after in pairwise(widths):
            blocks.append(Down(3, before, after, ACTIVATION, NORMALISATION, True))
        self.encoder = nn.Sequential(*blocks)
        self.classifier = nn.Linear(widths[-1], settings.count)

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of the classes.

        Args:
            image: (batch, 1, z, y, x), the HU window as 0..1, 0 outside the lobe.
            mask: (batch, 1, z, y, x), bool or 0..1: the lobe.

        Returns:
            (batch, classes).
        """
        return self._logits(*self._features(image, mask))

    def activation(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The class activation map, on the image's grid.

        Returns:
            Float32 map (batch, 1, z, y, x), not normalised and without the layer's bias; logits (batch, classes).
        """
        features, share = self._features(image, mask)
        logits = self._logits(features, share)
        weights = self.classifier.weight.float()
        if self.settings.shown == "predicted":
            chosen = weights[logits.argmax(1)]
        else:
            above_mean = torch.arange(len(weights), device=weights.device) - (len(weights) - 1) / 2
            chosen = (above_mean @ weights).expand(len(logits), -1)
        coarse = torch.einsum("bczyx,bc->bzyx", features, chosen)[:, None]
        padding = Padding.of(image)
        fine = nn.functional.interpolate(coarse, tuple(padding.pad(image).shape[2:]), mode="trilinear")
        return padding.crop(fine), logits

    def _features(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Float32 features (batch, channels, z', y', x'), and the lobe's share in each of their voxels."""
        padding = Padding.of(image)
        features = self.encoder(padding.pad(image)).float()
        inside = padding.pad(mask).to(features.dtype)
        return features, nn.functional.adaptive_avg_pool3d(inside, features.shape[2:])

    def _logits(self, features: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        amount = share.flatten(1).sum(1, keepdim=True).clamp_min(1e-6)
        pooled = (features * share).flatten(2).sum(2) / amount
        logits: torch.Tensor = self.classifier(pooled)
        return logits.float()


@dataclass(frozen=True)
class CamModel:
    """A loaded CAM model.

    Attributes:
        name: The model's name.
        description: What the network expects; its threshold, CRF and attention are not used.
        network: The network in eval mode.
    """

    name: str
    description: ModelDescription
    network: CamNetwork


@torch.inference_mode()
def predict_cam(
    network: CamNetwork,
    description: ModelDescription,
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    *,
    device: torch.device | str = "cpu",
    flips: bool = True,
    progress: Progress = silent,
) -> np.ndarray:
    """The class activation map of a CT, on the CT's grid.

    Args:
        network: The classification network in eval mode.
        description: What it expects.
        hu: The CT, (z, y, x), HU.
        labels: uint8 (z, y, x): lobes, 1..5.
        spacing_mm: (z, y, x), mm.
        device: Where the network is.
        flips: Average with the map of the lobe mirrored left to right.
        progress: Told after each lobe.

    Returns:
        float32 (z, y, x): in each lobe from 0 at its least to 1 at its greatest activation, 0 outside the lobes and in
        lobes that are classified as healthy.
    """
    cam = np.zeros(hu.shape, np.float32)
    if not labels.any():
        return cam
    grid = lung_grid(hu, labels, spacing_mm, description)
    coarse = np.zeros(grid.labels.shape, np.float32)
    for sample in lobe_samples(grid, description):
        progress("Computing the CAM", (sample.lobe - 1) / len(LOBES))
        image, mask = (torch.from_numpy(a)[None, None].to(device) for a in (sample.image, sample.mask))
        views = [network.activation(image, mask)]
        if flips:
            activation, logits = network.activation(image.flip(-1), mask.flip(-1))
            views.append((activation.flip(-1), logits))
        if torch.stack([logits for _, logits in views]).mean(0).argmax() == 0:
            continue
        activation = torch.stack([activation for activation, _ in views]).mean(0)
        values = activation[0, 0].cpu().numpy()[sample.mask]
        spread = max(float(np.ptp(values)), 1e-9)
        normalised = (values - values.min()) / spread
        offset = candidate_offset(image, description)
        if offset is not None:  # what is surely no candidate counts nothing, as in the dRAM
            normalised *= (1 + offset / 10)[0, 0].cpu().numpy()[sample.mask]
        coarse[sample.box][sample.mask] = normalised
    cam[grid.box] = to_ct_grid(coarse, grid, labels[grid.box])
    progress("Computing the CAM", 1.0)
    return cam


def segment_by_cam(
    model: CamModel,
    ct: Volume,
    labels: np.ndarray,
    *,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Lesion mask by the CAM, cut in each lobe by Otsu's threshold.

    Args:
        model: A model that :func:`~DRAMLesionLib.training.tasks.cam_bundle.load_cam_model` has loaded.
        ct: The CT.
        labels: uint8 (z, y, x): lobes, 1..5.
        device: Where the network is.
        progress: Told after each lobe.

    Returns:
        The mask, uint8, 1 lesion, and the CAM, float32 0..1; both (z, y, x) on the CT's grid. Nothing is lesion in lobes
        that are classified as healthy.
    """
    cam = predict_cam(
        model.network, model.description, ct.array, labels, ct.spacing_mm, device=device, progress=progress
    )
    sick = [bool((cam[labels == lobe.value] > 0).any()) for lobe in LOBES]
    return pseudo_label(cam, labels, [None if s else 0 for s in sick], rule="otsu"), cam
