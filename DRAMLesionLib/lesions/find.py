"""The main job in memory: lobes, dRAM, refined dRAM, lesion mask and table of one CT."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from DRAMLesionLib.images.box import copy_on_demand
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.amount import Amount, amounts_for_record, cut_at_amounts, lobe_amounts, ranges_of
from DRAMLesionLib.lesions.dram import predict_maps
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.lung_grid import LungGrid, lung_grid, same_grid
from DRAMLesionLib.lesions.mask import EDGE_MM, MAJORITY, segment_lesion, take_speckle_off, with_refined_dram
from DRAMLesionLib.lesions.networks.bundle import Model
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.quality import agreement_of, find_flags, flags_for_record
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lesions.refined_dram import refine_dram
from DRAMLesionLib.lesions.run_models import CaseModels
from DRAMLesionLib.lesions.whole_lungs.percents import lobe_percents
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.lungs.read_lobes import find_lobes
from DRAMLesionLib.system.allocation import give_freed_memory_back
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import Stopwatch, versions

Outline = Callable[[np.ndarray], None]


Known = Callable[[Findings], None]


def unseen(mask: np.ndarray) -> None:
    """Nobody waits for the mask."""


def unused(findings: Findings) -> None:
    """Nobody goes on before all is known."""


def find_lesions(
    ct: Volume,
    models: CaseModels | Model,
    options: Options | None = None,
    *,
    progress: Progress = silent,
    watch: Stopwatch | None = None,
    outline: Outline = unseen,
    known: Known = unused,
    beside: bool = True,
) -> Findings:
    """Find lobes and lesions of a CT that is in memory: dRAM, refined dRAM, lesion mask and table.

    Args:
        ct: The CT in HU.
        models: The loaded models; a dRAM model alone makes the mask, too. They compute where they are.
        options: Here ``lobes``, ``crf`` and ``allow_missing_lobes`` count.
        progress: Told the stage and how much of it is done.
        watch: Takes the seconds of each stage.
        outline: Called with the mask (uint8 (z, y, x), 1 lesion) as soon as it is known, before the lesion map where
            the mask does not depend on it.
        known: Called then with what is known: the findings as they will be, but for the lesion map (the map that the mask
            was cut from is there as ``dram``), what is counted of it, and the record.
        beside: False: ``known`` is called after the CRF, whose memory whoever goes on would need.

    Returns:
        The findings; nothing is written.

    Raises:
        InputError: The lobes can't be used.
    """
    options, watch = options or Options(), watch or Stopwatch()
    with watch.stage("lobes"):
        missing = options.allow_missing_lobes
        lobe_map = find_lobes(ct, options.lobes, allow_missing=missing, progress=progress)
        lobe_map = replace(lobe_map, labels=copy_on_demand(lobe_map.labels))
    how: dict[str, Any] = {"progress": progress, "watch": watch, "outline": outline, "known": known}
    how["beside"] = beside
    return find_lesions_in(ct, lobe_map, models, crf=options.crf, **how)


def find_lesions_in(
    ct: Volume,
    lobe_map: LobeMap,
    models: CaseModels | Model,
    *,
    crf: bool = True,
    progress: Progress = silent,
    watch: Stopwatch | None = None,
    outline: Outline = unseen,
    known: Known = unused,
    beside: bool = True,
) -> Findings:
    """Find the lesions in lobes that are known, in memory.

    Args:
        ct: The CT in HU.
        lobe_map: Its lobes.
        models: The loaded models; a dRAM model alone makes the mask, too.
        crf: Sharpen the dRAM by the dense CRF.
        progress: Told the stage and how much of it is done.
        watch: Takes the seconds of each stage.
        outline: See :func:`find_lesions`.
        known: See :func:`find_lesions`.
        beside: See :func:`find_lesions`.

    Returns:
        The findings; nothing is written.
    """
    watch = watch or Stopwatch()
    models = models if isinstance(models, CaseModels) else CaseModels(models)
    device, notes = str(models.device), list[str]()
    how: dict[str, Any] = {"device": device, "progress": progress, "notes": notes}
    labels, wanted = lobe_map.labels, models.dram.description
    final = None if models.final is None else models.final.description
    given = (ct.array, labels, ct.spacing_mm)
    grid = lung_grid(*given, wanted) if labels.any() else None
    amounts: dict[int, Amount] = {}
    probability = own = whole = early = None
    give_freed_memory_back()  # what finding the lobes took, before the networks take theirs
    if models.final is not None and final is not None:
        with watch.stage("final network"):
            its_grid = grid if same_grid(final.preparation, wanted) else None
            probability, whole = _final_map(models, final, ct, labels, its_grid, how)
            own = segment_lesion(probability, labels, final.threshold)
        give_freed_memory_back()
    # The mask first where it does not wait for the map: somebody may be looking.
    map_counts = final is None or (crf and final.dram_share > 0)
    if final is not None and probability is not None and not map_counts:
        with watch.stage("smooth"):
            amounts = _make_cut(probability, ct, labels, models, whole)
            lesion = segment_lesion(probability, labels, final.threshold)
            outline(lesion)
            if known is not unused:
                table = quantify(ct.array, lobe_map, lesion, ct.spacing_mm).with_ranges(ranges_of(amounts))
                early = Findings(ct, lobe_map, probability, lesion, table)
            del lesion
    if early is not None and beside:
        known(early)
    give_freed_memory_back()
    with watch.stage("dRAM"):
        maps = predict_maps(models.dram.network, wanted, *given, grid=grid, **how)
    refined: np.ndarray | None
    give_freed_memory_back()
    if crf:
        with watch.stage("CRF"):
            progress("Refining the dRAM", 0.0)
            # Each map is as large as the CT and more: of the attended one no more is made than is refined at a time.
            refined = refine_dram(maps.best_by_parts, ct.array, ct.spacing_mm, labels, wanted)
    else:
        refined = maps.attended
    give_freed_memory_back()
    if early is not None and not beside:
        known(early)
    del early
    dram = maps.dram
    cut, threshold = dram if refined is None else refined, wanted.threshold
    agreement = None
    if own is not None:
        its = segment_lesion(cut, labels, threshold)
        agreement = agreement_of(own.view(np.bool_), its.view(np.bool_), ct.spacing_mm)
        del own, its
        give_freed_memory_back()
    if final is not None and probability is not None:
        if map_counts and refined is not None:
            probability = with_refined_dram(
                probability, final.threshold, refined, wanted.threshold, final.dram_share
            )
        cut, threshold = probability, final.threshold
    settings = _settings(models, lobe_map.source, crf, device)
    if cut is not dram:  # the network's own map stays as it is
        if map_counts:
            with watch.stage("smooth"):
                amounts = _make_cut(cut, ct, labels, models, whole)
        settings["smoothing"] = {"gaussian_mm": EDGE_MM, "majority": MAJORITY}
    with watch.stage("quantify"):
        lesion = segment_lesion(cut, labels, threshold)
        table = quantify(ct.array, lobe_map, lesion, ct.spacing_mm, dram).with_ranges(ranges_of(amounts))
    record: dict[str, Any] = {
        **models.facts(),
        "settings": settings,
        "versions": versions(),
        "seconds": watch.seconds,
        "warnings": [*ct.warnings, *lobe_map.warnings, *notes],
        "flags": flags_for_record(find_flags(ct, lobe_map, table, agreement, amounts)),
    }
    if amounts:
        record["amounts"] = amounts_for_record(amounts)
    return Findings(ct, lobe_map, dram, lesion, table, record, refined, probability)


def _final_map(
    models: CaseModels,
    final: SegmentationDescription,
    ct: Volume,
    labels: np.ndarray,
    grid: LungGrid | None,
    how: dict[str, Any],
) -> tuple[np.ndarray, dict[int, float] | None]:
    """The final network's map, and what the network that sees both lungs says of each lobe, percent; None without one."""
    assert models.final is not None
    whole: dict[int, float] = {}

    def look(lungs: LungGrid, its_map: np.ndarray) -> None:
        assert models.amounts is not None
        whole.update(lobe_percents(models.amounts.network, lungs.image, lungs.labels, its_map))

    probability = predict_lesion(
        models.final.network,
        final,
        ct.array,
        labels,
        ct.spacing_mm,
        grid=grid,
        seen=None if models.amounts is None else look,
        **how,
    )
    return probability, None if models.amounts is None else whole


def _make_cut(
    lesion_map: np.ndarray,
    ct: Volume,
    labels: np.ndarray,
    models: CaseModels,
    whole: dict[int, float] | None,
) -> dict[int, Amount]:
    """Change a map, in place, so that its threshold gives the mask: each lobe's amount, no speckle."""
    amounts: dict[int, Amount] = {}
    final, threshold = models.final, models.dram.description.threshold
    if final is not None:
        threshold, settings = final.description.threshold, final.description.amount
        if settings is not None:
            amounts = lobe_amounts(lesion_map, ct.array, labels, ct.spacing_mm, settings, whole)
            cut_at_amounts(lesion_map, labels, threshold, amounts)
    take_speckle_off(lesion_map, labels, threshold, ct.spacing_mm)
    return amounts


def _settings(models: CaseModels, lobes: str, crf: bool, device: str) -> dict[str, Any]:
    """For the record: method, device and the dRAM model's description; the final network's under ``segmentation``."""
    dram = models.dram.description.to_dict()
    settings = {"method": models.method, "lobes": lobes, "device": device, **dram}
    settings["crf"] = {"enabled": crf, **dram["crf"]}
    if models.final is not None:
        settings["segmentation"] = models.final.description.to_dict()
    return settings
