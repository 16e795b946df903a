"""Lungs of a data list with their voxel labels, kept in memory, and the patches that are cut from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from DRAMLesionLib.images.resampling import resample
from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid
from DRAMLesionLib.lesions.lung_grid import LungGrid
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.probability import segmentation_grid
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.data.weak_label import WeakLabel
from DRAMLesionLib.training.tasks.outlines import in_built_in_lungs

CROP = 1.25
"""Patches are cut this much larger than they are used, so that a rotated one has no empty corners."""
KEYS = ("image", "target", "weight")
Drawn = tuple[np.ndarray | None, np.ndarray | None]
"""Lesion, and which voxels a person painted: bool (z, y, x) on the CT's grid, None where nobody said."""


@dataclass(frozen=True)
class LungSample:
    """The lungs of one scan on the network's grid; arrays (z, y, x).

    Attributes:
        name: The CT's name.
        image: float32, the HU window as 0..1.
        labels: uint8, lobes 1..5.
        target: float32, 0..1: how much of the voxel is lesion; 0 everywhere without a label.
        weight: float32: 0 outside the lobes, 1 inside, more where a person painted.
        weak_labels: What is known of a lobe, by its value.
        other: These lungs in another outline, if there is one.
    """

    name: str
    image: torch.Tensor
    labels: np.ndarray
    target: torch.Tensor
    weight: torch.Tensor
    weak_labels: Mapping[int, WeakLabel]
    other: "LungSample | None" = None

    def in_turn(self, turn: int) -> "LungSample":
        """This outline of the lungs or the other one, by turns."""
        return self.other if turn % 2 and self.other is not None else self


@dataclass(frozen=True)
class Patch:
    """What the network is trained on: float32 (1, z, y, x) each, as in :class:`LungSample`."""

    name: str
    image: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor


def load_lungs(
    scans: Sequence[Scan],
    description: SegmentationDescription,
    edit_weight: float,
    progress: Progress,
    stage: str,
    built_in_lungs: bool = False,
) -> list[LungSample]:
    """Read scans with their labels and edits and bring them to the network's grid.

    Args:
        scans: Rows of a data list; without ``label`` the target is empty.
        description: The model's.
        edit_weight: Weight of painted voxels.
        progress: Told ``stage`` after each scan.
        stage: For people.
        built_in_lungs: Give each sample its ``other`` outline, that of the built-in lungs.

    Raises:
        InputError: A file can't be read, or a label or edits have other values than they should.
    """
    lungs = []
    for number, scan in enumerate(scans):
        progress(stage, number / len(scans))
        ct = read_ct(scan.image)
        lobes = read_lobes(scan.lobes, ct, allow_missing=True)
        drawn = _read_drawn(scan, ct)
        sample = _lung_sample(scan, ct, lobes.labels, drawn, description, edit_weight)
        outlined = in_built_in_lungs(ct, lobes.labels) if built_in_lungs else lobes.labels
        if not np.array_equal(outlined, lobes.labels):
            other = _lung_sample(scan, ct, outlined, drawn, description, edit_weight)
            sample = replace(sample, other=other)
        lungs.append(sample)
    progress(stage, 1.0)
    return lungs


def _read_drawn(scan: Scan, ct: Volume) -> Drawn:
    if scan.label is None:
        return None, None
    lesion = read_on_grid(scan.label, ct, "label") > 0
    if scan.edits is None:
        return lesion, None
    edits = read_on_grid(scan.edits, ct, "edits")
    if not set(np.unique(edits)) <= {0, 1, 2}:
        raise InputError(f"{scan.edits}: edits have other values than 0, 1 (lesion) and 2 (not lesion)")
    # What was painted counts, whatever label it was saved with.
    return np.where(edits > 0, edits == 1, lesion), edits > 0


def _lung_sample(
    scan: Scan,
    ct: Volume,
    labels: np.ndarray,
    drawn: Drawn,
    description: SegmentationDescription,
    edit_weight: float,
) -> LungSample:
    grid = segmentation_grid(ct.array, labels, ct.spacing_mm, description)
    target, weight = _target_and_weight(drawn, grid, edit_weight)
    known = {lobe.value: scan.weak_label(lobe.value) for lobe in LOBES}
    return LungSample(
        name=scan.name,
        image=torch.from_numpy(grid.image),
        labels=grid.labels,
        target=torch.from_numpy(target),
        weight=torch.from_numpy(weight),
        weak_labels={lobe: label for lobe, label in known.items() if label is not None},
    )


def _target_and_weight(drawn: Drawn, grid: LungGrid, edit_weight: float) -> tuple[np.ndarray, np.ndarray]:
    """float32 (z, y, x) each on the grid."""
    lesion, painted = drawn
    inside = (grid.labels > 0).astype(np.float32)
    target = np.zeros(inside.shape, np.float32) if lesion is None else _share(lesion, grid)
    weight = inside if painted is None else inside * (1 + (edit_weight - 1) * _share(painted, grid))
    return target, weight


