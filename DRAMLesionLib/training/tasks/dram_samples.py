"""Lobe samples of a data list, kept in memory, and how they are varied."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from DRAMLesionLib.images.volume import read_ct
from DRAMLesionLib.lesions.lung_grid import lobe_samples, lung_grid
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.data.weak_label import WeakLabel, candidate_fraction


@dataclass(frozen=True)
class TrainingSample:
    """One lobe with its weak label.

    Attributes:
        image: float32 (1, z, y, x), 0..1, 0 outside the lobe.
        mask: bool (1, z, y, x): the lobe.
        label: What is known of it.
        name: For messages: the CT's name and the lobe.
        lesion: bool (1, z, y, x): lesions that were pasted in; None where none were.
    """

    image: torch.Tensor
    mask: torch.Tensor
    label: WeakLabel
    name: str
    lesion: torch.Tensor | None = None


def load_samples(
    scans: Sequence[Scan], description: ModelDescription, progress: Progress, stage: str
) -> list[TrainingSample]:
    """Read scans and cut them into lobe samples; lobes of which nothing is known are left out.

    The range of a score is cut off above the share of voxels that are bright enough for lesion.
    """
    samples = []
    for number, scan in enumerate(scans):
        progress(stage, number / len(scans))
        ct = read_ct(scan.image)
        lobes = read_lobes(scan.lobes, ct, allow_missing=True)
        grid = lung_grid(ct.array, lobes.labels, ct.spacing_mm, description)
        for sample in lobe_samples(grid, description):
            label = scan.weak_label(sample.lobe)
            if label is not None:
                samples.append(
                    TrainingSample(
                        torch.from_numpy(sample.image)[None],
                        torch.from_numpy(sample.mask)[None],
                        label.narrowed(candidate_fraction(sample)),
                        f"{ct.name} {LOBES[sample.lobe - 1].abbreviation}",
                    )
                )
    progress(stage, 1.0)
    return samples


class Variation:
    """Random flips, small rotations and scalings, and changes of intensity, the mask going along.

    A variation depends on the seed, the epoch and the sample's index alone, not on what was varied before.
    """

    def __init__(self, seed: int):
        """Prepare the transforms.

        Args:
            seed: What all variations depend on, beside the epoch and the sample.
        """
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
        self._seed = seed
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
        )

    def __call__(self, sample: TrainingSample, epoch: int, index: int) -> TrainingSample:
        """The variation of a sample in an epoch; the image is 0 outside the mask again.

        Args:
            sample: The sample as it was read.
            epoch: The epoch, from 1.
            index: The number of the sample in its data list's order, from 0.
        """
        from monai.utils import convert_to_tensor

        seed = np.random.SeedSequence([self._seed, epoch, index]).generate_state(1)[0]
        self._transform.set_random_state(int(seed))
        varied = self._transform({"image": sample.image, "mask": sample.mask.float()})
        image, mask = (convert_to_tensor(varied[key], track_meta=False) for key in ("image", "mask"))
        inside = mask > 0.5
        if not inside.any():  # a rotation took a very small lobe away
            return sample
        return replace(sample, image=image.clamp(0, 1) * inside, mask=inside)
