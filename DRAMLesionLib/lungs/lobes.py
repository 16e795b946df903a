"""The five lobes: what they are called everywhere, and where they come from for one CT.

Lobe maps are uint8, shape (z, y, x) on the CT's canonical grid, with the values of :data:`LOBES`, 0 outside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

TERMINOLOGY_CONTEXT = "Segmentation category and type - DRAMLesion"
"""The name of the terminology that ``terminologies/DRAMLesion.term.json`` adds to Slicer."""


@dataclass(frozen=True)
class Lobe:
    """One lobe of the lungs.

    Attributes:
        value: The lobe's value in label maps, 1..5 (also lungmask's LTRCLobes).
        abbreviation: For tables: ``LUL``.
        name: For people: ``left upper lobe``.
        side: The patient's ``left`` or ``right``.
        total_segmentator: TotalSegmentator's name of the structure.
        color: Red, green, blue, 0..255 (Okabe and Ito's palette, distinguishable for the colour-blind).
        terminology: Slicer's serialised terminology entry (SNOMED CT).
    """

    value: int
    abbreviation: str
    name: str
    side: str
    total_segmentator: str
    color: tuple[int, int, int]
    terminology: str


def _entry(kind: str, modifier: str) -> str:
    category = "SCT^123037004^Anatomical Structure"
    return f"{TERMINOLOGY_CONTEXT}~{category}~{kind}~{modifier}~~^^~^^"


_UPPER, _LOWER = "SCT^45653009^Upper lobe of lung", "SCT^90572001^Lower lobe of lung"
_MIDDLE = "SCT^72481006^Middle lobe of right lung"
_LEFT, _RIGHT = "SCT^7771000^Left", "SCT^24028007^Right"

LOBES: tuple[Lobe, ...] = (
    Lobe(1, "LUL", "left upper lobe", "left", "lung_upper_lobe_left", (86, 180, 233), _entry(_UPPER, _LEFT)),
    Lobe(2, "LLL", "left lower lobe", "left", "lung_lower_lobe_left", (213, 94, 0), _entry(_LOWER, _LEFT)),
    Lobe(
        3, "RUL", "right upper lobe", "right", "lung_upper_lobe_right", (240, 228, 66), _entry(_UPPER, _RIGHT)
    ),
    Lobe(
        4, "RML", "right middle lobe", "right", "lung_middle_lobe_right", (0, 158, 115), _entry(_MIDDLE, "^^")
    ),
    Lobe(
        5, "RLL", "right lower lobe", "right", "lung_lower_lobe_right", (230, 159, 0), _entry(_LOWER, _RIGHT)
    ),
)
"""The five lobes in the order of their values."""


@dataclass(frozen=True)
class LobeMap:
    """The lobes of one CT.

    Attributes:
        labels: uint8, shape (z, y, x) on the CT's canonical grid, values of :data:`LOBES`, 0 outside.
        approximate: True where no fissures were seen: the lungs were cut by planes.
        source: For people: ``lobes.nii.gz`` or ``built-in, fissures seen: ...``.
        warnings: What a reader of the results should know of them, one sentence each.
    """

    labels: np.ndarray
    approximate: bool
    source: str
    warnings: tuple[str, ...] = ()


def lobe_of(name: str, identifier: str = "", terminology: str = "") -> Lobe | None:
    """The lobe that a segment stands for, or None: by its name, else its identifier, else its terminology entry.

    Args:
        name: What people call it, see :func:`lobe_by_name`.
        identifier: The segment's ID, which tools often make of a name.
        terminology: Slicer's serialised entry, see :func:`lobe_by_terminology`.
    """
    return lobe_by_name(name) or lobe_by_name(identifier) or lobe_by_terminology(terminology)


def lobe_by_name(name: str) -> Lobe | None:
    """The lobe that a segment or file is named after, or None.

    Understands abbreviations (``LUL``, ``LUL 1``), TotalSegmentator's names (``lung_upper_lobe_left``), plain English
    ("Upper lobe of left lung", "upper left lung", "LeftUpperLobe") and the anatomists' ("superior lobe of left lung"), in
    any case, with any separators and numbers, with words that say no more than that it is a segment ("Left upper lobe
    segment"). A name with any other word is no lobe: "left upper lobe lesion", "superior segment of left lower lobe".
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    spoken = [_SPOKEN.get(word, word) for word in re.findall(r"[a-z]+", parted.lower())]
    if "lobe" in spoken:
        spoken = [_ANATOMISTS.get(word, word) for word in spoken]
    words = set(spoken) - _SAYING_NOTHING
    for lobe in LOBES:
        abbreviation, level = lobe.abbreviation.lower(), lobe.name.split()[1]
        own = {abbreviation, lobe.side, level}
        if words <= own and (abbreviation in words or {lobe.side, level} <= words):
            return lobe
    return None


_SPOKEN = {"lobes": "lobe", "lungs": "lung", "lt": "left", "rt": "right", "mid": "middle"}
_ANATOMISTS = {"superior": "upper", "inferior": "lower"}
"""What anatomists call the lobes; without the word "lobe" it names other structures, such as the superior vena cava."""
_SAYING_NOTHING = {"lung", "lobe", "of", "the", "pulmonary", "approximate"} | {
    "segment",
    "segmentation",
    "seg",
    "mask",
    "label",
    "labelmap",
}


def lobe_by_terminology(entry: str) -> Lobe | None:
    """The lobe that Slicer's serialised terminology entry stands for, by its SNOMED CT codes, or None."""
    parts = [field.split("^") for field in entry.split("~")]
    codes = [part[1] if len(part) == 3 and part[0] in ("SCT", "SNOMEDCT") else "" for part in parts]
    if len(codes) < 4:
        return None
    return _BY_CODES.get((codes[2], codes[3])) or _BY_CODES.get((codes[2], ""))


_BY_CODES = {
    ("45653009", "7771000"): LOBES[0],
    ("90572001", "7771000"): LOBES[1],
    ("45653009", "24028007"): LOBES[2],
    ("72481006", ""): LOBES[3],
    ("90572001", "24028007"): LOBES[4],
    # The codes that name lobe and side at once.
    ("44714003", ""): LOBES[0],
    ("41224006", ""): LOBES[1],
    ("42400003", ""): LOBES[2],
    ("266005", ""): LOBES[4],
}
"""(type, modifier) of SNOMED CT."""
