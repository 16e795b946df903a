"""Synthetic lesions, pasted into lobes that are known to be healthy.

Percentages can be explained by more than one map. A lobe without lesion, into which we paste patches of ground glass and
consolidation, has a voxel label that nobody had to draw, and it tells the network early on what a patch looks like.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

HEALTHY_FRACTION = 0.004
"""Lobes with less lesion than this may be pasted into: what they have is lost among the pasted."""


@dataclass(frozen=True)
class LesionStyle:
    """From which ranges (uniform; sizes log-uniform) each patch is drawn.

    Attributes:
        patches: How many in a lobe; the upper bound is included.
        radius_mm: Half-axes; each axis then varies by about 30 %.
        hu: Mean of a patch, from faint ground glass to consolidation.
        texture_hu: Standard deviation of the noise within a patch.
        texture_mm: How far that noise reaches (sigma).
        border: How steep the border is: 4 fades over half a radius, 20 ends at once.
        raggedness: How far the border strays from an ellipsoid, in radii.
        raggedness_mm: How far along the border a bulge reaches (sigma).
        pleura_mm: Centres thin out from the lobe's surface with this scale; COVID lesions are mostly peripheral.
    """

    patches: tuple[int, int] = (1, 4)
    radius_mm: tuple[float, float] = (5.0, 38.0)
    hu: tuple[float, float] = (-680.0, -80.0)
    texture_hu: tuple[float, float] = (20.0, 140.0)
    texture_mm: tuple[float, float] = (1.0, 3.0)
    border: tuple[float, float] = (4.0, 20.0)
    raggedness: tuple[float, float] = (0.1, 0.4)
    raggedness_mm: tuple[float, float] = (3.0, 9.0)
    pleura_mm: float = 12.0


def paste_lesions(
    image: np.ndarray,
    mask: np.ndarray,
    spacing_mm: tuple[float, float, float],
    hu_window: tuple[float, float],
    rng: np.random.Generator,
    style: LesionStyle | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Paste patches into a lobe; vessels that are brighter than a patch stay visible in it.

    Args:
        image: float32 (z, y, x), the HU window as 0..1.
        mask: bool (z, y, x): the lobe; at least one voxel.
        spacing_mm: (z, y, x).
        hu_window: HU of 0 and of 1.
        rng: Where chance comes from.
        style: The patches' style.

    Returns:
        The image with patches, float32 0..1, unchanged outside the lobe; and where they are, bool (z, y, x).
    """
    style = style or LesionStyle()
    width = hu_window[1] - hu_window[0]
    lesion = np.zeros(mask.shape, bool)
    voxels = np.argwhere(mask)
    depth = ndimage.distance_transform_edt(mask, sampling=spacing_mm)[mask]
    likely = np.exp(-depth / style.pleura_mm) + 0.15
    likely /= likely.sum()
    for _ in range(rng.integers(style.patches[0], style.patches[1] + 1)):
        centre = voxels[rng.choice(len(voxels), p=likely)]
        inside = _patch(mask.shape, centre, spacing_mm, rng, style)
        level = (rng.uniform(*style.hu) - hu_window[0]) / width
        texture = _noise(mask.shape, rng.uniform(*style.texture_mm), spacing_mm, rng)
        patch = level + texture * (rng.uniform(*style.texture_hu) / width)
        blended = image * (1 - inside) + np.maximum(image, patch) * inside
        image = np.where(mask, blended, image).clip(0, 1).astype(np.float32)
        lesion |= (inside > 0.5) & mask
    return image, lesion


def _patch(
    shape: tuple[int, ...],
    centre: np.ndarray,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
    style: LesionStyle,
) -> np.ndarray:
    """How much of each voxel belongs to a ragged ellipsoid: float (z, y, x), 0..1."""
    size = np.exp(rng.uniform(*np.log(style.radius_mm)))
    radii = size * np.exp(rng.normal(0, 0.3, 3))
    squares = [
        ((np.arange(n) - c) * s / r) ** 2 for n, c, s, r in zip(shape, centre, spacing_mm, radii, strict=True)
    ]
    distance = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
    bulges = _noise(shape, rng.uniform(*style.raggedness_mm), spacing_mm, rng)
    distance = distance + rng.uniform(*style.raggedness) * bulges
    return special.expit((1 - distance) * rng.uniform(*style.border))


def _noise(
    shape: tuple[int, ...], sigma_mm: float, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1."""
    rough = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(rough, [sigma_mm / s for s in spacing_mm], truncate=3.0)
    smooth -= smooth.mean()
    return smooth / (smooth.std() + 1e-6)
