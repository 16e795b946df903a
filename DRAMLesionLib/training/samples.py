"""Lobe samples of a data list, kept in memory, and how they are varied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from DRAMLesionLib.dram import lobe_samples, lung_grid
from DRAMLesionLib.lobes import LOBES, read_lobes
from DRAMLesionLib.model_description import ModelDescription
from DRAMLesionLib.progress import Progress
from DRAMLesionLib.training.datalist import Scan
from DRAMLesionLib.volume import read_ct


@dataclass(frozen=True)
class TrainingSample:
    """One lobe with its weak label.

    Attributes:
        image: float32 (1, z, y, x), 0..1, 0 outside the lobe.
        mask: bool (1, z, y, x): the lobe.
        fraction: Its lesion fraction, 0..1.
        name: For messages: the CT's name and the lobe.
    """

    image: torch.Tensor
    mask: torch.Tensor
    fraction: float
    name: str


def load_samples(
    scans: Sequence[Scan], description: ModelDescription, progress: Progress, stage: str
) -> list[TrainingSample]:
    """Read scans and cut them into lobe samples; lobes whose percentage is not known are left out."""
    samples = []
    for number, scan in enumerate(scans):
        progress(stage, number / len(scans))
        ct = read_ct(scan.image)
        lobes = read_lobes(scan.lobes, ct, allow_missing=True)
        grid = lung_grid(ct.array, lobes.labels, ct.spacing_mm, description)
        for sample in lobe_samples(grid, description):
            percent = scan.percent[sample.lobe - 1]
            if percent is not None:
                samples.append(
                    TrainingSample(
                        torch.from_numpy(sample.image)[None],
                        torch.from_numpy(sample.mask)[None],
                        percent / 100,
                        f"{ct.name} {LOBES[sample.lobe - 1].abbreviation}",
                    )
                )
    progress(stage, 1.0)
    return samples


class Variation:
    """Random flips, small rotations and scalings, and changes of intensity, the mask going along."""

    def __init__(self, seed: int):
        """Seed the random state."""
        from monai.transforms import (
            Compose,
            RandAffined,
            RandFlipd,
            RandGaussianNoised,
            RandGaussianSmoothd,
            RandScaleIntensityd,
            RandShiftIntensityd,
        )

        both = ("image", "mask")
        blur = (0.3, 0.8)
        self._transform: Any = Compose(
            [
                *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
                RandAffined(
                    both,
                    prob=0.5,
                    rotate_range=(0.2, 0.2, 0.2),
                    scale_range=(0.15, 0.15, 0.15),
                    mode=("bilinear", "nearest"),
                    padding_mode="zeros",
                ),
                RandScaleIntensityd("image", prob=0.5, factors=0.1),
                RandShiftIntensityd("image", prob=0.5, offsets=0.03),
                RandGaussianNoised("image", prob=0.3, std=0.02),
                RandGaussianSmoothd("image", prob=0.3, sigma_x=blur, sigma_y=blur, sigma_z=blur),
            ]
        ).set_random_state(seed)

    def __call__(self, sample: TrainingSample) -> tuple[torch.Tensor, torch.Tensor]:
        """One variation: image and mask, both (1, 1, z, y, x); the image is 0 outside the mask again."""
        varied = self._transform({"image": sample.image, "mask": sample.mask.float()})
        image, mask = (torch.as_tensor(varied[key])[None] for key in ("image", "mask"))
        inside = mask > 0.5
        if not inside.any():  # a rotation took a very small lobe away
            return sample.image[None], sample.mask[None]
        return image.clamp(0, 1) * inside, inside
