"""Draw the method's stages on a phantom: Documentation/images/method.png. Every picture in it is computed.

python Scripts/draw_method.py [--out FILE]
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

REPOSITORY = Path(__file__).resolve().parents[1]
SIZE, SPACING_MM, SEED = (128, 128, 80), (2.75, 2.75, 3.75), 3
LOBE = 5
"""Shown alone: the right lower lobe."""
HEALTHY_SEED = 1
LOBE_COLORS = ("#4c78a8", "#72b7b2", "#f2a33a", "#e5c84b", "#b279a2")
ARROW, SOFT, INK, MASK = "#33566e", "#eef3f6", "#22313a", "#cc00ff"
WIDTH, HEIGHT, SIDE, GAP, LEFT = 11.2, 4.75, 1.45, 0.42, 0.2
"""Inches: of the figure, of a picture, between pictures, before the first."""
TOP, BOTTOM = 2.7, 0.4
"""Where the rows of pictures stand, in inches."""
LUNG_WINDOW = (-1000.0, 150.0)
PIXELS_PER_INCH = 130


def stages() -> dict[str, Any]:
    """Slices of each stage: CT, lobes, lobe sample, dRAM, attended map, CRF, pseudo label, final mask, pasted lesions."""
    sys.path.insert(0, str(REPOSITORY))
    from DRAMLesionLib.lesions.dram import predict_maps
    from DRAMLesionLib.lesions.lung_grid import lobe_samples, lung_grid
    from DRAMLesionLib.lesions.networks.bundle import (
        DEFAULT_SEGMENTATION_MODEL,
        list_models,
        load_model,
        load_segmentation_model,
    )
    from DRAMLesionLib.lesions.probability import predict_lesion
    from DRAMLesionLib.lesions.refined_dram import refine_dram
    from DRAMLesionLib.phantom import make_phantom
    from DRAMLesionLib.training.data.pseudo_label import pseudo_label, smooth_inside
    from DRAMLesionLib.training.data.pseudo_labels import PseudoLabelSettings
    from DRAMLesionLib.training.tasks.synthetic_lesions import paste_lesions

    phantom = make_phantom(SIZE, SPACING_MM, seed=SEED)
    hu, labels, spacing = phantom.ct.array, phantom.lobes.labels, phantom.ct.spacing_mm
    model = load_model(None)
    maps = predict_maps(model.network, model.description, hu, labels, spacing, flips=False)
    crf = refine_dram(maps.best, hu, spacing, labels, model.description)
    smooth = smooth_inside(maps.best, labels > 0, spacing, PseudoLabelSettings().smooth_mm)
    pseudo = pseudo_label(smooth, labels, phantom.percent, rule="quantile")
    final = None
    if DEFAULT_SEGMENTATION_MODEL in list_models():
        network = load_segmentation_model(DEFAULT_SEGMENTATION_MODEL)
        probability = predict_lesion(network.network, network.description, hu, labels, spacing)
        final = cut_as_segment_does(probability, network.description, phantom)
    z = int(np.argmax(((pseudo > 0) & (labels == LOBE)).sum((1, 2))))
    sample = np.where(labels == LOBE, hu, -1000)
    healthy = make_phantom(SIZE, SPACING_MM, seed=HEALTHY_SEED, severity=0)
    grid = lung_grid(healthy.ct.array, healthy.lobes.labels, healthy.ct.spacing_mm, model.description)
    lobe = next(lobe for lobe in lobe_samples(grid, model.description) if lobe.lobe == LOBE)
    image, pasted = paste_lesions(
        lobe.image,
        lobe.mask,
        model.description.spacing_mm,
        model.description.hu_window,
        np.random.default_rng(4),
    )
    low, high = model.description.hu_window
    k = int(np.argmax(pasted.sum((1, 2))))
    return {
        "ct": hu[z],
        "lobes": labels[z],
        "sample": sample[z],
        "lobe": labels[z] == LOBE,
        "dram": maps.dram[z],
        "attended": maps.best[z],
        "crf": crf[z],
        "pseudo": pseudo[z],
        "final": None if final is None else final[z],
        "pasted": (low + image[k] * (high - low), pasted[k]),
        "percent": phantom.percent[LOBE - 1],
        "mean": float(maps.dram[labels == LOBE].mean()),
    }


def cut_as_segment_does(probability: np.ndarray, description: Any, phantom: Any) -> np.ndarray:
    """The final network's mask: each lobe cut at its amount, no speckle; bool (z, y, x)."""
    from DRAMLesionLib.lesions.amount import cut_at_amounts, lobe_amounts
    from DRAMLesionLib.lesions.mask import segment_lesion, take_speckle_off

    hu, labels, spacing = phantom.ct.array, phantom.lobes.labels, phantom.ct.spacing_mm
    if description.amount is not None:
        amounts = lobe_amounts(probability, hu, labels, spacing, description.amount)
        cut_at_amounts(probability, labels, description.threshold, amounts)
    take_speckle_off(probability, labels, description.threshold, spacing)
    return segment_lesion(probability, labels, description.threshold) > 0


