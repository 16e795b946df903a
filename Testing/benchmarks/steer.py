"""Steering: what a reader's numbers do for the mask, and how long a change of one lobe takes.

python Testing/benchmarks/steer.py FOLDER [--model BUNDLE] [--method final|dram] [--results DIR]
python Testing/benchmarks/steer.py --time

FOLDER holds caseNN_ct.nii.gz, caseNN_lobes.nii.gz, caseNN_lesion.nii.gz. The numbers come from the experts' masks:
scores, scores of which three in ten are wrong by one class (mean of SEEDS draws), percentages. Each line has the IoU of
the mask inside the lobes: as the model found it, and steered. DIR of ``--results`` holds results of ``segment`` as
folders NN, which saves computing them. Which map is ranked, and how, was chosen on the training scans 01, 04, 06 and
10; 02 and 08 are shown beside.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from DRAMLesionLib.images.volume import read_ct, read_on_grid
from DRAMLesionLib.lesions.find import find_lesions
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.quantify import severity_score
from DRAMLesionLib.lesions.run_models import CaseModels, load_case_models
from DRAMLesionLib.lesions.steer import Steering, steer
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.folder import read_findings

TRAINING, TEST = ("01", "04", "06", "10"), ("02", "08")
COLUMNS = ("plain", "scores", "noisy scores", "percentages")
SEEDS = range(5)
WRONG = 0.3
SHAPE, SPACING_MM = (300, 512, 512), (1.0, 0.7, 0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model")
    parser.add_argument("--method")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--time", action="store_true")
    given = parser.parse_args()
    if given.time:
        print("\n".join(times()))
    if given.folder is not None:
        models = None
        if given.results is None:
            models = load_case_models(given.model, given.method, torch.device("cpu"))
        rows = {name: ious(given.folder, name, given.results, models) for name in (*TRAINING, *TEST)}
        print(f"{'':14}" + "".join(f"{column:>14}" for column in COLUMNS))
        for name, values in rows.items():
            print(f"{name:14}" + "".join(f"{value:14.3f}" for value in values))
        for title, names in (("training mean", TRAINING), ("test mean", TEST)):
            means = np.mean([rows[name] for name in names], axis=0)
            print(f"{title:14}" + "".join(f"{value:14.3f}" for value in means))


def ious(data: Path, name: str, results: Path | None, models: CaseModels | None) -> list[float]:
    """The IoU of each of :data:`COLUMNS` for one scan."""
    findings = findings_of(data, name, results, models)
    inside = findings.lobes.labels > 0
    truth = (read_on_grid(data / f"case{name}_lesion.nii.gz", findings.ct, "lesion") > 0) & inside
    percent = [share(truth, findings.lobes.labels == lobe.value) for lobe in LOBES]
    score = [None if p is None else severity_score(p) for p in percent]
    noisy = [iou(steer(findings, score=wrong(score, seed)).lesion > 0, truth) for seed in SEEDS]
    return [
        iou(findings.lesion > 0, truth),
        iou(steer(findings, score=score).lesion > 0, truth),
        float(np.mean(noisy)),
        iou(steer(findings, percent=percent).lesion > 0, truth),
    ]


def findings_of(data: Path, name: str, results: Path | None, models: CaseModels | None) -> Findings:
    ct = read_ct(data / f"case{name}_ct.nii.gz")
    if results is not None:
        return read_findings(results / name, ct)
    assert models is not None
    return find_lesions(ct, models, Options(lobes=data / f"case{name}_lobes.nii.gz"))


def share(truth: np.ndarray, lobe: np.ndarray) -> float | None:
    """Percent of a lobe that is lesion; None where it has no voxels."""
    return 100 * float(truth[lobe].mean()) if lobe.any() else None


def wrong(score: list[int | None], seed: int) -> list[int | None]:
    """The scores as a hasty reader gives them: three in ten are wrong by one class, up or down alike."""
    chance = np.random.default_rng(seed)
    noisy: list[int | None] = []
    for value in score:
        miss, step = chance.random() < WRONG, 1 if chance.random() < 0.5 else -1
        if value is None or not miss:
            noisy.append(value)
        else:
            noisy.append(value + step if 0 <= value + step <= 5 else value - step)
    return noisy


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def times() -> Iterator[str]:
    """Seconds of beginning, preparing a lobe, and changing it, on lungs that fill 512 x 512 x 300 voxels."""
    lesion_map, labels = large_case()
    begin = time.perf_counter()
    steering = Steering(lesion_map, 0.5, labels, SPACING_MM)
    yield f"begin {time.perf_counter() - begin:.2f} s"
    for lobe in LOBES:
        begin = time.perf_counter()
        steering.prepare(lobe.value)
        prepared, changes = time.perf_counter() - begin, []
        for percent in np.linspace(0, 100, 41):
            begin = time.perf_counter()
            steering.set_percent(lobe.value, float(percent))
            changes.append(1000 * (time.perf_counter() - begin))
        yield (
            f"{lobe.abbreviation} {int((labels == lobe.value).sum()) / 1e6:.1f} million voxels: prepared in "
            f"{prepared:.2f} s, a change takes {np.median(changes):.0f} ms, {max(changes):.0f} ms at most"
        )


def large_case() -> tuple[np.ndarray, np.ndarray]:
    """A map of soft lesions in two ellipsoid lungs of five lobes."""
    chance = np.random.default_rng(0)
    z, y, x = np.ogrid[tuple(slice(-1, 1, complex(0, length)) for length in SHAPE)]
    labels = np.zeros(SHAPE, np.uint8)
    for middle, upper, lower in ((0.45, 1, 2), (-0.45, 3, 5)):
        lung = (z / 0.95) ** 2 + (y / 0.75) ** 2 + ((x - middle) / 0.36) ** 2 < 1
        labels[lung] = upper
        labels[lung & (z - 0.5 * y < -0.1)] = lower
    labels[(labels == 3) & (z < 0.1) & (y < -0.1)] = 4
    coarse = ndimage.gaussian_filter(chance.normal(size=[n // 4 for n in SHAPE]).astype(np.float32), 4)
    soft = ndimage.zoom(coarse / coarse.std(), 4, order=1)
    odds = 1.5 * soft - 2 + 0.3 * chance.normal(size=SHAPE).astype(np.float32)
    return (1 / (1 + np.exp(-odds))).astype(np.float32), labels


if __name__ == "__main__":
    main()
