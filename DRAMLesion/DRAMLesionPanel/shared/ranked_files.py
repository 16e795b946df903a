"""Ranked lobes as files: the worker ranks them, and the panel cuts them."""

import json
from pathlib import Path

import numpy as np

from DRAMLesionLib.lesions.ranked_lobe import RankedLobe
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.text_file import read_json

RANKED = "ranked.json"
"""Says of each lobe what is no array; it is written after all arrays."""


def writeRanked(folder: Path, lobes: dict[int, RankedLobe]) -> None:
    """Write ranked lobes for the panel: arrays as they lie in memory, and :data:`RANKED`."""
    facts = {}
    for lobe, ranked in lobes.items():
        np.save(folder / f"ranks{lobe}.npy", ranked.ranks, allow_pickle=False)
        np.save(folder / f"values{lobe}.npy", ranked.values, allow_pickle=False)
        box = [[side.start, side.stop] for side in ranked.box]
        facts[str(lobe)] = {
            "box": box,
            "painted": ranked.painted,
            "count": ranked.count,
            "start": ranked.start,
        }
    (folder / RANKED).write_text(json.dumps(facts), encoding="utf-8")


def readRanked(folder: Path, labels: np.ndarray) -> dict[int, RankedLobe]:
    """Read what :func:`writeRanked` wrote; the arrays stay on the disk until they are used.

    Args:
        folder: The folder; it must stay.
        labels: uint8 (z, y, x): the lobes.

    Raises:
        InputError: A file is missing or damaged.
    """
    lobes = {}
    for name, facts in read_json(folder / RANKED, "ranked lobes", "steer again").items():
        z, y, x = (slice(*side) for side in facts["box"])
        try:
            ranks, values = (
                np.load(folder / f"{kind}{name}.npy", mmap_mode="r", allow_pickle=False)
                for kind in ("ranks", "values")
            )
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: can't be read ({error}): steer again") from error
        inside = labels[z, y, x] == int(name)
        lobes[int(name)] = RankedLobe(
            (z, y, x), inside, ranks, values, facts["painted"], facts["count"], facts["start"]
        )
    return lobes