class Sheet:
    """A figure whose places are columns and rows of pictures."""

    def __init__(self) -> None:
        self.figure = Figure((WIDTH, HEIGHT), facecolor="white")
        self.page = self.figure.add_axes((0, 0, 1, 1))
        self.page.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        self.page.axis("off")

    def left(self, column: float) -> float:
        """Of a column, in inches."""
        return LEFT + column * (SIDE + GAP)

    def picture(self, column: int, row: float, hu: np.ndarray, title: str) -> Axes:
        """A grey slice; more may be drawn over it."""
        x = self.left(column)
        axes = self.figure.add_axes((x / WIDTH, row / HEIGHT, SIDE / WIDTH, SIDE / HEIGHT), facecolor="black")
        axes.imshow(hu, cmap="gray", vmin=LUNG_WINDOW[0], vmax=LUNG_WINDOW[1], interpolation="bilinear")
        axes.set(xticks=[], yticks=[])
        self.title(column, row, title)
        return axes

    def box(self, column: float, row: float, text: str, title: str = "") -> None:
        """What is no picture."""
        x = self.left(column)
        style = "round,pad=0,rounding_size=0.12"
        self.page.add_patch(FancyBboxPatch((x, row), SIDE, SIDE, boxstyle=style, fc=SOFT, ec=ARROW, lw=1))
        self.page.text(
            x + SIDE / 2,
            row + SIDE / 2,
            text,
            ha="center",
            va="center",
            fontsize=8.5,
            color=INK,
            linespacing=1.5,
        )
        self.title(column, row, title)

    def title(self, column: float, row: float, text: str) -> None:
        """Above a place."""
        self.page.text(
            self.left(column) + SIDE / 2,
            row + SIDE + 0.08,
            text,
            ha="center",
            va="bottom",
            fontsize=9,
            color=INK,
        )

    def arrow(self, start: tuple[float, float], end: tuple[float, float], bend: str = "arc3") -> None:
        """Between two points, in inches."""
        self.page.add_patch(
            FancyArrowPatch(
                start, end, arrowstyle="-|>", mutation_scale=11, lw=1.4, color=ARROW, connectionstyle=bend
            )
        )

    def onward(self, column: float, row: float, backward: bool = False) -> None:
        """From a column to the next, or back from it."""
        y, x = row + SIDE / 2, self.left(column) + SIDE
        ends = ((x + 0.06, y), (x + GAP - 0.06, y))
        self.arrow(*(ends[::-1] if backward else ends))


def show_map(axes: Axes, values: np.ndarray) -> None:
    """A map 0..1 in colours; where it is 0 the CT stays as it is."""
    axes.imshow(
        values, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(values * 1.6, 0, 0.9), interpolation="bilinear"
    )


def show_mask(axes: Axes, mask: np.ndarray) -> None:
    """A mask, filled and outlined."""
    axes.imshow(np.ma.masked_equal(mask > 0, 0), cmap=ListedColormap([MASK]), alpha=0.45)
    axes.contour(mask > 0, levels=[0.5], colors=[MASK], linewidths=0.9)


