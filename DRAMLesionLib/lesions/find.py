"""The main job in memory: lobes, dRAM, refined dRAM, lesion mask and table of one CT."""

from typing import Any

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.amount import Amount, amounts_for_record, cut_at_amounts, lobe_amounts, ranges_of
from DRAMLesionLib.lesions.dram import predict_maps
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.mask import EDGE_MM, MAJORITY, segment_lesion, take_speckle_off, with_refined_dram
from DRAMLesionLib.lesions.networks.bundle import Model
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.quality import agreement_of, find_flags, flags_for_record
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lesions.refined_dram import refine_dram
from DRAMLesionLib.lesions.run_models import CaseModels
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.lungs.read_lobes import find_lobes
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import Stopwatch, versions


def find_lesions(
    ct: Volume,
    models: CaseModels | Model,
    options: Options | None = None,
    *,
    progress: Progress = silent,
    watch: Stopwatch | None = None,
) -> Findings:
    """Find lobes and lesions of a CT that is in memory: dRAM, refined dRAM, lesion mask and table.

    Args:
        ct: The CT in HU.
        models: The loaded models; a dRAM model alone makes the mask, too. They compute where they are.
        options: Here ``lobes``, ``crf`` and ``allow_missing_lobes`` count.
        progress: Told the stage and how much of it is done.
        watch: Takes the seconds of each stage.

    Returns:
        The findings; nothing is written.

    Raises:
        InputError: The lobes can't be used.
    """
    options, watch = options or Options(), watch or Stopwatch()
    with watch.stage("lobes"):
        missing = options.allow_missing_lobes
        lobe_map = find_lobes(ct, options.lobes, allow_missing=missing, progress=progress)
    return find_lesions_in(ct, lobe_map, models, crf=options.crf, progress=progress, watch=watch)


def find_lesions_in(
    ct: Volume,
    lobe_map: LobeMap,
    models: CaseModels | Model,
    *,
    crf: bool = True,
    progress: Progress = silent,
    watch: Stopwatch | None = None,
) -> Findings:
    """Find the lesions in lobes that are known, in memory.

    Args:
        ct: The CT in HU.
        lobe_map: Its lobes.
        models: The loaded models; a dRAM model alone makes the mask, too.
        crf: Sharpen the dRAM by the dense CRF.
        progress: Told the stage and how much of it is done.
        watch: Takes the seconds of each stage.

    Returns:
        The findings; nothing is written.
    """
    watch = watch or Stopwatch()
    models = models if isinstance(models, CaseModels) else CaseModels(models)
    device, notes = str(models.device), list[str]()
    how: dict[str, Any] = {"device": device, "progress": progress, "notes": notes}
    labels, wanted = lobe_map.labels, models.dram.description
    with watch.stage("dRAM"):
        maps = predict_maps(models.dram.network, wanted, ct.array, labels, ct.spacing_mm, **how)
    dram, refined = maps.dram, maps.attended
    if crf:
        with watch.stage("CRF"):
            progress("Refining the dRAM", 0.0)
            refined = refine_dram(maps.best, ct.array, ct.spacing_mm, labels, wanted)
    del maps  # the attended map is as large as the others, and of no more use
    amounts: dict[int, Amount] = {}
    agreement: float | None = None
    probability, cut, threshold = None, dram if refined is None else refined, wanted.threshold
    if models.final is not None:
        with watch.stage("final network"):
            final = models.final.description
            probability = predict_lesion(models.final.network, final, ct.array, labels, ct.spacing_mm, **how)
            agreement = agreement_of(probability > final.threshold, cut > wanted.threshold, ct.spacing_mm)
            if crf and refined is not None:
                probability = with_refined_dram(
                    probability, final.threshold, refined, wanted.threshold, final.dram_share
                )
            cut, threshold = probability, final.threshold
            if final.amount is not None:
                amounts = lobe_amounts(cut, ct.array, labels, ct.spacing_mm, final.amount)
                cut_at_amounts(cut, labels, threshold, amounts)
    settings = _settings(models, lobe_map.source, crf, device)
    if cut is not dram:  # the network's own map stays as it is
        with watch.stage("smooth"):
            take_speckle_off(cut, labels, threshold, ct.spacing_mm)
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


def _settings(models: CaseModels, lobes: str, crf: bool, device: str) -> dict[str, Any]:
    """For the record: method, device and the dRAM model's description; the final network's under ``segmentation``."""
    dram = models.dram.description.to_dict()
    settings = {"method": models.method, "lobes": lobes, "device": device, **dram}
    settings["crf"] = {"enabled": crf, **dram["crf"]}
    if models.final is not None:
        settings["segmentation"] = models.final.description.to_dict()
    return settings
