"""What the report says in words: whose CT, what a person did, what was true of a phantom, and with which settings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.images.volume import NEUTRAL_NAME
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.numbers import ABSENT
from DRAMLesionLib.results.table import ct_name, wanted_text

if TYPE_CHECKING:
    from DRAMLesionLib.images.volume import Volume
    from DRAMLesionLib.lesions.findings import Findings

_HASH = 12
"""Digits of a checksum that the report shows; ``summary.json`` has them all."""


def title_of(findings: Findings) -> str:
    """The report's name for a CT: the one that was given, else the file's, else a case number.

    A CT that was read from DICOM without ``--keep-identifiers`` has no name, and gets a number out of its voxels: the
    same CT has the same number in every report, and nobody finds a patient by it.
    """
    given = findings.record.get("name")
    if given:
        return str(given)
    if findings.ct.path is None and findings.ct.name == NEUTRAL_NAME:
        return f"Case {case_number(findings.ct)}"
    return ct_name(findings)


def case_number(ct: Volume) -> str:
    """Six digits out of every eighth voxel of a CT along each axis."""
    some = ct.array[::8, ::8, ::8]
    digest = hashlib.sha256(repr(ct.array.shape).encode() + some.tobytes()).digest()
    digits = f"{int.from_bytes(digest[:8], 'big') % 1_000_000:06d}"
    return f"{digits[:3]} {digits[3:]}"


def study_facts(findings: Findings) -> list[str]:
    """What stands beside the name: study date and slice thickness where they were asked for, and the slices' distance."""
    study = findings.record.get("study", {})
    facts = [f"study of {study['date']}"] if study.get("date") else []
    if study.get("slice_thickness_mm"):
        facts.append(f"slices {study['slice_thickness_mm']:g} mm thick")
    return [*facts, f"{findings.ct.array.shape[0]} slices, one every {findings.ct.spacing_mm[0]:.4g} mm"]


def by_person(findings: Findings) -> list[str]:
    """Sentences on what a person did to the segmentation: numbers that steered it, and strokes."""
    sentences = []
    if findings.reading:
        said = (
            f"{wanted_text(findings, lobe.abbreviation)} for the {lobe.name}" for lobe in _steered(findings)
        )
        sentences.append(
            f"{readers_of(findings)} gave {', '.join(said)}: there the map was cut so that the lobe has that "
            "percentage, or the nearest one with that score."
        )
    return [*sentences, *_strokes(findings.record.get("correction", {}))] or [
        "No numbers and no strokes are on record."
    ]


def _strokes(correction: Mapping[str, Any]) -> Iterator[str]:
    if not correction.get("painted_voxels"):
        return
    count, changed = correction.get("strokes", 1), correction.get("changed_voxels")
    said = "" if changed is None else f"; {changed} voxels of the segmentation changed"
    yield f"{count} stroke{'s' if count != 1 else ''} of {correction['painted_voxels']} voxels{said}."


def _steered(findings: Findings) -> Iterator[Any]:
    for lobe in LOBES:
        if wanted_text(findings, lobe.abbreviation):
            yield lobe


def readers_of(findings: Findings) -> str:
    """Who gave the numbers that steered the mask, for people; empty where it was not steered."""
    if not findings.reading:
        return ""
    return ", ".join(dict.fromkeys(filter(None, findings.reading.who))) or "A reader"


def truth_of(findings: Findings) -> dict[str, float]:
    """The true percentage of each lobe by its abbreviation, where the CT is a phantom that came with them; else empty."""
    return dict(findings.record.get("phantom", {}).get("true_percent", {}))


def details_of(findings: Findings) -> list[tuple[str, list[tuple[str, str]]]]:
    """The CT and the record as groups of name and value, known groups first, each only where the record has it."""
    ct, record = findings.ct, findings.record
    size = " × ".join(str(length) for length in ct.geometry.size)
    spacing = " × ".join(f"{length:.4g}" for length in ct.geometry.spacing)
    about_ct = [
        ("file", ct_name(findings)),
        ("size (x, y, z)", size),
        ("voxel mm (x, y, z)", spacing),
        ("lobes", findings.lobes.source),
    ]
    titles = {"model": "Model", "settings": "Settings", "versions": "Versions", "seconds": "Time"}
    told = ("warnings", "flags", "name", "study", "phantom", "ct_file")
    keys = [*titles, *(key for key in record if key not in titles and key not in told)]
    groups = [("CT", about_ct)]
    for key in keys:
        value = record.get(key)
        if value is None or value == {} or value == []:
            continue
        unit = " s" if key == "seconds" else ""
        groups.append((titles.get(key, _words(key)), list(_rows(value, unit))))
    return groups


def _rows(value: Any, unit: str, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return [(prefix, _text(value) + (unit if isinstance(value, int | float) else ""))]
    rows = []
    for key, inner in value.items():
        if key == "checksum" and isinstance(inner, str):
            kind, colon, digits = inner.rpartition(":")
            inner = f"{kind}{colon}{digits[:_HASH]}"
        rows += _rows(inner, unit, f"{prefix} {_words(str(key))}".strip())
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value)
    return ABSENT if value is None else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")