def square(mask: np.ndarray) -> tuple[slice, slice]:
    """A square about a mask, within the slice."""
    (top, bottom), (left, right) = ((where.min(), where.max() + 1) for where in np.nonzero(mask))
    side = min(max(bottom - top, right - left) + 6, *mask.shape)
    first = [
        int(np.clip((low + high - side) // 2, 0, length - side))
        for low, high, length in ((top, bottom, mask.shape[0]), (left, right, mask.shape[1]))
    ]
    return slice(first[0], first[0] + side), slice(first[1], first[1] + side)


def draw(found: dict[str, Any]) -> Figure:
    """Put the stages on a sheet."""
    sheet = Sheet()
    lobe = square(found["lobe"])
    crop = {key: found[key][lobe] for key in ("sample", "dram", "attended", "crf", "pseudo")}
    whole = square(found["lobes"] > 0)
    axes = sheet.picture(0, TOP, found["ct"][whole], "CT with its lobes")
    colors = ListedColormap(LOBE_COLORS)
    axes.imshow(np.ma.masked_equal(found["lobes"][whole], 0), cmap=colors, vmin=1, vmax=5, alpha=0.4)
    sheet.picture(1, TOP, crop["sample"], "a lobe, cut out")
    sheet.box(2, TOP, "3D U-Net\n+ candidate prior\n(too dark: no lesion)", "dense network")
    for column, key, title in (
        (3, "dram", "dRAM"),
        (4, "attended", "+ attention"),
        (5, "crf", "+ dense CRF"),
    ):
        show_map(sheet.picture(column, TOP, crop["sample"], title), crop[key])
    for column in range(5):
        sheet.onward(column, TOP)

    healthy, pasted = found["pasted"]
    sheet.box(0, BOTTOM, "one percentage or\nseverity score\nper lobe,\nand no voxel", "what a reader gives")
    part = square(healthy > -1000)
    axes = sheet.picture(1, BOTTOM, healthy[part], "lesions in healthy lobes")
    axes.contour(pasted[part], levels=[0.5], colors=["#f2c14e"], linewidths=0.9)
    sheet.box(
        2,
        BOTTOM,
        f"mean of the dRAM\n{100 * found['mean']:.0f} % of the lobe\n\nknown\n{found['percent']:.0f} %",
        "regression per lobe",
    )
    show_mask(sheet.picture(5, BOTTOM, crop["sample"], "pseudo label"), crop["pseudo"])
    words = "trained patch by\npatch, on pasted\ndisease of every\namount, too"
    sheet.box(4, BOTTOM, words, "final network")
    if found["final"] is not None:
        show_mask(
            sheet.picture(3, BOTTOM, found["ct"][whole], "mask, by each lobe's amount"), found["final"][whole]
        )
    sheet.onward(4, BOTTOM, backward=True)
    sheet.onward(3, BOTTOM, backward=True)
    below = TOP - 0.06
    head = BOTTOM + SIDE + 0.32
    middle = sheet.left(2) + SIDE / 2
    sheet.arrow((sheet.left(1) + SIDE - 0.2, head), (sheet.left(2) + 0.2, below))
    sheet.arrow((sheet.left(3) + 0.2, below), (sheet.left(2) + SIDE - 0.2, head))
    sheet.arrow((middle, head), (middle, below))
    sheet.arrow((sheet.left(4) + SIDE - 0.2, below), (sheet.left(5) + 0.2, head))
    floor = BOTTOM - 0.06
    sheet.arrow((sheet.left(0) + SIDE / 2, floor), (middle, floor), "bar,fraction=0.06")
    return sheet.figure


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "Documentation" / "images" / "method.png")
    arguments = parser.parse_args()
    draw(stages()).savefig(arguments.out, dpi=PIXELS_PER_INCH)
    print(arguments.out)


if __name__ == "__main__":
    main()
