"""What one CT gave: everything that reports, scenes and the panel show."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.quantify import Quantification
from DRAMLesionLib.lungs.lobes import LobeMap


@dataclass(frozen=True)
class Findings:
    """The results of the main job on one CT.

    Arrays have shape (z, y, x) on the grid of ``ct.array`` (canonical LPS axes).

    Attributes:
        ct: The CT in HU.
        lobes: The five lobes, and whether they are approximate.
        dram: float32, 0..1: the network's map, which is shown as the heatmap; 0 outside the lobes.
        lesion: uint8, 1 lesion: the final network's probability, or by the method ``dram`` the refined dRAM (without CRF
            the dRAM), cut at the threshold of the model that made it.
        quantification: Per lobe, per lung and in total.
        record: What ``summary.json`` adds to the table: versions, model checksum, settings, seconds per stage,
            warnings. JSON values only.
        refined: float32, 0..1: the dRAM after attention and CRF; None where neither ran.
        probability: float32, 0..1: the final network's lesion probability; None where it did not make the mask.
    """

    ct: Volume
    lobes: LobeMap
    dram: np.ndarray
    lesion: np.ndarray
    quantification: Quantification
    record: dict[str, Any] = field(default_factory=dict)
    refined: np.ndarray | None = None
    probability: np.ndarray | None = None
