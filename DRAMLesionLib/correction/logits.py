"""The logits of a correction session: those of the map, in the steps of an int8, whose sign is the label.

One byte per voxel: differences of logits are small, exact, and quick to store and to take back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from DRAMLesionLib.correction.propagation import LESION, NOT_LESION
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError

if TYPE_CHECKING:
    from DRAMLesionLib.images.volume import Volume

LIMIT = 6.0
"""Logits are clipped to this (logit units): a map that is sure of itself must still give way to a stroke."""
STEP = LIMIT / 127

LUNG = np.zeros(256, np.uint8)
"""From a lobe's value to 1 left lung, 2 right lung, 0 outside."""
for _lobe in LOBES:
    LUNG[_lobe.value] = 1 if _lobe.side == "left" else 2


def check_inputs(
    hu: np.ndarray, lobes: np.ndarray, spacing_mm: Any, threshold: float, ct: Volume | None
) -> None:
    """Refuse a CT and lobes that can't be corrected on.

    Raises:
        InputError: Shapes that differ, HU or spacing that are not finite, lobes other than 0..5, or a bad threshold.
    """
    if hu.ndim != 3 or not hu.size:
        raise InputError(f"hu: has shape {hu.shape}: give one 3-D volume (z, y, x)")
    if lobes.shape != hu.shape:
        raise InputError(f"lobes: shape {lobes.shape}, the CT has {hu.shape}: give lobes made from this CT")
    if ct is not None and ct.array.shape != hu.shape:
        raise InputError(f"ct: shape {ct.array.shape}, hu has {hu.shape}: give the volume that hu came from")
    if not np.issubdtype(hu.dtype, np.integer) and not np.isfinite(hu).all():
        raise InputError("hu: has NaN or infinite values: replace them (air is -1000 HU)")
    if not (lobes.min() >= 0 and lobes.max() <= len(LOBES)):
        raise InputError(
            f"lobes: values {lobes.min()}..{lobes.max()}: give 0 outside and 1 to {len(LOBES)} for the lobes"
        )
    try:
        lengths = [float(length) for length in spacing_mm]
    except (TypeError, ValueError):
        lengths = []
    if len(lengths) != 3 or not all(math.isfinite(length) and length > 0 for length in lengths):
        raise InputError(f"spacing_mm: {spacing_mm!r}: give three lengths in mm, (z, y, x)")
    if not 0 < threshold < 1:
        raise InputError(f"threshold: {threshold}: give one between 0 and 1")


def check_probability(probability: np.ndarray, lobes: np.ndarray) -> None:
    """Refuse a map that isn't one.

    Raises:
        InputError: A shape other than the lobes', NaN, or values outside 0..1.
    """
    if probability.shape != lobes.shape:
        raise InputError(
            f"probability: shape {probability.shape}, the CT has {lobes.shape}: give a map made from this CT"
        )
    low, high = float(probability.min()), float(probability.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        what = "has NaN" if math.isnan(low + high) else f"has values {low:.8g}..{high:.8g}"
        raise InputError(f"probability: {what}: give fractions 0..1 (divide percentages by 100)")


def start_logits(
    probability: np.ndarray, lobes: np.ndarray, threshold: float, label: np.ndarray | None
) -> np.ndarray:
    """The logits that a map gives.

    Args:
        probability: float (z, y, x), 0..1; it counts inside the lobes alone.
        lobes: uint8 (z, y, x).
        threshold: The map's; a voxel above it is lesion.
        label: (z, y, x), 1 lesion, or None. Where it contradicts the map the logits is as weak as can be on its side.

    Returns:
        int8 (z, y, x), above 0 where the label is 1.

    Raises:
        InputError: Shapes that differ, NaN, values outside 0..1, or labels other than 0 and 1.
    """
    probability = np.asarray(probability)
    check_probability(probability, lobes)
    logits = np.full(lobes.shape, -127, np.int8)
    for z in range(lobes.shape[0]):  # by planes, since float copies of a scan may fill the memory
        inside = lobes[z] != 0
        if not inside.any():
            continue
        given = probability[z][inside]
        values = given.astype(np.float32)
        with np.errstate(divide="ignore"):
            from_map = to_steps(np.log(values) - np.log1p(-values) - logit(threshold))
        # The quotient may round across the threshold; the map's own comparison decides.
        logits[z][inside] = sided(from_map, given > threshold)
    return logits if label is None else _with_label(logits, label)


def _with_label(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    label = np.asarray(label)
    if label.shape != logits.shape:
        raise InputError(f"label: shape {label.shape}, the CT has {logits.shape}: give it on the CT's grid")
    whole = label.dtype.kind in "biu"  # a look at the ends is enough then, and ten times as fast
    if not (label.min() >= 0 and label.max() <= 1) or not (whole or np.isin(label, (0, 1)).all()):
        raise InputError("label: other values than 0 and 1: give 1 for lesion")
    for plane, lesion in zip(logits, label, strict=True):
        plane[...] = sided(plane, lesion > 0)
    return logits


def sided(logits: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Logits on the side that a label asks for: where they contradict it, as weak as can be.

    Args:
        logits: int8 steps.
        positive: bool, the shape of the logits: where they must lie above 0.
    """
    return np.where(positive, np.maximum(logits, 1), np.minimum(logits, 0)).astype(np.int8)


def to_steps(logits: np.ndarray) -> np.ndarray:
    """int8 steps of logits; what is above 0 stays above 0."""
    scaled = np.clip(logits / np.float32(STEP), -127, 127)
    return np.where(scaled > 0, np.maximum(np.rint(scaled), 1), np.minimum(np.rint(scaled), 0)).astype(
        np.int8
    )


def update_steps(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The steps of new logits; where they moved by less than half a step the old ones stay."""
    moved = np.abs(new - old * np.float32(STEP)) >= STEP / 2
    return np.where(moved, to_steps(new), old)


def logit(probability: float) -> float:
    """log(p / (1 - p))."""
    return math.log(probability / (1 - probability))


def to_label(logits: np.ndarray, edits: np.ndarray) -> np.ndarray:
    """uint8, 1 lesion: the logits' sign, where nothing was painted; painted voxels always win."""
    return (((logits > 0) & (edits != NOT_LESION)) | (edits == LESION)).astype(np.uint8)


def to_probability(logits: np.ndarray, edits: np.ndarray, lobes: np.ndarray, threshold: float) -> np.ndarray:
    """float32 (z, y, x), 0..1: the map that logits and edits stand for, 0 outside the lobes."""
    steps = np.arange(-128, 128) * STEP + logit(threshold)
    table = (1 / (1 + np.exp(-steps))).astype(np.float32)
    shown = table[logits.astype(np.int16) + 128]
    shown[(lobes == 0) & (logits <= 0)] = 0.0
    shown[edits == LESION] = 1.0
    shown[edits == NOT_LESION] = 0.0
    return shown
