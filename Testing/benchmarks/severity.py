"""Percentages and scores against known ones, from 1 % to 90 % of a lobe, and on CTs in true Hounsfield units.

    python Testing/benchmarks/severity.py COVID_CT REAL_CT [--model NAME] [--only known,slices,normal,kernels,shifts]

COVID_CT holds ``caseNN_ct.nii.gz``, ``caseNN_lobes.nii.gz``, ``caseNN_lesion.nii.gz``: experts' lesions of cases 02 and
08 are transplanted into lobes of cases 04 and 06 that have none. REAL_CT holds ``NAME_ct.nii.gz`` and
``slice_labels.json``; their lobes are the built-in ones.

known    lesions of known amount, made by severity_cases.py, not as the training makes them
slices   slices with lesion, by radiologists' labels
normal   what is called lesion in scans without
kernels  one scan by two kernels
shifts   HU moved by 30 to either side, and noise of 60 HU
"""

import argparse
import json
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from severity_cases import LEVELS, drawn_lesions, transplanted_lesions  # noqa: E402

from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid  # noqa: E402
from DRAMLesionLib.lesions.find import find_lesions_in  # noqa: E402
from DRAMLesionLib.lesions.findings import Findings  # noqa: E402
from DRAMLesionLib.lesions.quantify import severity_score  # noqa: E402
from DRAMLesionLib.lesions.run_models import CaseModels, load_case_models  # noqa: E402
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap  # noqa: E402
from DRAMLesionLib.lungs.read_lobes import find_lobes, read_lobes  # noqa: E402

HEALTHY = {"case04": (3, 4, 5), "case06": (1, 2, 4)}
DONORS = ("case02", "case08")
NORMAL = ("normal_001", "lidc_0001", "nsclcrg_001", "rider_001")
LABELLED = ("covid_p001", "pneumonia_002")
KERNELS = ("lungdx_1_soft", "lungdx_1_sharp")
SECTIONS = ("known", "slices", "normal", "kernels", "shifts")
LEAST_ML = 0.1
"""A slice with less lesion is not marked."""


