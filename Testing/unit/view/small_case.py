"""A small case in a folder, as segment would write it: two block lungs, and a map that falls off around one lesion."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.volume import Geometry, Volume, read_ct, write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results.folder import write_findings

SHAPE, SPACING = (24, 60, 80), (5.0, 3.0, 3.0)
CENTRE = (13, 30, 20)
"""Voxel (z, y, x) in the middle of the lesion, in the right upper lobe."""
FREE = (13, 30, 60)
"""Voxel in the middle of the left upper lobe, far from any lesion."""
RECORD = {"model": {"name": "tiny"}, "settings": {"threshold": 0.5}, "seconds": {}, "warnings": []}

HOLDING = """
import sys, time
from pathlib import Path
from DRAMLesionLib.correction.segment.hold import Hold
Hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held_by_another(folder: Path) -> Iterator[int]:
    """Another process has the folder open in the block; gives that process's number."""
    other = subprocess.Popen([sys.executable, "-c", HOLDING, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        yield other.pid
    finally:
        other.kill()
        other.communicate(timeout=60)


def make_case(folder: Path, name: str = "thorax") -> Path:
    """Write CT and results; returns the results' folder."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:12, 8:52, 6:36], labels[12:22, 8:52, 6:36] = 5, 3
    labels[2:12, 8:52, 44:74], labels[12:22, 8:52, 44:74] = 2, 1
    labels[2:12, 8:24, 6:36] = 4
    z, y, x = (index - middle for index, middle in zip(np.indices(SHAPE), CENTRE, strict=True))
    far = np.sqrt((z * 5.0) ** 2 + (y * 3.0) ** 2 + (x * 3.0) ** 2)
    dram = np.where(labels > 0, np.clip(1.0 - far / 36.0, 0, 1), 0).astype(np.float32)
    noise = ndimage.gaussian_filter(np.random.default_rng(5).normal(0, 60, SHAPE), 0.7)
    hu = np.where(labels > 0, -850, 40) + noise
    hu = np.where(dram > 0.5, -500 + noise, hu).astype(np.int16)
    hu[13, 24:37, 53:68] = -480  # haze that the map does not see, about FREE
    # Canonical axes are LPS: x toward the patient's left, y posterior, z superior.
    geometry = Geometry(SHAPE[::-1], SPACING[::-1], (-120.0, -90.0, -60.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    path = folder / f"{name}.nii.gz"
    write_volume(hu, Volume(hu, SPACING, geometry, name), path)
    ct = read_ct(path)
    lobes = LobeMap(labels, True, "blocks")
    lesion = (dram > 0.5).astype(np.uint8)
    table = quantify(ct.array, lobes, lesion, ct.spacing_mm, dram)
    results = folder / f"{name}_results"
    write_findings(Findings(ct, lobes, dram, lesion, table, dict(RECORD)), results, with_scene=False)
    return results


def make_batch(folder: Path) -> Path:
    """Write a batch of the cases ``a`` and ``b``, of which ``b`` has a flag; returns the batch's folder."""
    import json

    from DRAMLesionLib.batch.tables import write_volumes
    from DRAMLesionLib.batch.work import CASES

    out = folder / "batch"
    (out / CASES).mkdir(parents=True)
    for name in ("a", "b"):
        results = make_case(folder, name)
        target = out / CASES / name
        results.rename(target)
        summary = json.loads((target / "summary.json").read_text())
        summary["record"]["ct_file"] = f"../../../{name}.nii.gz"
        if name == "b":
            flag = {"code": "lungs-cut-below", "sentence": "The lungs are cut off", "remedy": "look at them"}
            summary["flags"] = summary["record"]["flags"] = [flag]
            table = (target / "lobes.csv").read_text().splitlines()
            (target / "lobes.csv").write_text(
                "\n".join([table[0], *(f"{row}{flag['code']}" for row in table[1:])])
            )
        (target / "summary.json").write_text(json.dumps(summary))
    write_volumes(out, ["a", "b"])
    return out
