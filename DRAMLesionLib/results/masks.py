"""Lobes, lesion and table of a folder of results, without its maps, which are as large as the CT."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.quality import Flag, flags_of
from DRAMLesionLib.lesions.quantify import Quantification, quantify
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.results.folder import (
    LESION,
    LOBE_LABELS,
    SUMMARY,
    _check_means,
    _labels,
    _ranges,
    _read_summary,
)
from DRAMLesionLib.results.table import made_by
from DRAMLesionLib.system.errors import InputError


@dataclass(frozen=True, eq=False)
class Masks:
    """What a folder of results says without its maps.

    Attributes:
        lobes: The lobes.
        lesion: uint8 (z, y, x), 1 lesion.
        quantification: Counted anew from CT, lobes and lesion, with the ranges of the summary.
        ct_name: For people: what the CT is called.
        flags: What should be looked at in these results.
        made_by: What decides how large a mask is, by name: method, models, lobes, whether a reader steered.
    """

    lobes: LobeMap
    lesion: np.ndarray
    quantification: Quantification
    ct_name: str
    flags: tuple[Flag, ...]
    made_by: dict[str, str]


def read_masks(folder: str | Path, ct: Volume) -> Masks:
    """Read lobes, lesion and table of the results of a CT, without the maps.

    Args:
        folder: What ``segment`` wrote.
        ct: The CT that the results were made from, on the same grid.

    Raises:
        InputError: A result is missing or damaged, or lies on another grid than the CT, or is another CT's.
    """
    folder = Path(folder)
    summary = _read_summary(folder / SUMMARY)
    known, record = summary["lobes"], summary["record"]
    labels = _labels(folder / LOBE_LABELS, ct, "lobes", len(LOBES))
    lobes = LobeMap(labels, bool(known["approximate"]), str(known["source"]))
    lesion = _labels(folder / LESION, ct, "lesion mask", 1)
    measured = quantify(ct.array, lobes, lesion, ct.spacing_mm).with_ranges(_ranges(summary))
    _check_means(folder / SUMMARY, summary, ct.name, measured)
    try:
        flags = flags_of(record)
    except TypeError as error:
        raise InputError(f"{folder / SUMMARY}: its flags are damaged: segment the CT again") from error
    return Masks(lobes, lesion, measured, str(summary.get("ct", ct.name)), flags, made_by(summary, lobes))
