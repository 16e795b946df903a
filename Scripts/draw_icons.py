"""Draw the module's icon: two lungs with a lesion map. Run it after a change: python Scripts/draw_icons.py."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

ICONS = Path(__file__).resolve().parents[1] / "DRAMLesion" / "Resources" / "Icons"
PIXELS = 256
LUNG, EDGE, AIRWAY = "#b9d3e6", "#33566e", "#33566e"
MAP_COLORS = [(0.84, 0.10, 0.16, 0.0), (0.90, 0.30, 0.15, 0.85), (1.0, 0.93, 0.25, 1.0)]
"""From clear over red to yellow."""

# One lung as cubic curves, x to the patient's side, both 0..1; the other is its mirror image.
LUNG_CURVES = (
    (0.44, 0.80),
    ((0.40, 0.93), (0.30, 0.95), (0.24, 0.86)),
    ((0.12, 0.68), (0.05, 0.42), (0.06, 0.20)),
    ((0.06, 0.08), (0.14, 0.07), (0.22, 0.12)),
    ((0.30, 0.17), (0.38, 0.20), (0.43, 0.22)),
    ((0.47, 0.40), (0.47, 0.60), (0.44, 0.80)),
)
LESIONS = (((0.17, 0.33), 0.10), ((0.31, 0.62), 0.07), ((0.80, 0.26), 0.11), ((0.70, 0.48), 0.06))
"""Centre and size of the spots."""


def lung(mirrored: bool) -> Outline:
    """The outline of a lung."""
    points, codes = [LUNG_CURVES[0]], [Outline.MOVETO]
    for curve in LUNG_CURVES[1:]:
        points.extend(curve)
        codes.extend([Outline.CURVE4] * 3)
    places = np.array(points)
    if mirrored:
        places[:, 0] = 1 - places[:, 0]
    return Outline(places, codes)


def draw(path: Path) -> None:
    """Draw the icon on a clear ground."""
    from matplotlib.colors import LinearSegmentedColormap

    figure = Figure(figsize=(1, 1), dpi=PIXELS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    y, x = np.mgrid[0 : 1 : PIXELS * 1j, 0 : 1 : PIXELS * 1j]
    spots = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / size**2) for (cx, cy), size in LESIONS)
    colors = LinearSegmentedColormap.from_list("lesion", MAP_COLORS)
    axes.plot([0.5, 0.5], [0.98, 0.74], color=AIRWAY, linewidth=4, solid_capstyle="round")
    for side in (-1, 1):
        axes.plot([0.5, 0.5 + 0.12 * side], [0.74, 0.62], color=AIRWAY, linewidth=3, solid_capstyle="round")
    for mirrored in (False, True):
        shape = PathPatch(lung(mirrored), facecolor=LUNG, edgecolor=EDGE, linewidth=1.6, joinstyle="round")
        axes.add_patch(shape)
        heat = axes.imshow(
            np.clip(spots, 0, 1),
            origin="lower",
            extent=(0, 1, 0, 1),
            cmap=colors,
            vmin=0.15,
            vmax=1,
            zorder=3,
        )
        heat.set_clip_path(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=PIXELS, transparent=True, metadata={"Software": None})


if __name__ == "__main__":
    draw(ICONS / "DRAMLesion.png")
