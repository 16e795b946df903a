"""The patient's outline and the air in it that is no lung, by density and shape alone.

Arrays have shape (z, y, x) in canonical axes, on a grid of about 2.5 mm; ``spacing`` is (z, y, x) in mm.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from DRAMLesionLib.lungs.morphology import dilated, opened

TISSUE_HU = -600.0
"""Above this is body, table or cloth: low, so that subcutaneous fat closes the outline of a thin patient."""

AIR_HU = -1000.0

PURE_HU = -930.0
"""Below this is air, or lung with emphysema; aerated lung is denser."""

DOUBTED = 0.3
"""Air of a lower mean probability of lung is none."""


def body_of(coarse: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """The patient with all air inside, without the table and the air around, slice by slice.

    Air that touches the side of the image is outside, unless it is lung by its density: a field of view that cuts
    the chest. Slice by slice, since air runs in from outside through the mouth and the open ends of the scan.

    Args:
        coarse: HU, float32.
        spacing: Voxel size in mm.

    Returns:
        bool, the shape of ``coarse``.
    """
    tissue = coarse > TISSUE_HU
    core = _largest(opened(tissue, _in_plane(5.0, spacing)))
    tissue = dilated(core, _in_plane(5.0, spacing)) & tissue
    labels, count = _label_slices(~tissue)
    if count == 0:
        return tissue
    touching, corners = np.zeros(count + 1, bool), np.zeros(count + 1, bool)
    for face in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        touching[face.ravel()] = True
    corners[labels[:, [0, 0, -1, -1], [0, -1, 0, -1]].ravel()] = True
    air = np.bincount(labels[coarse < TISSUE_HU], minlength=count + 1)
    pure = np.bincount(labels[coarse < AIR_HU + 70], minlength=count + 1)
    outside = corners | (touching & (pure >= 0.5 * air))
    outside[0] = False
    return ~outside[labels]


def walled_air(coarse: np.ndarray, lungs: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Windpipe, main bronchi, gas in stomach and bowel: pure air that tissue, not lung, surrounds in axial slices.

    Bronchi that lung wraps stay with it, as does emphysema.

    Args:
        coarse: HU, float32.
        lungs: bool, the lungs with what may be wrong about them.
        spacing: Voxel size in mm.

    Returns:
        bool, the shape of ``coarse``; a voxel wider than the air itself.
    """
    none = np.zeros_like(lungs)
    if not lungs.any():
        return none
    lung_hu = float(np.median(coarse[lungs]))
    pure = coarse < np.clip((AIR_HU + lung_hu) / 2, -960.0, -920.0)
    labels, count = _label_slices(pure)
    if count == 0:
        return none
    near = ndimage.grey_dilation(labels, footprint=_in_plane(3.0, spacing))
    far = ndimage.grey_dilation(labels, footprint=_in_plane(7.0, spacing))
    dense = _share(coarse > -500.0, np.where(near == 0, far, 0), count)
    aerated = _share(coarse < -800.0, np.where(labels == 0, near, 0), count)
    area = np.bincount(labels.ravel(), minlength=count + 1) * spacing[1] * spacing[2]
    walled = (dense > 0.6) & (aerated < 0.35) & (area > 15)
    walled[0] = False
    tubes, count = ndimage.label(walled[labels], np.ones((3, 3, 3)))
    if count == 0:
        return none
    lengths = np.array([(t[0].stop - t[0].start) * spacing[0] for t in ndimage.find_objects(tubes)])
    long = np.concatenate([[False], lengths > 10.0])
    return dilated(long[tubes], _in_plane(4.0, spacing)) & (coarse < -400.0)


def doubted_air(coarse: np.ndarray, probability: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Windpipe, bronchi and bowel that lung touches: pure air, in a slice, that the network on average takes for none.

    Args:
        coarse: HU, float32.
        probability: float32, 0..1: of lung, whichever side.
        spacing: Voxel size in mm.

    Returns:
        bool, the shape of ``coarse``; a voxel wider than the air itself, but for what the network is sure of.
    """
    labels, count = _label_slices(coarse < PURE_HU)
    doubted = np.bincount(labels.ravel(), probability.ravel(), count + 1) < DOUBTED * np.bincount(
        labels.ravel(), minlength=count + 1
    )
    doubted[0] = False
    return dilated(doubted[labels], _in_plane(2.5, spacing)) & (coarse < -400.0) & (probability < 0.9)


def _in_plane(radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    """A flat structuring element (1, y, x): a disk of at least the four neighbours."""
    ry, rx = (max(1, round(radius_mm / s)) for s in spacing[1:])
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return ((y / (ry + 0.01)) ** 2 + (x / (rx + 0.01)) ** 2 <= 1)[None]


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def _share(mask: np.ndarray, rings: np.ndarray, count: int) -> np.ndarray:
    """For each label of ``rings`` 0..count the part of its voxels that are in ``mask``."""
    voxels = np.bincount(rings.ravel(), minlength=count + 1)
    return np.bincount(rings[mask], minlength=count + 1) / np.maximum(voxels, 1)


def _label_slices(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected components of each axial slice on its own."""
    structure = np.zeros((3, 3, 3), bool)
    structure[1] = ndimage.generate_binary_structure(2, 1)
    return ndimage.label(mask, structure)
