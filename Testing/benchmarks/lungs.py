"""The built-in lungs against reference lungs, with pasted disease, and their cost.

python Testing/benchmarks/lungs.py references FOLDER   NAME_ct.nii.gz, NAME_lungs.nii.gz (1 left, 2 right, 255 left out)
python Testing/benchmarks/lungs.py pasted FOLDER       the same; disease is pasted into each lower lobe
python Testing/benchmarks/lungs.py lesions FOLDER      caseNN_ct, caseNN_lobes, caseNN_lesion
python Testing/benchmarks/lungs.py cost                seconds and memory at 512 x 512 x 300
--model FOLDER takes another bundle than the one that ships.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY)]

from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid  # noqa: E402
from DRAMLesionLib.lungs.fissures import split_lobes  # noqa: E402
from DRAMLesionLib.lungs.lung_mask import segment_lungs  # noqa: E402

SHARES = (0.1, 0.3, 0.6, 0.9)
LEFT_OUT = 255


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.sum(one & other) / max(1, np.sum(one) + np.sum(other)))


def distance95_mm(one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> float:
    """95th percentile of the distances from each surface to the other."""
    if not one.any() or not other.any():
        return float("nan")
    box = ndimage.find_objects((one | other).astype(np.uint8))[0]
    one, other = np.pad(one[box], 1), np.pad(other[box], 1)
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (one, other)]
    far = [ndimage.distance_transform_edt(~surface, spacing) for surface in surfaces]
    return float(np.percentile(np.concatenate([far[1][surfaces[0]], far[0][surfaces[1]]]), 95))


def references(folder: Path, model: str | None) -> None:
    """Dice, 95 % surface distance, and gas below the lungs that was taken in."""
    print(f"{'scan':18} {'Dice L':>7} {'Dice R':>7} {'95% L':>7} {'95% R':>7} {'gas mL':>7} {'s':>6}")
    for path in sorted(folder.glob("*_ct.nii.gz")):
        lungs_path = Path(str(path).replace("_ct.", "_lungs."))
        if not lungs_path.exists():
            continue
        ct = read_ct(path)
        truth = read_on_grid(lungs_path, ct, "lung mask")
        start = time.perf_counter()
        lungs = segment_lungs(ct.array, ct.spacing_mm, model)
        seconds = time.perf_counter() - start
        known = truth != LEFT_OUT
        pairs = [((lungs == side) & known, (truth == side) & known) for side in (1, 2)]
        gas = (lungs > 0) & (truth == 0) & (ct.array < -700)
        row = [dice(*pair) for pair in pairs] + [distance95_mm(*pair, ct.spacing_mm) for pair in pairs]
        row += [float(gas.sum() * np.prod(ct.spacing_mm) / 1000), seconds]
        print(f"{path.name[:-10]:18} " + " ".join(f"{value:7.3f}" for value in row), flush=True)


def paste(ct: Volume, lobe: np.ndarray, share: float, hu: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Disease of about ``hu`` in that share of a lobe, from behind and below, with some bronchi; and where it is."""
    rng = np.random.default_rng(seed)
    noise = [
        ndimage.gaussian_filter(rng.normal(size=lobe.shape).astype(np.float32), mm / np.array(ct.spacing_mm))
        for mm in (12.0, 4.0, 3.0)
    ]
    rough, texture, bronchi = (one / one[lobe].std() for one in noise)
    z, y, _ = np.indices(lobe.shape, sparse=True)
    depth = y * ct.spacing_mm[1] - 0.5 * z * ct.spacing_mm[0] + 6 * rough
    where = lobe & (depth >= np.quantile(depth[lobe], 1 - share))
    dense = hu + max(15.0, 0.15 * abs(hu)) * texture
    if hu > -200:
        dense = np.where(bronchi > 1.8, -800, dense)
    result = ct.array.astype(np.float32)
    result[where] = np.maximum(dense, np.minimum(result, 60))[where]
    return result, where


def pasted(folder: Path, model: str | None) -> None:
    """The share of pasted disease that is inside the lungs."""
    print(f"{'scan':18} {'lobe':>5} {'HU':>5} " + " ".join(f"{share:7.0%}" for share in SHARES))
    rows = []
    for path in sorted(folder.glob("*_ct.nii.gz")):
        lungs_path = Path(str(path).replace("_ct.", "_lungs."))
        if not lungs_path.exists():
            continue
        ct = read_ct(path)
        truth = read_on_grid(lungs_path, ct, "lung mask")
        lobes, _ = split_lobes(np.where(truth == LEFT_OUT, 0, truth).astype(np.uint8))
        for lobe, hu in ((2, -500.0), (2, 20.0), (5, 20.0)):
            kept = []
            for share in SHARES:
                array, where = paste(ct, lobes == lobe, share, hu, seed=lobe)
                kept.append(float(np.mean(segment_lungs(array, ct.spacing_mm, model)[where] > 0)))
            rows.append(kept)
            print(
                f"{path.name[:-10]:18} {lobe:5} {hu:5.0f} " + " ".join(f"{k:7.3f}" for k in kept), flush=True
            )
    if rows:
        print(f"{'mean':30} " + " ".join(f"{k:7.3f}" for k in np.mean(rows, axis=0)))


def lesions(folder: Path, model: str | None) -> None:
    """The share of the experts' lesion inside the lungs, and Dice with the reference lobes' outline."""
    for path in sorted(folder.glob("case*_ct.nii.gz")):
        ct = read_ct(path)
        lobes = read_on_grid(Path(str(path).replace("_ct.", "_lobes.")), ct)
        lesion = (read_on_grid(Path(str(path).replace("_ct.", "_lesion.")), ct, "lesion mask") > 0) & (
            lobes > 0
        )
        lungs = segment_lungs(ct.array, ct.spacing_mm, model)
        kept = float(np.mean(lungs[lesion] > 0))
        print(f"{path.name[:6]} lesion kept {kept:.4f}  Dice {dice(lungs > 0, lobes > 0):.4f}", flush=True)


def cost(model: str | None) -> None:
    """CPU seconds of one thread and the memory that comes on top of the CT's own."""
    import torch

    from DRAMLesionLib.phantom import make_phantom

    small = make_phantom((256, 256, 150), (1.4, 1.4, 2.0), seed=1).ct.array
    hu = np.repeat(np.repeat(np.repeat(small, 2, 0), 2, 1), 2, 2)
    del small
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for turn in ("first", "second"):
        start = time.process_time()
        lungs = segment_lungs(hu, (1.0, 0.7, 0.7), model)
        between = time.process_time()
        split_lobes(lungs, (1.0, 0.7, 0.7), hu)
        end = time.process_time()
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"{turn} run: lungs {between - start:.2f} CPU s, lobes {end - between:.2f} CPU s, {more:.0f} MB more at most"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("references", "pasted", "lesions", "cost"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--model")
    chosen = parser.parse_args()
    if chosen.what == "cost":
        cost(chosen.model)
    elif chosen.folder is None or not chosen.folder.is_dir():
        sys.exit("name the folder that holds the scans")
    else:
        {"references": references, "pasted": pasted, "lesions": lesions}[chosen.what](
            chosen.folder, chosen.model
        )


if __name__ == "__main__":
    main()
