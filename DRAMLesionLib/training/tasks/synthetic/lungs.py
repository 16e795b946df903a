"""Lungs without lesion, as samples into which disease is pasted anew in each epoch; and transplants of real lesions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from DRAMLesionLib.images.volume import read_ct
from DRAMLesionLib.lesions.lung_grid import lung_grid
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.tasks.patches import LungSample, Patch
from DRAMLesionLib.training.tasks.synthetic.disease import DiseaseStyle, Lungs, paste_disease, vary_normal
from DRAMLesionLib.training.tasks.synthetic.scanner import vary_scanner
from DRAMLesionLib.training.tasks.synthetic.texture import LesionTexture, paste_texture
from DRAMLesionLib.training.tasks.synthetic_lesions import HEALTHY_FRACTION

HELD_HU = (-1100.0, 400.0)
"""HU that are kept of a scan: equalisation and noise need more than the network's window."""
SICK = 0.85
"""Part of the pasted lungs that have any disease."""
VARIED = 0.8
"""Part of them that are less inflated or denser at the back than they were."""


@dataclass(frozen=True)
class HealthyLungs:
    """The lobes of a scan that have no lesion.

    Attributes:
        name: The CT's name.
        lungs: Their HU; the other lobes are not labelled.
        equalised: The HU come from equalised pictures.
    """

    name: str
    lungs: Lungs
    equalised: bool


def load_healthy_lungs(
    scans: Sequence[Scan], description: SegmentationDescription, progress: Progress, stage: str
) -> list[HealthyLungs]:
    """Read the lobes that are known to have no lesion; scans without any are left out.

    Args:
        scans: Rows of a data list.
        description: The model's.
        progress: Told ``stage`` after each scan.
        stage: For people.
    """
    found = []
    for number, scan in enumerate(scans):
        progress(stage, number / len(scans))
        healthy = [lobe.value for lobe in LOBES if _is_healthy(scan, lobe.value)]
        if not healthy:
            continue
        ct = read_ct(scan.image)
        labels = read_lobes(scan.lobes, ct, allow_missing=True).labels
        labels = np.where(np.isin(labels, healthy), labels, np.uint8(0))
        if not labels.any():
            continue
        low, high = HELD_HU
        grid = lung_grid(ct.array, labels, ct.spacing_mm, replace(description.preparation, hu_window=HELD_HU))
        hu = low + grid.image * np.float32(high - low)
        spacing = tuple(float(step * s) for step, s in zip(grid.step, ct.spacing_mm, strict=True))
        lungs = Lungs.of(hu, grid.labels, (spacing[0], spacing[1], spacing[2]))
        found.append(HealthyLungs(scan.name, lungs, scan.equalised))
    progress(stage, 1.0)
    return found


def _is_healthy(scan: Scan, lobe: int) -> bool:
    label = scan.weak_label(lobe)
    return label is not None and (label.is_healthy or label.known_range[1] <= HEALTHY_FRACTION)


def paste_into(
    healthy: HealthyLungs,
    hu_window: tuple[float, float],
    rng: np.random.Generator,
    texture: LesionTexture | None = None,
    style: DiseaseStyle | None = None,
) -> LungSample:
    """Lungs with pasted disease, as some scanner shows them.

    Args:
        healthy: Without lesion.
        hu_window: HU of 0 and of 1 in the sample's image.
        rng: The source of all random numbers.
        texture: What the disease looks like; None draws that, too.
        style: Of the disease.
    """
    lungs = healthy.lungs
    if not healthy.equalised and rng.random() < VARIED:
        lungs = replace(lungs, hu=vary_normal(lungs, rng))
    hu, lesion = lungs.hu, np.zeros(lungs.labels.shape, bool)
    if rng.random() < SICK:
        hu, lesion = (
            paste_texture(lungs, texture, rng, style) if texture else paste_disease(lungs, rng, style)
        )
    hu = vary_scanner(hu, lungs.labels, rng, published=healthy.equalised)
    return _sample(f"{healthy.name} with pasted disease", hu, lungs.labels, lesion, hu_window)


def lesion_texture(lungs: LungSample, hu_window: tuple[float, float]) -> LesionTexture | None:
    """The texture of a labelled scan's lesions; None where they are too small.

    Args:
        lungs: With the label as target.
        hu_window: HU of 0 and of 1 in their image.
    """
    low, high = hu_window
    return LesionTexture.of(low + lungs.image.numpy() * (high - low), lungs.target.numpy() > 0.5)


def without_disease(healthy: HealthyLungs, hu_window: tuple[float, float]) -> LungSample:
    """The lungs as they are."""
    labels = healthy.lungs.labels
    return _sample(healthy.name, healthy.lungs.hu, labels, np.zeros(labels.shape, bool), hu_window)


def _sample(
    name: str, hu: np.ndarray, labels: np.ndarray, lesion: np.ndarray, hu_window: tuple[float, float]
) -> LungSample:
    low, high = hu_window
    inside = labels > 0
    image = np.where(inside, ((hu - low) / (high - low)).clip(0, 1), 0).astype(np.float32)
    return LungSample(
        name=name,
        image=torch.from_numpy(image),
        labels=labels,
        target=torch.from_numpy(lesion.astype(np.float32)),
        weight=torch.from_numpy(inside.astype(np.float32)),
        weak_labels={},
    )


def transplant(receiver: Patch, donor: Patch) -> Patch:
    """Put the lesions of one patch into another one: where they lie, the denser of the two stays.

    Args:
        receiver: A patch of lung without lesion.
        donor: A patch of the same size.

    Returns:
        The receiver with the donor's lesions inside its lobes, and with their label.
    """
    lesion = donor.target * (receiver.weight > 0)
    image = torch.lerp(receiver.image, torch.maximum(receiver.image, donor.image), lesion)
    target = torch.maximum(receiver.target, lesion)
    return Patch(f"{receiver.name} with lesions of {donor.name}", image, target, receiver.weight)
