"""The built-in lungs and lobes against reference lobes: Dice per case, lesion kept, seconds.

python Testing/benchmarks/lobes.py [FOLDER]   FOLDER holds caseNN_ct.nii.gz, caseNN_lobes.nii.gz, caseNN_lesion.nii.gz
"""

import sys
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

from conftest import real_data  # noqa: E402

from DRAMLesionLib.images.volume import read_ct, read_on_grid  # noqa: E402
from DRAMLesionLib.lungs.lobes import LOBES  # noqa: E402
from DRAMLesionLib.lungs.read_lobes import find_lobes  # noqa: E402


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.sum(one & other) / max(1, np.sum(one) + np.sum(other)))


def score(ct_path: Path) -> list[float]:
    """Dice of the lungs and of each lobe, the part of the lesion inside the lungs found, seconds."""
    ct = read_ct(ct_path)
    reference = read_on_grid(Path(str(ct_path).replace("_ct.", "_lobes.")), ct)
    lesion = read_on_grid(Path(str(ct_path).replace("_ct.", "_lesion.")), ct, "lesion mask") > 0
    start = time.perf_counter()
    labels = find_lobes(ct, allow_missing=True).labels
    seconds = time.perf_counter() - start
    inside = lesion & (reference > 0)
    lobes = [dice(labels == lobe.value, reference == lobe.value) for lobe in LOBES]
    kept = float(np.mean(labels[inside] > 0)) if inside.any() else float("nan")
    return [dice(labels > 0, reference > 0), *lobes, kept, seconds]


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else real_data()
    cases = sorted(folder.glob("case*_ct.nii.gz")) if folder else []
    if not cases:
        sys.exit("no cases: name the folder that holds caseNN_ct.nii.gz")
    heads = ["lungs", *(lobe.abbreviation for lobe in LOBES), "lesion kept", "seconds"]
    print("case     " + " ".join(f"{head:>11}" for head in heads))
    rows = []
    for path in cases:
        rows.append(score(path))
        print(f"{path.name[:6]:8} " + " ".join(f"{value:11.3f}" for value in rows[-1]), flush=True)
    print("mean     " + " ".join(f"{value:11.3f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
