"""Follow-up: pairs of which the change is known, one scan by two kernels, and pairs of two people.

python Testing/benchmarks/followup.py [--seeds 0 1 2] [--segment] [--bent FOLDER] [--cases case01 ...] [--real FOLDER]

A phantom gets lesions of known fate, then a breath (20 mm of the diaphragm) and a smooth random move of up to 8 mm. With
the true masks this tests registration and matching; with ``--segment`` the shipped models make the masks, so that their
errors are in the change, too. ``--bent`` names a folder of real scans with lobes and expert masks (``caseNN_ct.nii.gz``
and so on): each is bent to either side, so that nothing has changed but the breath; the models make the masks. FOLDER of
``--real`` holds results of ``segment`` with those names: ``lungdx_1_soft`` and ``lungdx_1_sharp`` (one scan, two
kernels), and ``OTHERS`` (of other people each).
"""

import argparse
import itertools
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from followup_pairs import Pair, bent_pair, phantom_pair

from DRAMLesionLib.case import KeptModels, find_case
from DRAMLesionLib.followup import interval as interval_module
from DRAMLesionLib.followup.comparison import compare
from DRAMLesionLib.followup.exam import Exam, Images, images_of, read_exam
from DRAMLesionLib.followup.interval import Interval, compare_exams
from DRAMLesionLib.followup.matching import find_lesions
from DRAMLesionLib.followup.registration import Registration, register_lungs
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.system.errors import InputError

