"""Lobes that no person has: sides exchanged, upper below lower, a middle lobe behind the lower one.

Such lobes come from a header that is upside down or mirrored, or from labels in another order. What is refused lies far
from what is seen: on six chest CTs the mean heights of upper and lower lobe differ by 0.37 to 0.41 of the lungs' height
on the left and by 0.39 to 0.52 on the right. Lobes that are absent, or small beside the lungs, are not judged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from DRAMLesionLib.lungs.lobes import LOBES, Lobe
from DRAMLesionLib.system.errors import InputError

WRONG_WAY = 0.1
"""Two lobes are refused when their mean places are the wrong way round by this part of the lungs' extent."""
SMALL = 0.02
"""A lobe with less than this part of the lobes' voxels is not judged: a rest after surgery may lie anywhere."""
_Z, _Y, _X = 0, 1, 2


def refuse_impossible(path: Path | str, labels: np.ndarray) -> None:
    """Refuse lobes whose places in the chest are impossible.

    Args:
        path: What to name in errors: their file, or the name of a node.
        labels: uint8, shape (z, y, x), canonical axes, the values of :data:`~DRAMLesionLib.lungs.lobes.LOBES`.

    Raises:
        InputError: A left lobe lies to the right of a right one, an upper lobe below the lower or the middle one, or the
            middle lobe behind the lower one.
    """
    sums = [_profiles(labels == lobe.value) for lobe in LOBES]
    total = sum(float(profile[_Z].sum()) for profile in sums)
    if not total:
        return
    spans = [_span(np.sum([profile[axis] for profile in sums], axis=0)) for axis in range(3)]
    middles = {
        lobe: tuple(_middle(profile[axis]) / spans[axis] for axis in range(3))
        for lobe, profile in zip(LOBES, sums, strict=True)
        if profile[_Z].sum() > SMALL * total
    }
    _refuse_mirrored(path, middles)
    lul, lll, rul, rml, rll = LOBES
    for upper, lower in ((lul, lll), (rul, rll), (rul, rml)):
        if upper in middles and lower in middles and middles[lower][_Z] - middles[upper][_Z] > WRONG_WAY:
            raise InputError(
                f"{path}: its {upper.name} lies below its {lower.name}: its header is upside down, or its labels have "
                f"another order than {_order()}: make the lobes again from this CT"
            )
    if rml in middles and rll in middles and middles[rml][_Y] - middles[rll][_Y] > WRONG_WAY:
        raise InputError(
            f"{path}: its {rml.name} lies behind its {rll.name}: its labels have another order than {_order()}, or its "
            "header is turned: make the lobes again from this CT"
        )


def _refuse_mirrored(path: Path | str, middles: dict[Lobe, tuple[float, ...]]) -> None:
    """Each left lobe lies to the patient's left of each right one, whatever the person."""
    for left in (lobe for lobe in middles if lobe.side == "left"):
        for right in (lobe for lobe in middles if lobe.side == "right"):
            if middles[right][_X] - middles[left][_X] > WRONG_WAY:
                raise InputError(
                    f"{path}: its {left.name} lies to the right of its {right.name}: its header or its names are "
                    f"mirrored, or its labels have another order than {_order()}: make the lobes again from this CT"
                )


def _order() -> str:
    return ", ".join(f"{lobe.value} {lobe.abbreviation}" for lobe in LOBES)


def _profiles(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many voxels are set in each plane across z, y and x."""
    flat = mask.sum(axis=_Z)
    return mask.sum(axis=(_Y, _X)), flat.sum(axis=1), flat.sum(axis=0)


def _middle(profile: np.ndarray) -> float:
    """The mean index."""
    return float(profile @ np.arange(profile.size) / profile.sum())


def _span(profile: np.ndarray) -> int:
    """How many planes lie between the first and the last that hold something, both counted."""
    return int(np.ptp(np.flatnonzero(profile))) + 1
