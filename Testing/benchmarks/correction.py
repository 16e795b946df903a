"""How fast and how much the correction engine helps: speed per stroke, and IoU against strokes of a scripted reader.

    python Testing/benchmarks/correction.py [--data DIR] [--maps DIR] [--strokes 40] [--limit 300]

DIR of ``--data`` holds ``caseNN_{ct,lobes,lesion}.nii.gz``; without it only the speed on a synthetic CT is measured.
DIR of ``--maps`` holds ``caseNN_dram.nii.gz``, lesion above 0.5; without it the refined maps of the shipped model are
used. Results go to ``correction.md`` beside this file.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parents[1]))

from scripted_reader import Reader  # noqa: E402

from DRAMLesionLib.correction.session import CorrectionSession  # noqa: E402
from DRAMLesionLib.images.box import grow  # noqa: E402
from DRAMLesionLib.images.volume import read_ct  # noqa: E402
from DRAMLesionLib.lesions.find import find_lesions  # noqa: E402
from DRAMLesionLib.lesions.networks.bundle import load_model  # noqa: E402
from DRAMLesionLib.lesions.options import Options  # noqa: E402

TRAINING, TEST = ("01", "04", "06", "10"), ("02", "08")
TARGET = 0.70
STEPS = (0, 5, 10, 20, 30, 40)
M_SHAPE = (128, 192, 192)


@dataclass(frozen=True)
class Case:
    """One CT cut to its lobes; arrays (z, y, x)."""

    name: str
    hu: np.ndarray
    lobes: np.ndarray
    truth: np.ndarray
    probability: np.ndarray
    spacing_mm: tuple[float, float, float]


@dataclass
class Curve:
    """IoU before the first stroke and after each."""

    iou: list[float]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def reaches(self, target: float) -> int | None:
        """Strokes until the IoU is at least ``target``."""
        return next((count for count, value in enumerate(self.iou) if value >= target), None)


Method = Callable[[np.ndarray, int], np.ndarray]
"""Takes a stroke (voxels (n, 3), value) and returns the label after it."""


def read_case(data: Path, maps: Path | None, name: str) -> Case:
    def read(path: Path) -> np.ndarray:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))

    image = sitk.ReadImage(str(data / f"case{name}_ct.nii.gz"))
    hu, lobes = sitk.GetArrayFromImage(image), read(data / f"case{name}_lobes.nii.gz")
    truth = read(data / f"case{name}_lesion.nii.gz") > 0
    box = ndimage.find_objects((lobes > 0).astype(np.uint8))[0]
    if maps is None:
        probability = shipped_map(data, name)[box]
    else:
        probability = read(maps / f"case{name}_dram.nii.gz")[box]
    hu, lobes, truth = (np.ascontiguousarray(array[box]) for array in (hu, lobes, truth))
    return Case(
        name, hu, lobes, truth, np.clip(probability, 0, 1).astype(np.float32), image.GetSpacing()[::-1]
    )


def shipped_map(data: Path, name: str) -> np.ndarray:
    """The refined dRAM of the shipped model, moved so that its threshold lies at 0.5."""
    ct = read_ct(data / f"case{name}_ct.nii.gz")
    model = load_model()
    refined = find_lesions(ct, model, Options(lobes=data / f"case{name}_lobes.nii.gz")).refined
    assert refined is not None
    odds = refined / (1 - refined.clip(0, 1 - 1e-6)) * (1 / model.description.threshold - 1)
    return odds / (1 + odds)


def synthetic(seed: int = 0) -> Case:
    """Two lungs that fill 192 x 192 x 128 voxels of 1.5 mm, with ground glass."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(-1, 1, complex(0, length)) for length in M_SHAPE)]
    lobes = np.zeros(M_SHAPE, np.uint8)
    for value, middle in ((3, -0.5), (1, 0.5)):
        lobes[z**2 + y**2 + ((x - middle) / 0.48) ** 2 < 1] = value
    blotches = ndimage.gaussian_filter(rng.normal(size=M_SHAPE).astype(np.float32), 6)
    truth = (blotches > blotches.std() * 1.2) & (lobes > 0)
    hu = np.where(lobes > 0, np.where(truth, -500, -850), 30) + rng.normal(0, 40, M_SHAPE)
    probability = np.clip(0.2 + 0.5 * truth + rng.normal(0, 0.1, M_SHAPE), 0, 1).astype(np.float32)
    return Case("192x192x128", hu.astype(np.int16), lobes, truth, probability, (1.5, 1.5, 1.5))


