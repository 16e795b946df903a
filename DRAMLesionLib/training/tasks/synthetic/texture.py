"""Real lesion texture, quilted over any part of lungs without lesion.

Pasted disease looks as its generator makes it. What a scan's own lesions look like is known where weak labels have cut
them out: blocks of them, taken at random and laid over each other, make as much texture of that sort as a lobe needs,
and its percentage is known. After the texture synthesis by patches of Efros and Freeman (SIGGRAPH 2001), with blocks
that fade into each other instead of the best seam.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from DRAMLesionLib.training.tasks.synthetic.disease import DiseaseStyle, Lungs, place_disease, spared_lung

BLOCK = (6, 8, 10, 12)
"""Sides of the blocks, in voxels: about 15 to 30 mm on the network's grid."""
FEWEST = 200
"""Lesion voxels that a donor must have."""


@dataclass(frozen=True)
class LesionTexture:
    """Lesions of a scan as a source of texture.

    Attributes:
        hu: float32 (z, y, x); outside the lesions each voxel has the value of the nearest lesion voxel.
        voxels: int (n, 3): the lesion voxels.
    """

    hu: np.ndarray
    voxels: np.ndarray

    @classmethod
    def of(cls, hu: np.ndarray, lesion: np.ndarray) -> "LesionTexture | None":
        """Keep a scan's lesions; None where there are fewer than :data:`FEWEST` voxels.

        Args:
            hu: (z, y, x).
            lesion: bool, the same shape, for instance a pseudo label.
        """
        if np.count_nonzero(lesion) < FEWEST:
            return None
        nearest = ndimage.distance_transform_edt(~lesion, return_distances=False, return_indices=True)
        return cls(hu[tuple(nearest)].astype(np.float32), np.argwhere(lesion))


def quilt(texture: LesionTexture, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """As much texture as is wanted, of blocks about random lesion voxels.

    Args:
        texture: Where the blocks come from.
        shape: (z, y, x) of the result.
        rng: Draws size, place and mirroring of the blocks.

    Returns:
        float32 HU of that shape. Where blocks overlap their deviations from the mean add up as noise does, so that the
        texture keeps its contrast.
    """
    side = int(rng.choice(BLOCK))
    stride = side // 2
    edge = (np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2).astype(np.float32)
    window = edge[:, None, None] * edge[None, :, None] * edge[None, None]
    padded = np.pad(texture.hu, side, mode="reflect" if min(texture.hu.shape) > side else "edge")
    mean = float(texture.hu[tuple(texture.voxels.T)].mean())
    padded -= mean
    room = [n + 2 * side for n in shape]
    total, power = np.zeros(room, np.float32), np.zeros(room, np.float32)
    for corner in np.ndindex(*[n // stride + 2 for n in shape]):
        start = texture.voxels[rng.integers(len(texture.voxels))] + side // 2
        z, y, x = (int(v) for v in start)
        block = padded[z : z + side, y : y + side, x : x + side]
        block = block[:: rng.choice((-1, 1)), :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        place = tuple(slice(c * stride, c * stride + side) for c in corner)
        total[place] += window * block
        power[place] += window**2
    inner = tuple(slice(stride, stride + n) for n in shape)
    return mean + total[inner] / np.sqrt(np.maximum(power[inner], 1e-6))


def paste_texture(
    lungs: Lungs,
    texture: LesionTexture,
    rng: np.random.Generator,
    style: DiseaseStyle | None = None,
    fractions: tuple[float, ...] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Lay a scan's lesion texture over a part of each lobe; what is denser already stays.

    Args:
        lungs: Without lesion.
        texture: Of another scan, with voxels of about the same size.
        rng: Where chance comes from.
        style: Where the disease lies, how much there is, and how much spared lung is in it.
        fractions: Of each lobe, 0..1, as in :func:`~.disease.paste_disease`.

    Returns:
        HU, float32 (z, y, x), and where the lesion is, bool (z, y, x).
    """
    style = style or DiseaseStyle()
    amount, lesion = place_disease(lungs, rng, style, fractions)
    if not lesion.any():
        return lungs.hu.copy(), lesion
    dense = np.maximum(lungs.hu, quilt(texture, lungs.hu.shape, rng))
    # An edge that is half as wide as that of pasted disease: the texture itself is as dense as an expert's lesion.
    shown = np.clip(2 * amount, 0, 1) * spared_lung(lungs, style, rng)
    return (lungs.hu + shown * (dense - lungs.hu)).astype(np.float32), lesion
