"""Figures without a window or global state: matplotlib's Figure and FigureCanvasAgg, never pyplot; and their PNG."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

TEXT_COLOR = "#1f2933"
MUTED_COLOR = "#616e7c"
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure) -> bytes:
    """A figure as PNG without software or date entries: the same findings give the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def pixels_of(figure: Figure) -> np.ndarray:
    """What a figure looks like: uint8 RGB, shape (rows, columns, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def few_colors(pixels: np.ndarray) -> bytes:
    """A PNG of RGB pixels, uint8 (rows, columns, 3), with 96 greys and 160 colours of its overlay: under half the size.

    CT noise hardly compresses. A palette over all pixels would serve the many grey ones and band the heatmap, so
    each kind gets its share.
    """
    from PIL import Image

    greys = np.repeat(np.linspace(0, 255, 96).round(), 3).reshape(-1, 3)
    index = np.rint(pixels.mean(axis=-1) * (95 / 255)).astype(np.uint8)
    colored = np.ptp(pixels, axis=-1) > 6
    palette = greys
    if colored.any():
        # Each colour once, or a large lesion's would take most entries.
        kinds = np.unique(pixels[colored] // 4 @ np.array([4096, 64, 1]))
        kinds = np.stack([kinds // 4096, kinds // 64 % 64, kinds % 64], axis=-1) * 4 + 2
        strip = Image.fromarray(kinds[None].astype(np.uint8)).quantize(
            160, Image.Quantize.MEDIANCUT, kmeans=1
        )
        colors = np.asarray(strip.getpalette(), dtype=int).reshape(-1, 3)[:160]
        index[colored] = 96 + _nearest(pixels[colored], colors)
        palette = np.concatenate([greys, colors])
    picture = Image.fromarray(index, mode="P")
    picture.putpalette(palette.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _nearest(pixels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """For each RGB pixel (n, 3) the number of the nearest of some colours (m, 3)."""
    coded, inverse = np.unique(pixels.astype(np.int64) @ np.array([65536, 256, 1]), return_inverse=True)
    kinds = np.stack([coded >> 16, coded >> 8 & 255, coded & 255], axis=-1).astype(np.float32)
    # |kind - color|^2 but for |kind|^2, which is the same for all colours; whole numbers, exact in float32.
    apart = (colors.astype(np.float32) ** 2).sum(axis=1) - 2 * (kinds @ colors.T.astype(np.float32))
    return apart.argmin(axis=1)[inverse]
