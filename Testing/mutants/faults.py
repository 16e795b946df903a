"""Small faults, each of which a test has to notice: what is put into the code in place of what, and who should see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A change of one place in the code.

    Attributes:
        name: What is then wrong.
        file: The file, from the repository's root.
        before: The text that is there, once.
        after: The text that is put there.
        tests: The test file, or test, that has to fail.
    """

    name: str
    file: str
    before: str
    after: str
    tests: str


LIB, UNIT = "DRAMLesionLib", "Testing/unit"

FAULTS = (
    # --- what an audit put in unseen -------------------------------------------------------------------------------
    Fault(
        "the CRF is left out of segment",
        f"{LIB}/lesions/find.py",
        "            refined = refine_dram(maps.best, ct.array, ct.spacing_mm, labels, wanted)\n",
        "            refined = maps.best.copy()\n",
        f"{UNIT}/lesions/test_find.py",
    ),
    Fault(
        "the CRF is left out of pseudo-label",
        f"{LIB}/training/data/pseudo_labels.py",
        "        dram = refine_dram(dram, ct.array, ct.spacing_mm, lobes, wanted)\n",
        "        dram = dram.copy()\n",
        f"{UNIT}/training/data/test_pseudo_labels.py",
    ),
    Fault(
        "the CRF is left out of study",
        f"{LIB}/training/evaluation/study_masks.py",
        "    return refine_dram(maps.best, ct.array, ct.spacing_mm, one.lobes, model.description)\n",
        "    return maps.best\n",
        f"{UNIT}/training/evaluation/test_study_masks.py",
    ),
    Fault(
        "the CRF of segment sees the map before the attention",
        f"{LIB}/lesions/find.py",
        "refine_dram(maps.best,",
        "refine_dram(maps.dram,",
        f"{UNIT}/lesions/test_find.py",
    ),
    Fault(
        "the CRF of study sees the map before the attention",
        f"{LIB}/training/evaluation/study_masks.py",
        "refine_dram(maps.best,",
        "refine_dram(maps.dram,",
        f"{UNIT}/training/evaluation/test_study_masks.py",
    ),
    Fault(
        "no threshold's shift in the CRF at inference",
        f"{LIB}/lesions/refined_dram.py",
        "    shift = float(special.logit(description.threshold))\n",
        "    shift = float(special.logit(0.5))\n",
        f"{UNIT}/lesions/test_refined_dram.py",
    ),
    Fault(
        "no threshold's shift in the CRF in training",
        f"{LIB}/training/tasks/dram_crf.py",
        "        self._shift = torch.logit(torch.tensor(description.threshold)).item()\n",
        "        self._shift = 0.0\n",
        f"{UNIT}/training/tasks/test_dram_crf.py",
    ),
    Fault(
        "the CRF's target is ignored in training",
        f"{LIB}/training/tasks/dram.py",
        'decided = dram if settings.crf == "none" else self._crf.target(refined, hu, mask)',
        "decided = dram",
        f"{UNIT}/training/tasks/test_dram_task.py",
    ),
    Fault(
        "the mirrored map is not flipped back",
        f"{LIB}/lesions/dram.py",
        "(values[:1] + values[1:].flip(-1)) / 2",
        "(values[:1] + values[1:]) / 2",
        f"{UNIT}/lesions/test_dram.py",
    ),
    Fault(
        "the mirrored probability is not flipped back",
        f"{LIB}/lesions/probability.py",
        "[count:].flip(-1)) / 2",
        "[count:]) / 2",
        f"{UNIT}/lesions/networks/test_final_network.py",
    ),
    Fault(
        "a file is renamed before it is on the disk",
        f"{LIB}/system/files.py",
        "                os.fsync(written.fileno())\n",
        "                pass\n",
        f"{UNIT}/system/test_files.py",
    ),
    Fault(
        "a correction's step is not on the disk",
        f"{LIB}/correction/store.py",
        "                os.fsync(file.fileno())\n",
        "                pass\n",
        f"{UNIT}/correction/test_store.py",
    ),
    Fault(
        "an earlier run's summary.json stays while its files are replaced",
        f"{LIB}/system/files.py",
        "        (out / last).unlink(missing_ok=True)\n",
        "        pass\n",
        f"{UNIT}/system/test_files.py",
    ),
    Fault(
        "an enhanced CT with differing intercepts is read",
        f"{LIB}/images/dicom/slices.py",
        "    if len(intercepts) > 1 or len(slopes) > 1:\n",
        "    if len(slopes) > 1:\n",
        f"{UNIT}/images/dicom/test_dicom_series.py",
    ),
    Fault(
        "nnU-Net's lesion outside the lobes stays",
        f"{LIB}/training/data/nnunet.py",
        "(mask * (lobes_of_ct.labels > 0))",
        "(mask * 1)",
        f"{UNIT}/training/data/test_nnunet.py",
    ),
    Fault(
        "the DICOM SEG of an enhanced CT is in the order of positions",
        f"{LIB}/results/dicom_seg.py",
        "    return own[list(source.frames)]\n",
        "    return own\n",
        f"{UNIT}/results/test_dicom_seg.py",
    ),
)