KERNELS = ("lungdx_1_soft", "lungdx_1_sharp")
OTHERS = ("lungdx_1_soft", "lidc_0001", "nsclcrg_001", "rider_001", "ricord_001")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--segment", action="store_true")
    parser.add_argument("--bent", type=Path)
    parser.add_argument("--cases", nargs="*", default=["case01", "case04", "case06", "case10"])
    parser.add_argument("--real", type=Path)
    given = parser.parse_args()
    models = KeptModels()
    pairs = itertools.chain(
        ((phantom_pair(seed), given.segment) for seed in given.seeds),
        ((bent_pair(given.bent, case), True) for case in (given.cases if given.bent else ())),
    )
    rows = itertools.chain.from_iterable(
        pair_rows(pair, models if segment else None) for pair, segment in pairs
    )
    for row in itertools.chain(rows, real_rows(given.real) if given.real else ()):
        print(row, flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def pair_rows(pair: Pair, models: KeptModels | None) -> Iterator[str]:
    truth = pair.true_ml()
    yield f"{pair.name}: lesion {sum(truth[0]):.1f} to {sum(truth[1]):.1f} mL"
    spent = time.process_time()
    interval, images, registration = compared(pair, models)
    found = [change.change_ml for change in interval.regions[:5]]
    wanted = [after - before for before, after in zip(*truth, strict=True)]
    total = interval.total
    miss = sum(abs(one - other) for one, other in zip(found, wanted, strict=True))
    yield (
        f"  found {total.before.lesion_ml:.1f} to {total.after.lesion_ml:.1f} mL: change {total.change_ml:+.1f} mL, "
        f"true {sum(wanted):+.1f}; lobes miss by {miss:.1f} mL; {time.process_time() - spent:.0f} CPU s"
    )
    yield (
        f"  by density +{total.gained_ml:.1f} -{total.lost_ml:.1f} mL (more than {interval.density_limit_hu:.0f} HU); "
        f"{verdicts(interval, pair)}"
    )
    if "new" in pair.planned:
        right, wrong = judged(pair, interval, found_images(pair, images))
        yield f"  fate right for {right} of {len(pair.planned)} lesions" + (
            f"; {', '.join(wrong)}" if wrong else ""
        )
    yield f"  { ({kind: count for kind, count in interval.counts().items() if count}) }"
    quality = interval.registration
    there_and_back = f"{quality.inverse_error_mm:.2f} (95 %: {quality.inverse_error_mm_95:.2f})"
    yield (
        f"  Dice {quality.affine_dice:.3f} then {quality.dice:.3f}, there and back {there_and_back} mm, "
        f"Jacobian from {quality.least_jacobian:.2f}, correlation {quality.correlation:.2f}"
    )
    if models is None:
        error = pair.true_error_mm(registration.forward)
        yield f"  true error {error.mean():.2f} mm, 95 %: {np.percentile(error, 95):.2f}, most {error.max():.2f}"


def verdicts(interval: Interval, pair: Pair) -> str:
    """How many of the lobes' ranges hold the true change in points, and what is said of them."""
    ranged = [one for one in interval.regions[:5] if one.verdict is not None]
    if not ranged:
        return "no ranges"
    percent = []
    for fates, lobes in zip(pair.fates, pair.lobes, strict=True):
        percent.append([100 * float(np.mean(fates[lobes == lobe] > 0)) for lobe in range(1, 6)])
    held = 0
    for number, one in enumerate(interval.regions[:5]):
        true = percent[1][number] - percent[0][number]
        held += one.verdict is not None and one.points_low <= true <= one.points_high
    return f"range holds the true change in {held} of {len(ranged)} lobes: {', '.join(one.verdict for one in ranged)}"


def compared(pair: Pair, models: KeptModels | None) -> tuple[Interval, tuple[Images, Images], Registration]:
    """The comparison with the true masks, or with those of the models; the lobes are the true ones."""
    exams, images, kept = [], [], []
    for ct, lobes, fates in zip(pair.cts, pair.lobes, pair.fates, strict=True):
        lobe_map = LobeMap(lobes, False, "true")
        if models is None:
            lesion = (fates > 0).astype(np.uint8)
            table = quantify(ct.array, lobe_map, lesion, ct.spacing_mm)
        else:
            findings = find_case(ct, lobes=lobe_map, models=models)
            lesion, table = findings.lesion, findings.quantification
        exams.append(Exam("ct", table, False, ct.spacing_mm))
        images.append(images_of(ct, lobes, lesion))

    def keep(*arguments, **others):
        kept.append(register_lungs(*arguments, **others))
        return kept[0]

    interval_module.register_lungs = keep
    interval = compare_exams(exams, (images[0], images[1]), ("before", "after"))
    return interval, (images[0], images[1]), kept[0]


def found_images(pair: Pair, images: tuple[Images, Images]) -> list[np.ndarray]:
    """For each date the numbers of the found lesions on the whole CT."""
    whole = []
    for one, lobes in zip(images, pair.lobes, strict=True):
        labels = np.zeros(lobes.shape, np.int32)
        first = (-one.field_of_view[0]).astype(int)[::-1]
        box = tuple(slice(a, a + n) for a, n in zip(first, one.lesion.shape, strict=True))
        labels[box] = find_lesions(one)[0]
        whole.append(labels)
    return whole


def judged(pair: Pair, interval: Interval, labels: list[np.ndarray]) -> tuple[int, list[str]]:
    """How many fates were told right: by the change that holds most of the lesion at either date."""
    right, wrong = 0, []
    for number in range(1, len(pair.planned) + 1):
        fate = pair.true_fate(number)
        told = set()
        for date, side in enumerate(("before", "after")):
            there = labels[date][pair.fates[date] == number]
            there = there[there > 0]
            if there.size:
                most = int(np.bincount(there).argmax())
                told |= {
                    one.kind
                    for one in interval.lesions
                    if most in [lesion.number for lesion in getattr(one, side)]
                }
        right += told == {fate}
        if told != {fate}:
            wrong.append(f"{fate} called {' and '.join(sorted(told)) or 'nothing'}")
    return right, wrong


def real_rows(folder: Path) -> Iterator[str]:
    """One scan by two kernels, and what is said of pairs of two people."""
    begin, spent = time.perf_counter(), time.process_time()
    compared = compare(*(folder / name for name in KERNELS))
    took = f"{time.perf_counter() - begin:.0f} s, {time.process_time() - spent:.0f} CPU s"
    interval = compared.intervals[0]
    points = max(abs(change.change_points or 0) for change in interval.regions[:5])
    counts = {kind: count for kind, count in interval.counts().items() if count}
    yield (
        f"two kernels: {interval.total.change_ml:+.1f} mL, {interval.total.change_points:+.2f} points, "
        f"a lobe {points:.2f} at most; {counts}; "
        f"Dice {interval.registration.dice:.3f}, correlation {interval.registration.correlation:.2f}; {took}"
    )
    exams = {name: read_exam(folder / name)[1] for name in OTHERS}
    for one, other in zip(OTHERS, (*OTHERS[1:], OTHERS[0]), strict=True):
        try:
            quality = register_lungs(exams[one], exams[other], (one, other)).quality
            yield f"{one} and {other}: not refused, Dice {quality.dice:.3f}, correlation {quality.correlation:.2f}"
        except InputError as error:
            yield f"{one} and {other}: refused: {error}"


if __name__ == "__main__":
    main()
