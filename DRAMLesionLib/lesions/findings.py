"""What one CT gave: everything that reports, scenes and the panel show."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.quantify import Quantification
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lungs.lobes import LobeMap


@dataclass(frozen=True)
class Findings:
    """The results of the main job on one CT.

    Arrays have shape (z, y, x) on the grid of ``ct.array`` (canonical LPS axes).

    Attributes:
        ct: The CT in HU.
        lobes: The five lobes, and whether they are approximate.
        dram: float32, 0..1: the dRAM network's map; 0 outside the lobes.
        lesion: uint8, 1 lesion: :attr:`map` cut at :attr:`threshold`, but in lobes that a reader has steered.
        quantification: Per lobe, per lung and in total.
        record: What ``summary.json`` adds to the table: versions, model checksum, settings, seconds per stage,
            warnings. JSON values only.
        refined: float32, 0..1: the dRAM after attention and CRF; None where neither ran.
        probability: float32, 0..1: the final network's lesion probability; None where it did not make the mask.
        reading: What a reader said of the lobes, where the mask was steered by it.
        cuts: For each lobe the rank that a steered mask was cut at (see :mod:`DRAMLesionLib.lesions.steer`); None for a
            lobe that was not steered.
    """

    ct: Volume
    lobes: LobeMap
    dram: np.ndarray
    lesion: np.ndarray
    quantification: Quantification
    record: dict[str, Any] = field(default_factory=dict)
    refined: np.ndarray | None = None
    probability: np.ndarray | None = None
    reading: Reading | None = None
    cuts: tuple[float | None, ...] | None = None

    @property
    def map(self) -> np.ndarray:
        """float32 (z, y, x), 0..1: what the model's mask is cut from, shown as the heatmap.

        The final network's probability; by the method ``dram`` the refined dRAM, and without CRF and attention the dRAM.
        """
        if self.probability is not None:
            return self.probability
        return self.dram if self.refined is None else self.refined

    @property
    def threshold(self) -> float:
        """A voxel of :attr:`map` above it is lesion in the model's mask, 0..1; 0.5 where the record does not say."""
        settings = self.record.get("settings", {})
        return float(settings.get("segmentation", settings).get("threshold", 0.5))
