"""What one CT gave: everything that reports, scenes and the panel show."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DRAMLesionLib.lobes import LobeMap
from DRAMLesionLib.quantify import Quantification
from DRAMLesionLib.volume import Volume


@dataclass(frozen=True)
class Findings:
    """The results of the main job on one CT.

    Arrays have shape (z, y, x) on the grid of ``ct.array`` (canonical LPS axes).

    Attributes:
        ct: The CT in HU.
        lobes: The five lobes, and whether they are approximate.
        dram: float32, 0..1: the heatmap that is shown (refined dRAM where the CRF ran), 0 outside the lobes.
        lesion: uint8, 1 lesion.
        quantification: Per lobe, per lung and in total.
        record: What ``summary.json`` adds to the table: versions, model checksum, settings, seconds per stage,
            warnings. JSON values only.
    """

    ct: Volume
    lobes: LobeMap
    dram: np.ndarray
    lesion: np.ndarray
    quantification: Quantification
    record: dict[str, Any] = field(default_factory=dict)
