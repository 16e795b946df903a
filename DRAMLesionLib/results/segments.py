"""Lesion and lobes as Slicer segments: names, colours, terminology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DRAMLesionLib.lungs.lobes import LOBES, TERMINOLOGY_CONTEXT
from DRAMLesionLib.results.colors import LESION_COLOR

if TYPE_CHECKING:
    from DRAMLesionLib.lungs.lobes import LobeMap


SOURCE_REPRESENTATION = "Binary labelmap"


SURFACE_REPRESENTATION = "Closed surface"


TERMINOLOGY_TAG = "TerminologyEntry"


SURFACE_PARAMETERS = {"Smoothing factor": "0.5", "Decimation factor": "0.0", "Conversion method": "1"}
"""How Slicer makes closed surfaces: surface nets (1) take a third of the time of its default, give half the polygons,
and can't be decimated."""


@dataclass(frozen=True)
class SegmentInfo:
    """One segment's description.

    Attributes:
        id: The segment's ID inside the segmentation, stable from run to run.
        name: The segment's name, for people.
        value: The segment's value in the label map, 1..255.
        color: Red, green, blue, 0..255.
        terminology: Slicer's serialised terminology entry.
    """

    id: str
    name: str
    value: int
    color: tuple[int, int, int]
    terminology: str

    @property
    def rgb(self) -> tuple[float, float, float]:
        """The colour as fractions 0..1, as Slicer wants it."""
        red, green, blue = (round(part / 255, 6) for part in self.color)
        return red, green, blue


LESION = SegmentInfo(
    id="lesion",
    name="COVID-19 lesion",
    value=1,
    color=LESION_COLOR,
    terminology=(
        f"{TERMINOLOGY_CONTEXT}~SCT^49755003^Morphologically Altered Structure~SCT^47351003^Infiltrate"
        "~SCT^840539006^COVID-19~Anatomic codes - DICOM master list~SCT^39607008^Lung~^^"
    ),
)
"""The lesion: SNOMED CT category, type, modifier and region."""


LOBE_SEGMENTS: tuple[SegmentInfo, ...] = tuple(
    SegmentInfo(lobe.abbreviation, lobe.name, lobe.value, lobe.color, lobe.terminology) for lobe in LOBES
)
"""The five lobes, in the order of their values."""


def lobes_title(lobes: LobeMap) -> str:
    """The lobe segmentation's name, which says when the lobes are approximate."""
    return "Lobes (approximate)" if lobes.approximate else "Lobes"
