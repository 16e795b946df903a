"""Draw the icons and the sample data's thumbnail. Run it after a change: python Scripts/draw_icons.py."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

REPOSITORY = Path(__file__).resolve().parents[1]
ICONS = REPOSITORY / "DRAMLesion" / "Resources" / "Icons"
EFFECT = REPOSITORY / "SegmentEditorDRAMRefine"
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


def empty_icon() -> tuple[Figure, Axes]:
    """A square on a clear ground, 0..1 to both sides."""
    figure = Figure(figsize=(1, 1), dpi=PIXELS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Save an icon, the same file whenever it is drawn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=PIXELS, transparent=True, metadata={"Software": None})


def draw_module(path: Path) -> None:
    """Two lungs with a lesion map."""
    from matplotlib.colors import LinearSegmentedColormap

    figure, axes = empty_icon()
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
    save(figure, path)


def draw_effect(path: Path) -> None:
    """A brush's stroke and the lesion that grows around it."""
    figure, axes = empty_icon()
    angles = np.linspace(0, 2 * np.pi, 200)
    for scale, color in ((1.0, LUNG), (0.74, "#e8573a"), (0.46, "#ffd23f")):
        radius = scale * (0.40 + 0.045 * np.sin(3 * angles + 0.6) + 0.02 * np.cos(5 * angles))
        axes.fill(0.45 + radius * np.cos(angles), 0.47 + radius * np.sin(angles), color=color, linewidth=0)
    # The handle in two widths, so that it stands out from light and dark windows alike.
    for width, color in ((15, "#ffffff"), (9, EDGE)):
        axes.plot(
            [0.52, 0.90], [0.54, 0.92], color=color, linewidth=width * 72 / PIXELS * 4, solid_capstyle="round"
        )
    axes.plot(
        [0.46, 0.52], [0.48, 0.54], color="#202020", linewidth=6 * 72 / PIXELS * 4, solid_capstyle="round"
    )
    save(figure, path)


def draw_thumbnail(path: Path) -> None:
    """A coronal slice of the sample phantom with its lesion, 4 : 3 as Sample Data shows it."""
    sys.path[:0] = [str(REPOSITORY)]
    from DRAMLesionLib.phantom import make_phantom

    phantom = make_phantom((128, 128, 96), (2.8, 2.8, 3.2))
    rows = phantom.lesion.sum(axis=(0, 2))
    row = int(np.argmax(rows))
    slice_hu = phantom.ct.array[:, row].astype(float)
    depth, width = slice_hu.shape
    figure = Figure(figsize=(4, 3), dpi=80, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    shape = (0, width * phantom.ct.spacing_mm[2], 0, depth * phantom.ct.spacing_mm[0])
    axes.imshow(
        slice_hu, cmap="gray", vmin=-1350, vmax=150, origin="lower", extent=shape, interpolation="bilinear"
    )
    axes.contour(phantom.lesion[:, row], levels=[0.5], colors=["#cc00ff"], linewidths=1.2, extent=shape)
    axes.set_aspect("equal")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, facecolor="black", metadata={"Software": None})


if __name__ == "__main__":
    draw_module(ICONS / "DRAMLesion.png")
    draw_effect(EFFECT / "Resources" / "Icons" / "SegmentEditorDRAMRefine.png")
    draw_effect(EFFECT / "SegmentEditorDRAMRefineLib" / "SegmentEditorEffect.png")
    draw_thumbnail(ICONS / "DRAMLesionPhantom.png")
