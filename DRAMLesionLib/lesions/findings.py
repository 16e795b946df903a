"""What one CT gave: everything that reports, scenes and the panel show."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.quantify import Quantification, quantify
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


def pack(findings: Findings, path: str | Path) -> None:
    """Write findings into a new folder, for the scene's process to :func:`unpack`: plain arrays, without checksums.

    The refined map and the probability stay out: no scene shows them, and they are as large as the CT.
    """
    ct = findings.ct
    words = {
        "spacing_mm": ct.spacing_mm,
        "geometry": asdict(ct.geometry),
        "name": ct.name,
        "path": str(ct.path) if ct.path else None,
        "warnings": ct.warnings,
        "approximate": findings.lobes.approximate,
        "source": findings.lobes.source,
        "record": findings.record,
    }
    arrays = {
        "hu": ct.array,
        "lobes": findings.lobes.labels,
        "dram": findings.dram,
        "lesion": findings.lesion,
        "words": np.frombuffer(json.dumps(words).encode(), np.uint8),
    }
    folder = Path(path)
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def unpack(path: str | Path) -> Findings:
    """Take what :func:`pack` wrote as it lies on the disk; the files stay as they are. Nothing in them is executed."""
    arrays = {
        file.stem: np.load(file, mmap_mode="c", allow_pickle=False) for file in Path(path).glob("*.npy")
    }
    words = json.loads(arrays["words"].tobytes())
    geometry = Geometry(**{key: tuple(value) for key, value in words["geometry"].items()})
    spacing_mm = tuple(words["spacing_mm"])
    where = Path(words["path"]) if words["path"] else None
    ct = Volume(arrays["hu"], spacing_mm, geometry, words["name"], where, tuple(words["warnings"]))
    lobes = LobeMap(arrays["lobes"], words["approximate"], words["source"])
    table = quantify(ct.array, lobes, arrays["lesion"], spacing_mm, arrays["dram"])
    return Findings(ct, lobes, arrays["dram"], arrays["lesion"], table, words["record"])
