"""What the built-in lobes cost: a final network's mask in given lobes and in built-in ones.

    python Testing/benchmarks/built_in_lobes.py LIST.json --model BUNDLE

LIST.json is a data list whose scans have the experts' masks as ``label``, as ``study`` takes. The masks are cut as
``study`` and ``segment`` do. In given lobes they are compared with the expert's mask inside those, as in ``study``; in
built-in ones with the whole of it. *kept*: the part of the lesion in given lobes that is in built-in ones, too. BUNDLE
must not have learned from the scans that test it; ``DRAMLESION_LUNGS=BUNDLE`` takes other built-in lungs.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from DRAMLesionLib.images.volume import read_on_grid
from DRAMLesionLib.lesions.mask import segment_lesion, take_speckle_off
from DRAMLesionLib.lungs.read_lobes import find_lobes
from DRAMLesionLib.system.progress import silent
from DRAMLesionLib.training.data.datalist import read_datalist
from DRAMLesionLib.training.evaluation.masks import score_masks
from DRAMLesionLib.training.evaluation.study import load_scans
from DRAMLesionLib.training.evaluation.study_masks import LoadedScan, lesion_map, load_row_model

COLUMNS = ("given lobes: IoU", "built-in lobes: IoU", "kept")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, metavar="LIST.json")
    parser.add_argument("--model", type=Path, required=True, help="a final network's bundle")
    given = parser.parse_args()
    model = load_row_model("final", given.model)
    rows: dict[str, list[list[float]]] = {}
    print(f"{'':24}" + "".join(f"{name:>22}" for name in COLUMNS))
    for one in load_scans(read_datalist(given.data), silent):
        values = scores(model, one)
        rows.setdefault(one.part, []).append(values)
        print_row(f"{one.scan.name} ({one.part})", values)
    for part, values_of_part in rows.items():
        print_row(f"mean, {part}", np.mean(values_of_part, axis=0))


def scores(model: Any, one: LoadedScan) -> list[float]:
    """IoU in given lobes, IoU in built-in ones, and the part of the lesion that is inside the built-in lungs."""
    whole = (read_on_grid(one.scan.label, one.ct, "label") != 0).astype(np.uint8)
    built_in = replace(one, lobes=find_lobes(one.ct, allow_missing=True).labels)
    return [
        score_masks(mask_of(model, one), one.expert, one.lobes, name=one.scan.name).iou,
        score_masks(mask_of(model, built_in), whole, None, name=one.scan.name).iou,
        float(np.mean(built_in.lobes[one.expert > 0] > 0)) if one.expert.any() else float("nan"),
    ]


def mask_of(model: Any, one: LoadedScan) -> np.ndarray:
    """The network's mask in the scan's lobes; uint8 (z, y, x)."""
    values, cut = lesion_map("final", model, one, "cpu"), float(model.description.threshold)
    take_speckle_off(values, one.lobes, cut, one.ct.spacing_mm)
    return segment_lesion(values, one.lobes, cut)


def print_row(title: str, values: Sequence[float] | np.ndarray) -> None:
    print(f"{title:24}" + "".join(f"{value:22.4f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
