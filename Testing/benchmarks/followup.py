"""Follow-up: change and lesions of phantoms of which both are known, one scan by two kernels, and pairs of two people.

python Testing/benchmarks/followup.py [--seeds 0 1 2] [--segment] [--real FOLDER]

A phantom gets lesions of known fate, then a breath (20 mm of the diaphragm) and a smooth random move of up to 8 mm. With
the true masks this tests registration and matching; with ``--segment`` the shipped models make the masks, so that their
errors are in the change, too. FOLDER of ``--real`` holds results of ``segment`` with those names: ``lungdx_1_soft`` and
``lungdx_1_sharp`` (one scan, two kernels), and ``OTHERS`` (of other people each).
"""

import argparse
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from DRAMLesionLib.followup.comparison import compare
from DRAMLesionLib.followup.exam import Exam, images_of, read_exam
from DRAMLesionLib.followup.interval import Interval, compare_exams
from DRAMLesionLib.followup.matching import Lesion, find_lesions, kind_of
from DRAMLesionLib.followup.registration import register_lungs
from DRAMLesionLib.images.volume import Volume, write_volume
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError

FATES = (
    *("new", "new", "new", "resolved", "resolved", "resolved"),
    *("grown", "grown", "shrunk", "shrunk", "stable", "stable", "merged", "split"),
)
KERNELS = ("lungdx_1_soft", "lungdx_1_sharp")
OTHERS = ("lungdx_1_soft", "lidc_0001", "nsclcrg_001", "rider_001", "ricord_001")
APART_MM, BREATH_MM, MOVE_MM, SMOOTH_MM, NOISE_HU = 42.0, 20.0, 8.0, 30.0, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--segment", action="store_true")
    parser.add_argument("--real", type=Path)
    given = parser.parse_args()
    rows = itertools.chain.from_iterable(phantom_rows(seed, given.segment) for seed in given.seeds)
    for row in itertools.chain(rows, real_rows(given.real) if given.real else ()):
        print(row, flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


class Pair:
    """Two dates of a phantom: CTs, lobes, lesions by number of their fate, and where each later voxel came from."""

    def __init__(self, seed: int) -> None:
        self.phantom = make_phantom(seed=seed, severity=0.0, noise_hu=0.0)
        self.spacing = np.array(self.phantom.ct.spacing_mm)
        self.chance = np.random.default_rng(seed + 1000)
        lungs = self.phantom.lobes.labels
        first, second = self._fates(lungs)
        self.moved_mm = self._field(lungs.shape)
        index = np.indices(lungs.shape, dtype=np.float32)
        self.places = [index[i] + self.moved_mm[i] / self.spacing[i] for i in range(3)]
        self.lobes = (lungs, self._warped(lungs, 0).astype(np.uint8))
        self.fates = (first, self._warped(second, 0).astype(np.int32))
        later = self._warped(self._painted(second), 1)
        self.cts = tuple(self._scan(hu) for hu in (self._painted(first), later))

    def _fates(self, lobes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int32 (z, y, x) for each date: 1 and up for the fates in order, 0 elsewhere."""
        depth = ndimage.distance_transform_edt(lobes > 0, sampling=self.spacing)
        sides = np.where(np.isin(lobes, (1, 2)), 1, 2) * (lobes > 0)
        inside = np.argwhere(depth > 8)
        centres: list[np.ndarray] = []
        maps = np.zeros((2, *lobes.shape), np.int32)
        grid = np.stack(
            np.meshgrid(
                *(np.arange(n) * s for n, s in zip(lobes.shape, self.spacing, strict=True)), indexing="ij"
            )
        )
        for number, fate in enumerate(FATES, start=1):
            centre = self._free(inside, centres)
            centres.append(centre)
            radius = self.chance.uniform(6.0, 11.0)
            for date, balls in enumerate(balls_of(fate, radius)):
                for shift, size in balls:
                    far = np.linalg.norm(
                        grid - (centre + np.array((0, shift, 0)))[:, None, None, None], axis=0
                    )
                    own = sides == sides[tuple(np.rint(centre / self.spacing).astype(int))]
                    maps[date][(far < size) & own] = number
        return maps[0], maps[1]

    def _free(self, inside: np.ndarray, centres: list[np.ndarray]) -> np.ndarray:
        for _ in range(5000):
            centre = inside[self.chance.integers(len(inside))] * self.spacing
            if all(np.linalg.norm(centre - other) > APART_MM for other in centres):
                return centre
        raise SystemExit("no room for so many lesions: another seed")

    def _field(self, shape: tuple[int, ...]) -> np.ndarray:
        """mm (3, z, y, x): where the second date's voxels were at the first one."""
        noise = [self.chance.standard_normal(shape).astype(np.float32) for _ in range(3)]
        field = np.stack([ndimage.gaussian_filter(one, SMOOTH_MM / self.spacing) for one in noise])
        field *= MOVE_MM / np.abs(field).max()
        height = np.arange(shape[0]) * self.spacing[0]
        field[0] += BREATH_MM * np.clip(1 - height / 200, 0, 1)[:, None, None]
        return field

    def _warped(self, array: np.ndarray, order: int) -> np.ndarray:
        return ndimage.map_coordinates(array.astype(np.float32), self.places, order=order, mode="nearest")

    def _painted(self, fates: np.ndarray) -> np.ndarray:
        soft = ndimage.gaussian_filter((fates > 0).astype(np.float32), 1.5 / self.spacing)
        texture = ndimage.gaussian_filter(
            np.random.default_rng(1).standard_normal(fates.shape), 4 / self.spacing
        )
        target = -480 + 60 * texture / texture.std()
        hu = self.phantom.ct.array.astype(np.float32)
        return hu + soft * np.maximum(target - hu, 0)

    def _scan(self, hu: np.ndarray) -> Volume:
        noisy = hu + NOISE_HU * self.chance.standard_normal(hu.shape)
        return replace(self.phantom.ct, array=np.rint(noisy).astype(np.int16))

    def true_error_mm(self, forward) -> np.ndarray:
        """How far the registration misses, at points of the second date's lungs."""
        there = np.argwhere(self.lobes[1] > 0)[::499]
        came = there + np.stack(
            [self.moved_mm[i][tuple(there.T)] / self.spacing[i] for i in range(3)], axis=1
        )
        matrix = self.phantom.ct.geometry.canonical().matrix
        here, before = (index[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3] for index in (there, came))
        found = np.array([forward.TransformPoint(point) for point in before.tolist()])
        return np.linalg.norm(found - here, axis=1)


def balls_of(fate: str, radius: float) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """(shift along y in mm, radius) of the balls of a fate at the two dates."""
    one, larger = [(0.0, radius)], [(0.0, 1.35 * radius)]
    two, bar = [(-11.0, 7.0), (11.0, 7.0)], [(shift, 7.5) for shift in (-10.0, 0.0, 10.0)]
    return {
        "new": ([], one),
        "resolved": (one, []),
        "grown": (one, larger),
        "shrunk": (larger, one),
        "stable": (one, one),
        "merged": (two, bar),
        "split": (bar, two),
    }[fate]


def phantom_rows(seed: int, segmented: bool) -> Iterator[str]:
    pair = Pair(seed)
    voxel_ml = float(np.prod(pair.spacing)) / 1000
    truth = [
        [float(np.sum((fates > 0) & (lobes == lobe))) * voxel_ml for lobe in range(1, 6)]
        for fates, lobes in zip(pair.fates, pair.lobes, strict=True)
    ]
    yield f"phantom {seed}: lesion {sum(truth[0]):.1f} to {sum(truth[1]):.1f} mL"
    begin, spent = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        interval = segmented_interval(pair, Path(folder)) if segmented else true_interval(pair)
    took = f"{time.perf_counter() - begin:.0f} s, {time.process_time() - spent:.0f} CPU s"
    found = [change.change_ml for change in interval.regions[:5]]
    wanted = [after - before for before, after in zip(*truth, strict=True)]
    total = interval.total.change_ml
    miss = [abs(one - other) for one, other in zip(found, wanted, strict=True)]
    gross = sum(abs(one) for one in wanted)
    yield (
        f"  found {interval.total.before.lesion_ml:.1f} to {interval.total.after.lesion_ml:.1f} mL: "
        f"change {total:+.1f} mL, true {sum(wanted):+.1f}; lobes miss by {sum(miss):.1f} mL of {gross:.1f} "
        f"({100 * sum(miss) / gross:.0f} %); {took}"
    )
    right, wrong = judged(pair, interval, found_images(pair))
    yield f"  fate right for {right} of {len(FATES)} lesions" + (f"; {', '.join(wrong)}" if wrong else "")
    quality = interval.registration
    there_and_back = f"{quality.inverse_error_mm:.2f} (95 %: {quality.inverse_error_mm_95:.2f})"
    yield (
        f"  Dice {quality.affine_dice:.3f} then {quality.dice:.3f}, there and back {there_and_back} mm, "
        f"Jacobian from {quality.least_jacobian:.2f}, correlation {quality.correlation:.2f}"
    )
    if not segmented:
        error = pair.true_error_mm(pair.registration.forward)
        yield f"  true error {error.mean():.2f} mm, 95 %: {np.percentile(error, 95):.2f}, most {error.max():.2f}"


def true_interval(pair: Pair) -> Interval:
    """The comparison with the true masks."""
    from DRAMLesionLib.followup import interval

    exams, pair.images = [], []
    for ct, lobes, fates in zip(pair.cts, pair.lobes, pair.fates, strict=True):
        lesion = (fates > 0).astype(np.uint8)
        table = quantify(ct.array, LobeMap(lobes, False, "true"), lesion, ct.spacing_mm)
        exams.append(Exam("ct", table, False, ct.spacing_mm))
        pair.images.append(images_of(ct, lobes, lesion))

    def kept(*arguments, **others):
        pair.registration = register_lungs(*arguments, **others)
        return pair.registration

    interval.register_lungs = kept
    return compare_exams(exams, tuple(pair.images), ("before", "after"))


def segmented_interval(pair: Pair, folder: Path) -> Interval:
    """The comparison of what ``segment`` makes of the two CTs, with the true lobes."""
    from DRAMLesionLib.case import segment_case

    results = []
    for number, (ct, lobes) in enumerate(zip(pair.cts, pair.lobes, strict=True)):
        write_volume(ct.array, ct, folder / f"{number}_ct.nii.gz")
        write_volume(lobes, ct, folder / f"{number}_lobes.nii.gz")
        results.append(folder / str(number))
        segment_case(
            folder / f"{number}_ct.nii.gz",
            results[-1],
            lobes=folder / f"{number}_lobes.nii.gz",
            with_scene=False,
        )
    pair.images = [read_exam(one)[1] for one in results]
    return compare(*results).intervals[0]


def found_images(pair: Pair) -> list[np.ndarray]:
    """For each date the numbers of the found lesions on the whole CT."""
    whole = []
    for images, lobes in zip(pair.images, pair.lobes, strict=True):
        labels = np.zeros(lobes.shape, np.int32)
        first = (-images.field_of_view[0]).astype(int)[::-1]
        box = tuple(slice(a, a + n) for a, n in zip(first, images.lesion.shape, strict=True))
        labels[box] = find_lesions(images)[0]
        whole.append(labels)
    return whole


def judged(pair: Pair, interval: Interval, labels: list[np.ndarray]) -> tuple[int, list[str]]:
    """How many fates were told right: by the change that holds most of the lesion at either date."""
    right, wrong = 0, []
    for number, planned in enumerate(FATES, start=1):
        fate = true_fate(pair, number, planned)
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


def true_fate(pair: Pair, number: int, planned: str) -> str:
    """What became of a lesion: the breath has changed volumes, too, so what should stay may have grown by a quarter."""
    if planned not in ("grown", "shrunk", "stable"):
        return planned
    voxel_ml = float(np.prod(pair.spacing)) / 1000
    before, after = (float(np.sum(fates == number)) * voxel_ml for fates in pair.fates)
    return kind_of((Lesion(1, before, 1),), (Lesion(1, after, 1),))


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
