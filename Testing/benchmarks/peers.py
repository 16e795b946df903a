"""Parts of the main job beside those of others, in one run and in turn: seconds, best of the rounds.

    python Testing/benchmarks/peers.py CT [--rounds 3] [--threads 2]

* The final network in MONAI's sliding window as it comes (float32, patch by patch, each mirrored) and as the main job
  runs it.
* The dRAM's network and one of the shape that the method's authors give (32, 64 and 128 channels, 512 at the bottom, two
  convolutions each, batch normalisation; MONAI's DynUNet, whose upsampling is a transposed convolution) on the same
  lobes, both in float32.
* lungmask's work before and after its network, which needs no weights, and our lungs and lobes, where lungmask is
  installed (pip install lungmask).
* TotalSegmentator's work around its networks, which needs no weights, and ours around the final network, at its 1.5 mm,
  where TotalSegmentator is installed (pip install --no-deps TotalSegmentator nibabel joblib tqdm). It resamples the whole
  CT by cubic splines, ours the lungs' box linearly.

The dense CRF's peer is in ``crf.py``.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from main_job import machine  # noqa: E402

from DRAMLesionLib.images.resampling import resample  # noqa: E402
from DRAMLesionLib.images.volume import read_ct  # noqa: E402
from DRAMLesionLib.lesions.lung_grid import lobe_samples, lung_grid, to_ct_grid  # noqa: E402
from DRAMLesionLib.lesions.mask import segment_lesion, take_speckle_off  # noqa: E402
from DRAMLesionLib.lesions.probability import predict_on_grid, segmentation_grid  # noqa: E402
from DRAMLesionLib.lesions.run_models import load_case_models  # noqa: E402
from DRAMLesionLib.lungs.lobes import LOBES  # noqa: E402
from DRAMLesionLib.lungs.read_lobes import find_lobes  # noqa: E402


def compare(methods: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Run all in turn and print the best wall and CPU seconds; return what each gave last."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    results = {}
    for _ in range(rounds):
        for name, work in methods.items():
            wall, cpu = time.perf_counter(), time.process_time()
            results[name] = work()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    for name, found in times.items():
        print(f"| {name} | {min(w for w, _ in found):.2f} | {min(c for _, c in found):.2f} |", flush=True)
    return results


def sliding_windows(ct: Any, labels: np.ndarray, rounds: int) -> None:
    """The final network, as it comes and as ours."""
    from monai.inferers import sliding_window_inference

    models = load_case_models(None, "final", torch.device("cpu"))
    assert models.final is not None
    network, description = models.final.network, models.final.description
    grid = segmentation_grid(ct.array, labels, ct.spacing_mm, description)
    image = torch.from_numpy(grid.image)[None, None]

    def one_view_after_the_other(patches: torch.Tensor) -> torch.Tensor:
        return (torch.sigmoid(network(patches)) + torch.sigmoid(network(patches.flip(-1))).flip(-1)) / 2

    @torch.inference_mode()
    def as_it_comes() -> np.ndarray:
        found = sliding_window_inference(
            image, description.patch, 1, one_view_after_the_other, description.overlap, mode="gaussian"
        )
        return found[0, 0].numpy()

    found = compare(
        {
            "final network, MONAI's sliding window": as_it_comes,
            "final network, ours": lambda: predict_on_grid(network, description, grid.image),
        },
        rounds,
    )
    one, other = ((values > description.threshold) & (grid.labels > 0) for values in found.values())
    print(f"\nthe two masks' IoU: {(one & other).sum() / max(1, (one | other).sum()):.4f}\n")


def dense_networks(ct: Any, labels: np.ndarray, rounds: int) -> None:
    """One map of each lobe, with random weights: time does not depend on them."""
    from monai.networks.nets import DynUNet

    model = load_case_models(None, "dram", torch.device("cpu")).dram
    samples = lobe_samples(lung_grid(ct.array, labels, ct.spacing_mm, model.description), model.description)
    lobes = [_padded(torch.from_numpy(sample.image)[None, None]) for sample in samples]
    authors = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        kernel_size=[3] * 4,
        strides=[1, 2, 2, 2],
        upsample_kernel_size=[2] * 3,
        filters=[32, 64, 128, 512],
        norm_name="batch",
    ).eval()
    compare(
        {
            "dense network of the authors' shape, all lobes": lambda: [_map(authors, lobe) for lobe in lobes],
            "ours (dram-covid), all lobes": lambda: [_map(model.network, lobe) for lobe in lobes],
        },
        rounds,
    )
    print()


@torch.inference_mode()
def _map(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(network(image))


def _padded(image: torch.Tensor, step: int = 16) -> torch.Tensor:
    ends = [end for length in image.shape[:1:-1] for end in (0, -length % step)]
    return torch.nn.functional.pad(image, ends)


def lung_steps(ct: Any, labels: np.ndarray, rounds: int) -> None:
    """lungmask without its network."""
    with contextlib.suppress(ImportError):
        from lungmask import utils

        def around_the_network() -> np.ndarray:
            _, boxes = utils.preprocess(ct.array, resolution=[256, 256])
            # Our lobes stand in for the network's answer, on its grid.
            answer = [
                resample(plane[None, top:bottom, left:right], (1, 256, 256), order=0)
                for plane, (top, left, bottom, right) in zip(labels, boxes, strict=True)
            ]
            cleaned = utils.postprocessing(np.concatenate(answer), disable_tqdm=True)
            return np.stack(
                [utils.reshape_mask(p, b, ct.array.shape[1:]) for p, b in zip(cleaned, boxes, strict=True)]
            )

        compare(
            {
                "lungmask, before and after its network": around_the_network,
                "our lungs and lobes, whole": lambda: find_lobes(ct, allow_missing=True),
            },
            rounds,
        )
        return
    print("lungmask is not installed and left out (pip install lungmask)")


def resampling_steps(ct: Any, labels: np.ndarray, rounds: int) -> None:
    """TotalSegmentator without its networks: our lobes stand in for their answer."""
    try:
        import nibabel
        from totalsegmentator.postprocessing import remove_small_blobs_multilabel
        from totalsegmentator.resampling import change_spacing
    except ImportError as error:
        print(
            f"TotalSegmentator is left out (pip install --no-deps TotalSegmentator nibabel joblib tqdm): {error}"
        )
        return
    spacing, names = (1.5, 1.5, 1.5), {lobe.value: lobe.abbreviation for lobe in LOBES}
    affine = np.diag([*ct.spacing_mm[::-1], 1.0])
    image, answer = (nibabel.Nifti1Image(values.T, affine) for values in (ct.array, labels))
    coarse_answer = change_spacing(answer, list(spacing), order=0, dtype=np.uint8)
    models = load_case_models(None, "final", torch.device("cpu"))
    assert models.final is not None
    description = replace(models.final.description, spacing_mm=spacing)

    def around_its_networks() -> np.ndarray:
        change_spacing(image, list(spacing), order=3, dtype=np.int32)
        large = [200 / np.prod(spacing), 1e10]
        coarse = coarse_answer.get_fdata().astype(np.uint8)
        clean = remove_small_blobs_multilabel(coarse, names, list(names.values()), interval=large, quiet=True)
        back = nibabel.Nifti1Image(clean, coarse_answer.affine)
        return change_spacing(
            back, list(spacing), ct.array.T.shape, dtype=np.uint8, force_affine=affine
        ).dataobj

    def around_our_network() -> np.ndarray:
        grid = segmentation_grid(ct.array, labels, ct.spacing_mm, description)
        found = np.zeros(ct.array.shape, np.float32)
        to_ct_grid(grid.image, grid, labels[grid.box], out=found[grid.box])
        take_speckle_off(found, labels, description.threshold, ct.spacing_mm)
        return segment_lesion(found, labels, description.threshold)

    compare(
        {
            "TotalSegmentator, before and after its networks": around_its_networks,
            "ours around the final network, at 1.5 mm": around_our_network,
        },
        rounds,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ct", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    ct = read_ct(given.ct)
    labels = find_lobes(ct, allow_missing=True).labels
    print(f"{machine()}; {given.threads} threads; CT (z, y, x) {ct.array.shape}, best of {given.rounds}\n")
    print("| method | s | CPU s |\n|---|---|---|")
    sliding_windows(ct, labels, given.rounds)
    dense_networks(ct, labels, given.rounds)
    lung_steps(ct, labels, given.rounds)
    print()
    resampling_steps(ct, labels, given.rounds)


if __name__ == "__main__":
    main()
