"""Two drawn lungs with vessels and lesions, and folders of results that hold them: no model, no phantom."""

import functools
from pathlib import Path

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume, write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results import table

SHAPE, STEP_MM = (38, 40, 52), 6.0
Ball = tuple[float, float, float, float]
"""z, y, x of the centre and the radius, all in mm from the middle of the chest."""
LEFT, RIGHT = (-30.0, 20.0, 75.0, 18.0), (20.0, 10.0, -75.0, 14.0)


@functools.lru_cache(maxsize=2)
def vessels(seed: int = 0) -> np.ndarray:
    """HU above the lung's, smooth over 9 mm, on a grid large enough for :func:`draw`."""
    noise = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, 1.5, mode="wrap")
    return np.clip(smooth / smooth.std(), 0, 3) * 120


def draw(
    *balls: Ball, moved_mm=(0.0, 0.0, 0.0), taller: float = 1.0, size: float = 1.0, seed: int = 0
) -> tuple[Volume, LobeMap, np.ndarray]:
    """CT, lobes and lesion of one date.

    Args:
        balls: Lesions in the lungs at rest.
        moved_mm: How far the patient lies from the middle (z, y, x).
        taller: The breath: factor on the height of the lungs and all that is in them.
        size: Factor on the whole chest.
        seed: Whose vessels.
    """
    axes = [(np.arange(n) - (n - 1) / 2) * STEP_MM - move for n, move in zip(SHAPE, moved_mm, strict=True)]
    z, y, x = np.meshgrid(axes[0] / (taller * size), axes[1] / size, axes[2] / size, indexing="ij")
    lobes = np.zeros(SHAPE, np.uint8)
    for middle, upper, lower in ((75.0, 1, 2), (-75.0, 3, 5)):
        lung = (z / 95) ** 2 + (y / 80) ** 2 + ((x - middle) / 50) ** 2 < 1
        lobes[lung] = np.where(z[lung] > 0.5 * y[lung], upper, lower)
    lobes[(lobes == 3) & (z < 40) & (y < -15)] = 4
    index = [rest / STEP_MM + (n - 1) / 2 for rest, n in zip((z, y, x), SHAPE, strict=True)]
    inside = -860 + ndimage.map_coordinates(vessels(seed), index, order=1, mode="grid-wrap")
    lesion = np.zeros(SHAPE, bool)
    for a, b, c, radius in balls:
        lesion |= (z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < radius**2
    lesion &= lobes > 0
    hu = np.where(lobes > 0, np.where(lesion, -300, inside), 40).astype(np.int16)
    geometry = Geometry(SHAPE[::-1], (STEP_MM,) * 3, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel().tolist()))
    return Volume(hu, (STEP_MM,) * 3, geometry, "ct"), LobeMap(lobes, False, "drawn"), lesion.astype(np.uint8)


def write_results(folder: Path, ct: Volume, lobes: LobeMap, lesion: np.ndarray, **record) -> Path:
    """A folder as ``segment`` leaves it, without maps, report and scene, and its CT beside it."""
    folder.mkdir(parents=True)
    file = folder.parent / f"{folder.name}_ct.nii.gz"
    write_volume(ct.array, ct, file)
    write_volume(lobes.labels, ct, folder / "lobes.nii.gz")
    write_volume(lesion, ct, folder / "lesion.nii.gz")
    measured = quantify(ct.array, lobes, lesion, ct.spacing_mm)
    record = {"settings": {"method": "final"}, "ct_file": f"../{file.name}", **record}
    named = Volume(ct.array, ct.spacing_mm, ct.geometry, file.name)
    findings = Findings(named, lobes, np.zeros_like(lesion), lesion, measured, record)
    table.write_summary(findings, folder / "summary.json")
    return folder
