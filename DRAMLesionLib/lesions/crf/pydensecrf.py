"""The dense CRF by the pydensecrf package (permutohedral lattice): optional, to compare with and as a second opinion.

The package needs a C++ compiler to install (``pip install pydensecrf2``), so nothing depends on it. Its kernels are
exp(-|f_i - f_j|^2 / 2) over features that the caller scales: here position in mm and HU, each over its standard
deviation.
"""

from __future__ import annotations

import numpy as np
import torch

from DRAMLesionLib.system.errors import InputError

SMALLEST = 1e-4


def available() -> bool:
    """Whether the package can be imported."""
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ImportError:
        return False
    return True


def mean_field(
    probability: torch.Tensor,
    hu: torch.Tensor,
    spacing_mm: tuple[float, ...],
    mask: torch.Tensor | None,
    sigmas: tuple[float, float, float],
    weights: tuple[float, float],
    iterations: int,
) -> torch.Tensor:
    """Refines checked volumes; see :func:`DRAMLesionLib.lesions.crf.crf.refine` for what the arguments mean.

    Args:
        probability: (z, y, x) or (classes, z, y, x).
        hu: (z, y, x), clipped, float32.
        spacing_mm: (z, y, x), mm.
        mask: bool (z, y, x), or None. The lattice holds the voxels inside alone.
        sigmas: gaussian_mm, bilateral_mm, bilateral_hu.
        weights: Weights of the Gaussian and of the bilateral kernel.
        iterations: Mean-field iterations.

    Returns:
        Refined probability, float32, shape and device of ``probability``, 0 outside the mask.

    Raises:
        InputError: The package is not installed.
    """
    if not available():
        raise InputError(
            'backend: "pydensecrf" is not installed; use backend="lowrank", or run pip install pydensecrf2 '
            "(needs a C++ compiler)"
        )
    from pydensecrf import densecrf

    inside = np.ones(hu.shape, dtype=bool) if mask is None else mask.cpu().numpy()
    several = probability if probability.ndim == 4 else torch.stack([1 - probability, probability])
    beliefs = several.cpu().numpy()[:, inside].astype(np.float32)
    gaussian_mm, bilateral_mm, bilateral_hu = sigmas
    position = np.argwhere(inside).T.astype(np.float32) * np.asarray(spacing_mm, dtype=np.float32)[:, None]
    intensity = hu.cpu().numpy()[inside][None] / np.float32(bilateral_hu)
    both = np.concatenate([position / np.float32(bilateral_mm), intensity])

    solver = densecrf.DenseCRF(beliefs.shape[1], len(beliefs))
    if probability.ndim == 4:
        beliefs = np.maximum(beliefs, SMALLEST)
    else:
        beliefs = beliefs.clip(SMALLEST, 1 - SMALLEST)
    solver.setUnaryEnergy(np.ascontiguousarray(-np.log(beliefs)))
    for features, weight in zip((position / np.float32(gaussian_mm), both), weights, strict=True):
        if weight > 0:
            solver.addPairwiseEnergy(
                np.ascontiguousarray(features, dtype=np.float32),
                compat=weight,
                kernel=densecrf.DIAG_KERNEL,
                normalization=densecrf.NORMALIZE_SYMMETRIC,
            )
    solved = np.asarray(solver.inference(iterations), dtype=np.float32)
    answer = np.zeros(tuple(several.shape), dtype=np.float32)
    answer[:, inside] = solved
    result = torch.from_numpy(answer if probability.ndim == 4 else answer[1])
    return result.to(probability.device)
