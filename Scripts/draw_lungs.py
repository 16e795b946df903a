"""Draw the built-in lungs on a phantom made as hard as a hospital's CT: python Scripts/draw_lungs.py OUT.png.

Gas in stomach and colon, a consolidated right lower lobe with air in its bronchi, arms at the sides, a table. The
phantom is nobody's, so that the picture may be shown.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from DRAMLesionLib.lungs.lung_mask import segment_lungs  # noqa: E402
from DRAMLesionLib.phantom import make_phantom  # noqa: E402

SPACING = (3.0, 2.2, 2.4)
SHAPE_XYZ = (190, 130, 105)
RIGHT_LOWER = 5


def hospital_scan(seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """HU and true lobes, both (z, y, x), of a phantom with all that misleads a lung finder."""
    phantom = make_phantom(SHAPE_XYZ, SPACING[::-1], seed=seed, severity=12)
    hu, lobes = phantom.ct.array.astype(np.float32), phantom.lobes.labels
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=hu.shape).astype(np.float32), s) for s in (1.2, 2.0)]
    texture, bronchi = (field / field.std() for field in smooth)
    z, y, x = np.indices(hu.shape, sparse=True)
    lower = lobes == RIGHT_LOWER
    depth = np.broadcast_to(y * SPACING[1] - 0.4 * z * SPACING[0], hu.shape)
    filled = lower & (depth > np.quantile(depth[lower], 0.35))
    hu[filled] = np.where(bronchi > 1.9, -750, 25 + 20 * texture)[filled]
    _add_gas(hu, lobes > 0, (z, y, x))
    for middle in (8, hu.shape[2] - 9):  # arms, with a bone in each
        radius = np.hypot((y - 70) * SPACING[1], (x - middle) * SPACING[2])
        arm = (radius < 17) & (hu < -700) & (lobes == 0)
        hu[arm] = np.where(np.broadcast_to(radius, hu.shape) < 8, 600, 40)[arm]
    return hu.astype(np.int16), lobes


def _add_gas(hu: np.ndarray, lungs: np.ndarray, at: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Two loops of bowel under the diaphragm, gas over fluid."""
    z, y, x = at
    apart = ndimage.distance_transform_edt(~lungs, SPACING) > 7
    height = int(np.flatnonzero(lungs.any(axis=(1, 2)))[0])
    for along in (0.3, 0.66):
        middle = along * hu.shape[2]
        loop = ((z - height - 4) * SPACING[0] / 26) ** 2 + ((y - 52) * SPACING[1] / 30) ** 2
        loop = loop + ((x - middle) * SPACING[2] / 34) ** 2
        inside = (loop < 1) & apart & (hu > -200) & (hu < 200)
        hu[inside] = np.where(np.broadcast_to(y, hu.shape) < 58, -980, 15)[inside]


def draw(hu: np.ndarray, true: np.ndarray, found: np.ndarray, out: Path) -> None:
    """Three planes: CT with the true lungs' outline (white, dotted) and the found ones (left blue, right orange)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    seen = np.flatnonzero((true > 0).any(axis=(1, 2)))
    low, middle = (int(seen[0] + share * seen.size) for share in (0.1, 0.5))
    planes: list[tuple[Any, float, str]] = [
        (np.s_[low], SPACING[1] / SPACING[2], "lower axial slice"),
        (np.s_[middle], SPACING[1] / SPACING[2], "middle axial slice"),
        (np.s_[::-1, 56], SPACING[0] / SPACING[2], "coronal slice"),
    ]
    figure = Figure(figsize=(12, 3.7), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (plane, aspect, title) in zip(figure.subplots(1, 3), planes, strict=True):
        axes.imshow(hu[plane], cmap="gray", vmin=-1050, vmax=250, aspect=aspect)
        axes.contour(true[plane] > 0, [0.5], colors="white", linewidths=0.8, linestyles="dotted")
        for side, color in ((1, "deepskyblue"), (2, "orange")):
            if (found[plane] == side).any():
                axes.contour(found[plane] == side, [0.5], colors=color, linewidths=1.2)
        axes.set_title(title, fontsize=9)
        axes.axis("off")
    figure.savefig(out, dpi=90)


def main() -> None:
    """Draw the picture and print how much of what is lung and of what is not was taken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    hu, true = hospital_scan()
    found = segment_lungs(hu, SPACING)
    dice = 2 * np.sum((found > 0) & (true > 0)) / (np.sum(found > 0) + np.sum(true > 0))
    dense = (true == RIGHT_LOWER) & (hu > -200)
    gas = (true == 0) & (found > 0) & (hu < -700)
    print(
        f"Dice {dice:.3f}; dense right lower lobe kept {np.mean(found[dense] > 0):.2f}; air outside the lungs taken in "
        f"{gas.sum() * np.prod(SPACING) / 1000:.1f} mL"
    )
    draw(hu, true, found, out)


if __name__ == "__main__":
    main()
