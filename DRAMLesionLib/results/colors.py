"""The colours of lesion map and lesion, the same in Slicer's views, the report and all pictures.

Chosen to be told apart by colour-blind eyes (protan, deutan and tritan): the map grows brighter with each step, and the
lesion's colour is apart from every colour of the map on lung, and from those of the lobes. No library but numpy: Slicer
would take half a second to load matplotlib for it.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.colors import ListedColormap

MAP_COLORS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 4),
    (11, 7, 36),
    (33, 12, 74),
    (61, 9, 101),
    (87, 16, 110),
    (113, 25, 110),
    (138, 34, 106),
    (163, 44, 97),
    (188, 55, 84),
    (210, 70, 68),
    (228, 90, 49),
    (241, 115, 29),
    (249, 142, 9),
    (252, 172, 17),
    (249, 203, 53),
    (242, 234, 105),
    (252, 255, 164),
)
"""Red, green, blue (0..255) of the lesion map from 0 to 1 in even steps: matplotlib's *inferno* at 17 places."""

LESION_COLOR: tuple[int, int, int] = (204, 0, 255)
"""Red, green, blue (0..255) of the lesion's outline and surface."""


GROUND_GLASS_COLOR = "#56b4e9"
CONSOLIDATION_COLOR = "#0072b2"
OTHER_COLOR = "#9aa5b1"
"""The density classes of a lesion in charts: Okabe and Ito's light and dark blue, and a grey."""
DRAM_COLOR = "#e69f00"
"""The pooled dRAM in charts: Okabe and Ito's orange."""


def map_colors(values: np.ndarray) -> np.ndarray:
    """float32 RGB 0..1, shape (..., 3), of a lesion map's values 0..1."""
    places = np.linspace(0.0, 1.0, len(MAP_COLORS))
    parts = np.asarray(MAP_COLORS).T / 255.0
    return np.stack([np.interp(values, places, part) for part in parts], axis=-1).astype(np.float32)


def map_colormap() -> "ListedColormap":
    """The lesion map's colours for matplotlib."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(map_colors(np.linspace(0.0, 1.0, 256)), "lesion map")


def css(color: tuple[int, int, int]) -> str:
    """A colour as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)