def _share(mask: np.ndarray, grid: LungGrid) -> np.ndarray:
    """The part of each of the grid's voxels that lies in the mask (about: a box filter, sampled), float32 0..1."""
    fine = mask[grid.box].astype(np.float32)
    for axis, step in enumerate(grid.step):
        if step > 1:
            fine = ndimage.gaussian_filter1d(
                fine, 0.4 * float(np.sqrt(step**2 - 1)), axis=axis, mode="nearest"
            )
    return resample(fine, grid.labels.shape, order=1)


class PatchSampler:
    """Cuts and varies patches; the same (seed, epoch, index) always gives the same patch."""

    def __init__(
        self,
        patch: tuple[int, int, int],
        *,
        seed: int,
        lesion_share: float,
        rotation: float,
        scaling: float,
        intensity: float,
        flip_all: bool,
    ):
        """Take the settings of :class:`~DRAMLesionLib.training.recipes.settings.SegmentationSettings`."""
        from monai import transforms as t

        crop = tuple(int(np.ceil(n * CROP)) for n in patch)
        radians = (float(np.deg2rad(rotation)),) * 3
        blur = (0.3, 0.9)
        self._seed = seed
        self._pad: Any = t.SpatialPadd(KEYS, crop)
        self._vary: Any = t.Compose(
            [
                t.RandCropByPosNegLabeld(
                    KEYS,
                    label_key="target",
                    spatial_size=crop,
                    pos=lesion_share,
                    neg=1 - lesion_share,
                    fg_indices_key="lesion_voxels",
                    bg_indices_key="other_voxels",
                ),
                t.SelectItemsd(KEYS),
            ]
        )
        self._transform: Any = t.Compose(
            [
                *(
                    t.RandFlipd(KEYS, prob=0.5, spatial_axis=axis)
                    for axis in ((0, 1, 2) if flip_all else (2,))
                ),
                t.RandAffined(
                    KEYS,
                    prob=0.7,
                    spatial_size=patch,
                    rotate_range=radians,
                    scale_range=(scaling,) * 3,
                    mode=("bilinear", "bilinear", "nearest"),
                    padding_mode="zeros",
                ),
                t.RandScaleIntensityd("image", prob=0.5, factors=0.1 * intensity),
                t.RandShiftIntensityd("image", prob=0.5, offsets=0.04 * intensity),
                t.RandAdjustContrastd("image", prob=0.3 * min(1, intensity), gamma=(0.8, 1.25)),
                t.RandGaussianNoised("image", prob=0.3, std=0.03 * intensity),
                t.RandGaussianSmoothd(
                    "image", prob=0.3 * min(1, intensity), sigma_x=blur, sigma_y=blur, sigma_z=blur
                ),
            ]
        )
        self._padded: dict[int, dict[str, Any]] = {}

    def __call__(self, lungs: LungSample, epoch: int, index: int, once: bool = False) -> Patch:
        """One patch of these lungs.

        Args:
            lungs: Where it is cut.
            epoch: From 1.
            index: Of the patch in the epoch.
            once: These lungs are used for a while only: what is prepared of them is not kept.
        """
        state = int(np.random.SeedSequence((self._seed, epoch, index)).generate_state(1)[0])
        self._vary.set_random_state(state)
        self._transform.set_random_state(state)
        cut = self._vary(self._prepare(lungs) if once else self._kept(lungs))[0]
        varied = self._transform(cut)
        image, target, weight = (torch.as_tensor(varied[key]).float() for key in KEYS)
        return Patch(lungs.name, image.clamp(0, 1), target.clamp(0, 1), weight)

    def _kept(self, lungs: LungSample) -> dict[str, Any]:
        if id(lungs) not in self._padded:
            self._padded[id(lungs)] = self._prepare(lungs)
        return self._padded[id(lungs)]

    def _prepare(self, lungs: LungSample) -> dict[str, Any]:
        """Padded to a crop's size, with the flat indices of voxels that patches lie about."""
        padded = self._pad({key: getattr(lungs, key)[None] for key in KEYS})
        padded = {key: torch.as_tensor(value).contiguous() for key, value in padded.items()}
        inside = padded["weight"][0].numpy().ravel() > 0
        lesion = padded["target"][0].numpy().ravel() > 0.5
        here, elsewhere = np.flatnonzero(inside & lesion), np.flatnonzero(inside & ~lesion)
        # A scan may have no lesion: then all patches lie about the other voxels.
        padded["lesion_voxels"] = here if here.size else elsewhere
        padded["other_voxels"] = elsewhere if elsewhere.size else here
        return padded