class Bench:
    """The folders and the models of a run."""

    def __init__(self, covid: Path, real: Path, models: CaseModels):
        self.covid, self.real, self.models = covid, real, models
        self.true_hu = lru_cache(None)(self._true_hu)

    def _true_hu(self, name: str) -> tuple[Volume, LobeMap]:
        ct = read_ct(self.real / f"{name}_ct.nii.gz")
        return ct, find_lobes(ct, allow_missing=True)

    def case(self, name: str) -> tuple[Volume, LobeMap, np.ndarray]:
        """A scan with experts' lesions."""
        ct = read_ct(self.covid / f"{name}_ct.nii.gz")
        lobes = read_lobes(self.covid / f"{name}_lobes.nii.gz", ct)
        return ct, lobes, read_on_grid(self.covid / f"{name}_lesion.nii.gz", ct, "lesion mask") > 0

    def find(self, ct: Volume, lobes: LobeMap, hu: np.ndarray | None = None) -> Findings:
        """What the product finds, on other HU where they are given."""
        seen = ct if hu is None else replace(ct, array=np.round(hu).astype(np.int16))
        return find_lesions_in(seen, lobes, self.models, crf=False)

    def known(self) -> None:
        """Predicted against true, by level and by how the lesions were made."""
        rows: list[tuple[str, float, float, float, bool]] = []
        for level in LEVELS:
            for kind, ct, lobes, hu, lesion in self._with_lesions(level):
                table = self.find(ct, lobes, hu).quantification.lobes
                for lobe, region in zip(LOBES, table, strict=True):
                    here = lobes.labels == lobe.value
                    if here.any() and region.percent is not None:
                        inside = region.percent_low is not None and region.percent_low <= level <= (
                            region.percent_high or 0
                        )
                        true = 100 * float(lesion[here].mean())
                        rows.append((kind, level, true, region.percent, inside))
            for kind in dict.fromkeys(row[0] for row in rows):
                _known_line(kind, level, rows)
        for kind in dict.fromkeys(row[0] for row in rows):
            mine = [row for row in rows if row[0] == kind]
            true, predicted = (np.array([row[k] for row in mine]) for k in (2, 3))
            slope = float(np.polyfit(true, predicted, 1)[0])
            exact = np.mean(
                [severity_score(t) == severity_score(p) for t, p in zip(true, predicted, strict=True)]
            )
            held = np.mean([row[4] for row in mine])
            print(
                f"{kind}: slope {slope:.2f}, score exact {100 * exact:.0f} %, in the range {100 * held:.0f} %"
            )

    def _with_lesions(self, level: float) -> list[tuple[str, Volume, LobeMap, np.ndarray, np.ndarray]]:
        ct, lobes = self.true_hu(NORMAL[0])
        seed = LEVELS.index(level) + 1
        made = [
            ("drawn, true HU", ct, lobes, *drawn_lesions(ct.array, lobes.labels, ct.spacing_mm, level, seed))
        ]
        donor, _, expert = self.case(DONORS[seed % 2])
        for name, healthy in HEALTHY.items():
            ct, lobes, _ = self.case(name)
            lobes = replace(lobes, labels=np.where(np.isin(lobes.labels, healthy), lobes.labels, np.uint8(0)))
            pasted = transplanted_lesions(
                ct.array, lobes.labels, level, donor.array, expert, ct.spacing_mm, seed
            )
            made.append(("transplanted, equalised", ct, lobes, *pasted))
        return made

    def slices(self) -> None:
        """Area under the curve of slices with lesion, by their lesion volume and by the map, and clean ones marked."""
        labels = json.loads((self.real / "slice_labels.json").read_text())
        for name in LABELLED:
            ct, lobes = self.true_hu(name)
            positive = np.array(labels[name]["slice_positive"]) > 0
            findings = self.find(ct, lobes)
            ml = findings.lesion.sum((1, 2)) * float(np.prod(ct.spacing_mm)) / 1000
            by_map = findings.map.sum((1, 2), dtype=float)
            marked = ml > LEAST_ML
            print(
                f"{name}: AUC {_area(ml, positive):.3f} (by the sum of the map {_area(by_map, positive):.3f}), "
                f"found {100 * marked[positive].mean():.0f} % of slices with lesion, "
                f"marked {100 * marked[~positive].mean():.0f} % of clean ones"
            )

    def normal(self) -> None:
        """Percent of both lungs that is called lesion in scans without."""
        for name in NORMAL:
            table = self.find(*self.true_hu(name)).quantification
            lobes = " ".join(f"{region.percent or 0:.2f}" for region in table.lobes)
            print(f"{name}: {table.total.percent:.2f} % ({lobes})")

    def kernels(self) -> None:
        """One scan by two kernels, in the lobes of the first."""
        lobes = self.true_hu(KERNELS[0])[1]
        one, other = (self.find(self.true_hu(name)[0], lobes).quantification.lobes for name in KERNELS)
        moved = [abs((a.percent or 0) - (b.percent or 0)) for a, b in zip(one, other, strict=True)]
        print("two kernels, points: " + " ".join(f"{value:.2f}" for value in moved))

    def shifts(self) -> None:
        """How far a lobe moves, in points."""
        for name in (LABELLED[0], "case10"):
            ct, lobes = self.true_hu(name) if name in LABELLED else self.case(name)[:2]
            plain = [region.percent or 0 for region in self.find(ct, lobes).quantification.lobes]
            noise = np.random.default_rng(0).normal(0, 60, ct.array.shape)
            for what, change in (("+30 HU", 30), ("-30 HU", -30), ("noise of 60 HU", noise)):
                moved = self.find(ct, lobes, ct.array + change).quantification.lobes
                points = [abs((r.percent or 0) - p) for r, p in zip(moved, plain, strict=True)]
                print(f"{name}, {what}: " + " ".join(f"{value:.2f}" for value in points), flush=True)


def _area(values: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve; of two that are equal one half is taken for right."""
    high, low = values[positive][:, None], values[~positive]
    return float((high > low).mean() + 0.5 * (high == low).mean())


def _known_line(kind: str, level: float, rows: list[tuple[str, float, float, float, bool]]) -> None:
    predicted = [row[3] for row in rows if row[:2] == (kind, level)]
    error = np.mean(np.abs(np.array(predicted) - level))
    print(f"{kind}, {level:g} %: {np.mean(predicted):.1f} % found, error {error:.1f} points", flush=True)


def main() -> None:
    """Run the sections that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("covid", type=Path)
    parser.add_argument("real", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--only", default=",".join(SECTIONS))
    given = parser.parse_args()
    bench = Bench(given.covid, given.real, load_case_models(given.model))
    for section in given.only.split(","):
        print(f"== {section}", flush=True)
        getattr(bench, section)()


if __name__ == "__main__":
    main()
