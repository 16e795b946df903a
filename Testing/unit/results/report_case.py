"""A small case for tests of the report."""

from pathlib import Path

import numpy as np

from DRAMLesionLib.images.volume import Geometry, Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap

SHAPE = (20, 40, 50)

SPACING = (5.0, 2.0, 2.0)

RECORD = {
    "model": {"name": "tiny", "version": "1.2.3", "checksum": "sha256:0123abcd"},
    "settings": {"threshold": 0.5, "crf": {"iterations": 5, "enabled": False}, "spacing_mm": [2.5, 2.5, 2.5]},
    "versions": {"numpy": "2.0"},
    "seconds": {"read": 1.5, "total": 12.25},
    "warnings": ["slices 4 and 5 are missing"],
    "host": {"cores": 2},
}


def make_findings(
    *,
    approximate: bool = True,
    name: str = "case1.nii.gz",
    lesion_box: tuple[slice, ...] | None = (slice(4, 16), slice(6, 14), slice(6, 14)),
    record: dict | None = None,
    source: str = "built-in planes",
) -> Findings:
    """Two block lungs in soft tissue; by default one lesion, anterior in the patient's right lung."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2:11, 5:35, 5:23], labels[11:18, 5:35, 5:23] = 5, 3
    labels[2:11, 5:35, 27:45], labels[11:18, 5:35, 27:45] = 2, 1
    labels[2:11, 5:20, 5:23] = 4
    hu = np.where(labels > 0, -850, 40).astype(np.int16)
    lesion = np.zeros(SHAPE, dtype=np.uint8)
    if lesion_box is not None:
        lesion[lesion_box] = 1
        hu[lesion_box] = -500
    dram = lesion.astype(np.float32) * 0.9
    geometry = Geometry((50, 40, 20), (2.0, 2.0, 5.0), (0.0, 0.0, -30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    ct = Volume(hu, SPACING, geometry, "case1", Path("/secret/folder") / name, ("uneven slices",))
    lobes = LobeMap(labels, approximate, source)
    measured = quantify(hu, lobes, lesion, SPACING, dram)
    return Findings(ct, lobes, dram, lesion, measured, RECORD if record is None else record)