def random_stroke(case: Case, rng: np.random.Generator, near: np.ndarray | None) -> np.ndarray:
    """Voxels (n, 3) of a straight brush stroke of 6 mm and 3 cm that begins in the lobes, or within 1 cm of ``near``."""
    inside = np.argwhere(case.lobes[::4, ::4, ::4]) * 4
    if near is not None:
        inside = inside[np.linalg.norm((inside - near) * case.spacing_mm, axis=1) < 10]
    begin = inside[rng.integers(len(inside))] * case.spacing_mm
    direction = rng.normal(size=3)
    path = begin + np.linspace(0, 30, 31)[:, None] * direction / np.linalg.norm(direction)
    box = np.stack([path.min(axis=0) - 3, path.max(axis=0) + 3]) / case.spacing_mm
    low, high = np.maximum(np.floor(box[0]), 0).astype(int), np.minimum(np.ceil(box[1]) + 1, case.hu.shape)
    grid = np.argwhere(np.ones((high - low).astype(int), bool)) + low
    away = ((grid * case.spacing_mm)[:, None] - path[None]) ** 2
    return grid[away.sum(axis=2).min(axis=1) <= 9]


def speed(case: Case, count: int = 60) -> str:
    """A row of the table of times: strokes of 3 cm, half of them near one spot, each saved to disk."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        session = CorrectionSession(
            case.hu, case.lobes, case.probability, case.spacing_mm, directory=Path(folder) / "s"
        )
        start = time.perf_counter() - begin
        wall, cpu, spot = [], [], None
        for number in range(count):
            stroke = random_stroke(case, rng, spot if number % 2 else None)
            if number == 0:
                spot = stroke[len(stroke) // 2]
            ticks, began = time.process_time(), time.perf_counter()
            session.paint(stroke, int(rng.integers(1, 3)))
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - ticks)
        began = time.perf_counter()
        CorrectionSession.load(Path(folder) / "s")
        load = time.perf_counter() - began
    size = "x".join(str(length) for length in reversed(case.hu.shape))
    p95, cpu95 = np.percentile(wall, 95), np.percentile(cpu, 95)
    return (
        f"| {case.name} | {size} | {start:.2f} | {np.median(wall):.3f} | {p95:.3f} | {max(wall):.3f} | "
        f"{np.median(cpu):.3f} | {cpu95:.3f} | {load:.2f} |"
    )


def engine(case: Case) -> Method:
    session = CorrectionSession(case.hu, case.lobes, case.probability, case.spacing_mm)
    label = session.label

    def paint(voxels: np.ndarray, value: int) -> np.ndarray:
        box, part = session.paint(voxels, value)
        label[box] = part
        return label

    return paint


def plain(case: Case) -> Method:
    label = ((case.probability > 0.5) & (case.lobes > 0)).astype(np.uint8)

    def paint(voxels: np.ndarray, value: int) -> np.ndarray:
        label[tuple(voxels.T)] = value == 1
        return label

    return paint


def walker(case: Case) -> Method:
    """skimage's random walker in the stroke's neighbourhood.

    Seeds: all edits, the label where no edit is within 15 mm, and the map where it is sure (below 0.1, above 0.9) and
    no edit is within 6 mm.
    """
    from skimage.segmentation import random_walker

    label = ((case.probability > 0.5) & (case.lobes > 0)).astype(np.uint8)
    edits = np.zeros_like(label)

    def paint(voxels: np.ndarray, value: int) -> np.ndarray:
        edits[tuple(voxels.T)] = value
        ends = zip(voxels.min(axis=0), voxels.max(axis=0) + 1, strict=True)
        first, second, third = (slice(int(a), int(b)) for a, b in ends)
        box = grow((first, second, third), 20.0, case.spacing_mm, label.shape)
        near = ndimage.distance_transform_edt(edits[box] == 0, sampling=case.spacing_mm)
        sure = np.abs(case.probability[box] - 0.5) > 0.4
        seeds = np.where((near > 15) | (sure & (near > 6)), 2 - label[box].astype(np.int32), 0)
        seeds[edits[box] > 0] = edits[box][edits[box] > 0]
        seeds[case.lobes[box] == 0] = -1
        hu = np.clip(case.hu[box], -1000, 200).astype(float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = random_walker(hu, seeds, mode="cg_j", tol=1e-3, spacing=case.spacing_mm)
        label[box] = np.where(found > 0, found == 1, label[box])
        painted = edits[box] > 0
        label[box][painted] = edits[box][painted] == 1
        return label

    return paint


def follow(case: Case, method: Method, most: int, least: int, relabel: int = 1) -> Curve:
    """Let a reader correct what the method leaves: at least ``least`` strokes, then until the target or ``most``."""
    reader = Reader(case.truth, case.lobes > 0, case.spacing_mm, relabel)
    label = (case.probability > 0.5) & (case.lobes > 0)
    curve = Curve([reader.iou(label)])
    for count in range(most):
        stroke = reader.stroke(label)
        if stroke is None or (count >= least and curve.iou[-1] >= TARGET):
            break
        ticks, began = time.process_time(), time.perf_counter()
        label = method(*stroke)
        curve.wall.append(time.perf_counter() - began)
        curve.cpu.append(time.process_time() - ticks)
        curve.iou.append(reader.iou(label))
    return curve


def row(case: Case, name: str, curve: Curve, most: int) -> str:
    values = [f"{curve.iou[step]:.3f}" if step < len(curve.iou) else "" for step in STEPS]
    reached = curve.reaches(TARGET)
    strokes = str(reached) if reached is not None else f"> {min(most, len(curve.iou) - 1)}"
    split = "test" if case.name in TEST else "training"
    seconds = f"{np.percentile(curve.cpu, 95):.3f}" if curve.cpu else ""
    return f"| {case.name} ({split}) | {name} | {' | '.join(values)} | {strokes} | {seconds} |"


def worth(case: Case, strokes: int, limit: int, walker_strokes: int) -> list[str]:
    """Rows of the table of IoU against strokes."""
    runs = {
        "this engine": (engine(case), limit, strokes, 1),
        "painting alone": (plain(case), limit, strokes, 10),
    }
    if walker_strokes:
        runs["random walker"] = (walker(case), walker_strokes, min(strokes, walker_strokes), 1)
    rows = []
    for name, (method, most, least, relabel) in runs.items():
        rows.append(row(case, name, follow(case, method, most, least, relabel), most))
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run both benchmarks and write ``correction.md``."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, default=os.environ.get("DRAMLESION_REAL_DATA"))
    options.add_argument("--maps", type=Path)
    options.add_argument("--cases", nargs="*", default=[*TRAINING, *TEST])
    options.add_argument("--strokes", type=int, default=40, help="at least")
    options.add_argument("--limit", type=int, default=300, help="strokes at most, until the IoU is 0.70")
    options.add_argument(
        "--walker", type=int, default=100, help="strokes of the random walker at most, 0 leaves it out"
    )
    options.add_argument("--skip-speed", action="store_true")
    options.add_argument("--out", type=Path, default=HERE / "correction.md")
    given = options.parse_args()
    data = Path(given.data) if given.data else None
    cases = [read_case(data, given.maps, name) for name in given.cases] if data else []
    text = [
        "# Correction engine: speed and worth",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}; "
        f"load {os.getloadavg()[0]:.1f} when it began. Printed by `correction.py`; the real CTs and their maps with "
        "`--data DIR --maps DIR`.",
    ]
    if not given.skip_speed:
        text += [
            "",
            "## Seconds per stroke",
            "60 strokes of 3 cm with a brush of 6 mm, every second one near the same spot, each saved before it returns.",
            "",
            "| CT | voxels | start | median | 95 % | most | CPU median | CPU 95 % | load |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for case in [synthetic(), *cases]:
            text.append(speed(case))
            print(text[-1], flush=True)
    if cases:
        source = f"maps of `{given.maps.name}`" if given.maps else "refined maps of the shipped model"
        text += [
            "",
            f"## IoU against strokes of a scripted reader, {source}",
            "Each stroke goes to the largest error that the method has left: 6 mm brush, 2 cm, only voxels truly of the "
            f"class. Settings were tuned on the training cases alone. Runs end at an IoU of {TARGET:.2f} or "
            f"at {given.limit} strokes (random walker: {given.walker}).",
            "",
            f"| case | method | {' | '.join(str(step) for step in STEPS)} | strokes to {TARGET:.2f} | CPU s, 95 % |",
            "|---|---|" + "---|" * (len(STEPS) + 2),
        ]
        for case in cases:
            text += worth(case, given.strokes, given.limit, given.walker)
    given.out.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
