"""Fully connected CRF over a CT: pulls a lesion map to the edges that the HU shows.

Mean field in the dense CRF of P. Kraehenbuehl and V. Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian
Edge Potentials", NIPS 2011. With voxels i, j at positions p (mm) and intensities h (HU), labels l, and the two kernels

    k_gaussian(i, j)  = exp(-|p_i - p_j|^2 / (2 gaussian_mm^2))
    k_bilateral(i, j) = exp(-|p_i - p_j|^2 / (2 bilateral_mm^2) - (h_i - h_j)^2 / (2 bilateral_hu^2))

each normalised symmetrically over the voxels inside the mask, K = D^-1/2 k D^-1/2 with D_i = sum_j k(i, j), and with
Potts compatibility, one iteration is

    Q_i(l) = softmax_l( log P_i(l) + gaussian_weight (K_gaussian Q(l))_i + bilateral_weight (K_bilateral Q(l))_i )

which for two labels is, with x the logit, ``x = logit(P) + sum_m weight_m K_m tanh(x / 2)``. As in the authors' code, a
voxel's kernel with itself is part of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from DRAMLesionLib.lesions.crf.filter import (
    KernelProduct,
    LowRankFilter,
    axis_order,
    range_features,
)
from DRAMLesionLib.lesions.crf.threads import conduct, for_slabs
from DRAMLesionLib.system.errors import InputError

BACKENDS = ("lowrank", "pydensecrf")
HU_WINDOW = (-1000.0, 200.0)
"""HU are clipped to this before they are compared: beyond it (outside air, bone) differences say nothing of a lesion."""
SMALLEST = 1e-4
"""Probabilities are kept this far from 0 and 1, so that the CRF can still change its mind."""


def refine(
    probability: Any,
    hu: Any,
    spacing_mm: Sequence[float],
    mask: Any = None,
    *,
    iterations: int = 5,
    gaussian_mm: float = 3.0,
    bilateral_mm: float = 9.0,
    bilateral_hu: float = 80.0,
    gaussian_weight: float = 1.5,
    bilateral_weight: float = 6.0,
    backend: str = "lowrank",
    tolerance: float = 1e-2,
) -> Any:
    """Sharpens a probability map with a dense CRF (formula and source at the top of this file).

    Args:
        probability: Lesion probability 0..1, (z, y, x), or probabilities of exclusive classes that sum to 1,
            (classes, z, y, x). numpy array or tensor.
        hu: CT in HU, (z, y, x), int16 or float32; clipped to :data:`HU_WINDOW`. Only finite values inside the mask
            are asked for.
        spacing_mm: Voxel size (z, y, x), mm.
        mask: Voxels to work on (the lobes), (z, y, x), non-zero inside; None for all. What is outside has no influence
            and gets 0. The work is cropped to the mask's bounding box.
        iterations: Mean-field iterations; 0 returns the map, cut by the mask.
        gaussian_mm: Reach of the smoothing kernel (standard deviation), mm.
        bilateral_mm: Reach of the bilateral kernel in space, mm.
        bilateral_hu: Reach of the bilateral kernel in intensity, HU.
        gaussian_weight: Strength of the smoothing kernel.
        bilateral_weight: Strength of the bilateral kernel.
        backend: "lowrank", or "pydensecrf" where that package is installed.
        tolerance: Eigenvalues kept by the low-rank backend, relative to the largest; smaller is more exact and slower.

    Returns:
        The refined probability: same shape and kind as ``probability``, float32, on the same device.

    Raises:
        InputError: An argument does not fit; the message names it and its value.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend: {backend!r} is unknown; use one of {', '.join(BACKENDS)}")
    spacing = _checked_spacing(spacing_mm)
    _check_numbers(
        gaussian_mm=gaussian_mm, bilateral_mm=bilateral_mm, bilateral_hu=bilateral_hu, tolerance=tolerance
    )
    if iterations < 0 or min(gaussian_weight, bilateral_weight) < 0:
        raise InputError(
            f"iterations, gaussian_weight, bilateral_weight: got {iterations}, {gaussian_weight}, {bilateral_weight}; "
            "use values of at least 0"
        )
    given = torch.as_tensor(probability)
    sigmas = (gaussian_mm, bilateral_mm, bilateral_hu)
    weights = (float(gaussian_weight), float(bilateral_weight))

    def work() -> torch.Tensor:
        volume, image, inside = _checked_volumes(given, hu, mask)
        box = _bounding_box(inside) if inside is not None else tuple(slice(0, n) for n in image.shape)
        part, image = volume[(..., *box)], image[box].float().clamp(*HU_WINDOW)
        inside = None if inside is None else inside[box]
        if backend == "pydensecrf":
            from DRAMLesionLib.lesions.crf.pydensecrf import mean_field

            refined = mean_field(part, image, spacing, inside, sigmas, weights, iterations)
        else:
            kernels = _Kernels(image, spacing, inside, sigmas, tolerance)
            del image, inside  # what is large goes as soon as it is done with
            refined = kernels.solve(part, weights, iterations)
        answer = torch.zeros(given.shape, dtype=torch.float32, device=given.device)
        answer[(..., *box)] = refined
        return answer

    with torch.no_grad(), torch.autocast(given.device.type, enabled=False):
        answer = conduct(work, given.device)
    return answer.numpy() if isinstance(probability, np.ndarray) else answer


class DenseCRF(torch.nn.Module):
    """The dense CRF as a layer: gradients reach the logits and both kernel weights.

    It computes in float32 (float64 where the logits are) also under autocast. ``gaussian_weight`` and
    ``bilateral_weight`` are parameters; the reaches are fixed. Formula and source at the top of this file.
    """

    def __init__(
        self,
        *,
        iterations: int = 5,
        gaussian_mm: float = 3.0,
        bilateral_mm: float = 9.0,
        bilateral_hu: float = 80.0,
        gaussian_weight: float = 1.5,
        bilateral_weight: float = 6.0,
        tolerance: float = 1e-2,
    ) -> None:
        """Arguments as for :func:`refine`."""
        super().__init__()
        _check_numbers(
            gaussian_mm=gaussian_mm, bilateral_mm=bilateral_mm, bilateral_hu=bilateral_hu, tolerance=tolerance
        )
        self.iterations, self.tolerance = iterations, tolerance
        self.sigmas = (gaussian_mm, bilateral_mm, bilateral_hu)
        self.gaussian_weight = torch.nn.Parameter(torch.tensor(float(gaussian_weight)))
        self.bilateral_weight = torch.nn.Parameter(torch.tensor(float(bilateral_weight)))

    def forward(
        self,
        logits: torch.Tensor,
        hu: torch.Tensor,
        spacing_mm: Sequence[float],
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Refines logits.

        Args:
            logits: (z, y, x) or (batch, 1, z, y, x) for lesion against the rest; (batch, classes, z, y, x) for
                exclusive classes.
            hu: HU, (z, y, x) or (batch, 1, z, y, x).
            spacing_mm: Voxel size (z, y, x), mm, of all samples.
            mask: Non-zero inside, shape of ``hu``; each sample has its own. Logits outside it are returned as they are.

        Returns:
            Refined logits, shape of ``logits``, float32 (float64 for float64); for classes, log-probabilities.
        """
        if logits.ndim == 3:
            several, images = logits[None, None], hu[None, None]
            masks = None if mask is None else mask[None, None]
        else:
            several, images, masks = logits, hu, mask
        if several.ndim != 5 or images.shape != (len(several), 1, *several.shape[2:]):
            raise InputError(
                f"logits, hu: shapes {tuple(logits.shape)} and {tuple(hu.shape)} do not fit; use (z, y, x) for both, or "
                "(batch, classes, z, y, x) and (batch, 1, z, y, x)"
            )
        if masks is not None and masks.shape != images.shape:
            raise InputError(f"mask: shape {tuple(masks.shape)}, hu has {tuple(images.shape)}; use the same")
        spacing = _checked_spacing(spacing_mm)
        with torch.autocast(several.device.type, enabled=False):
            wide = several if several.dtype == torch.float64 else several.float()
            refined = [
                self._one(wide[n], images[n, 0], spacing, None if masks is None else masks[n, 0] > 0)
                for n in range(len(wide))
            ]
        answer = torch.stack(refined)
        return answer[0, 0] if logits.ndim == 3 else answer

    def _one(
        self, logits: torch.Tensor, hu: torch.Tensor, spacing: tuple[float, ...], mask: torch.Tensor | None
    ) -> torch.Tensor:
        if mask is not None and not mask.any():
            return logits  # a crop without lobe: nothing to do, and nothing to stop a training for
        image = hu.detach().to(logits.dtype).clamp(*HU_WINDOW)
        with torch.no_grad():
            kernels = conduct(
                lambda: _Kernels(image, spacing, mask, self.sigmas, self.tolerance), image.device
            )
        weights = (self.gaussian_weight.to(logits.dtype), self.bilateral_weight.to(logits.dtype))
        return kernels.unrolled(logits, weights, self.iterations)


class _Kernels:
    """Both kernels of one image with their normalisation; volumes inside have their axes permuted."""

    def __init__(
        self,
        hu: torch.Tensor,
        spacing: tuple[float, ...],
        mask: torch.Tensor | None,
        sigmas: tuple[float, float, float],
        tolerance: float,
    ) -> None:
        gaussian_mm, bilateral_mm, bilateral_hu = sigmas
        self.order = axis_order(hu.shape, [1 / s for s in spacing])
        image = hu.permute(self.order).contiguous()
        self.mask = None if mask is None else mask.permute(self.order).contiguous()
        if self.mask is not None:  # what is outside must not even widen the range of HU
            first = self.mask.flatten().to(torch.uint8).argmax()
            image = image.masked_fill(~self.mask, float(image.flatten()[first]))
        a, b, c = image.shape
        p, q, r = (spacing[axis] for axis in self.order)
        common: dict[str, Any] = {"tolerance": tolerance, "device": hu.device, "dtype": hu.dtype}
        gaussian = LowRankFilter((a, b, c), (gaussian_mm / p, gaussian_mm / q, gaussian_mm / r), **common)
        index, table = range_features(image, self.mask, bilateral_hu, tolerance)
        del image
        reach = (bilateral_mm / p, bilateral_mm / q, bilateral_mm / r)
        bilateral = LowRankFilter((a, b, c), reach, index=index, table=table, **common)
        self.filters = (gaussian, bilateral)
        self.scales = tuple(self._scale(kernel) for kernel in self.filters)

    def _scale(self, kernel: LowRankFilter) -> torch.Tensor:
        """1 / sqrt(K 1) inside the mask, 0 outside: nothing goes out or comes in where the scale is 0."""
        ones = torch.ones(kernel.shape, device=kernel.device, dtype=kernel.dtype)
        weight = ones if self.mask is None else self.mask.to(kernel.dtype)
        # A voxel's kernel with itself is 1, so a sum below that is the approximation's error.
        return kernel.multiply(weight).clamp_min_(1.0).rsqrt_().mul_(weight)

    def unrolled(
        self, logits: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor], iterations: int
    ) -> torch.Tensor:
        """Mean field that autograd can follow: logits (classes, z, y, x), one class for lesion against the rest."""
        unary = logits.permute(0, *(axis + 1 for axis in self.order)).contiguous()
        belief = unary
        for _ in range(iterations):
            values = torch.tanh(belief / 2) if len(unary) == 1 else belief.softmax(0)
            belief = unary
            for weight, kernel, scale in zip(weights, self.filters, self.scales, strict=True):
                message = [KernelProduct.apply(one, kernel, scale) for one in values]
                belief = belief + weight * torch.stack(message)
        if len(unary) > 1:
            belief = belief.log_softmax(0)
        if self.mask is not None:
            belief = torch.where(self.mask, belief, unary)
        return self._back(belief)

    def solve(self, probability: torch.Tensor, weights: tuple[float, float], iterations: int) -> torch.Tensor:
        """Mean field without gradients: probability (z, y, x) or (classes, z, y, x) in, refined out, 0 outside.

        One pass over the slabs per iteration does everything while the slab is in the cache: the end of one product
        (spread), the new belief, and the start of the next product (gather).
        """
        several = probability if probability.ndim == 4 else probability[None]
        prior = several.permute(0, *(axis + 1 for axis in self.order)).float().contiguous()
        binary = len(prior) == 1
        unary = torch.logit(prior, SMALLEST) if binary else prior.clamp(min=SMALLEST).log_()
        del prior
        first = [k for k in range(2) if weights[k] > 0]
        cores = {
            k: unary.new_empty(len(unary), self.filters[k].shape[0], self.filters[k].core_size) for k in first
        }
        mixed: dict[int, list[torch.Tensor]] = {}

        def visit(slab: slice, start: bool, stop: bool) -> None:
            features = {k: self.filters[k].features(slab) for k in first}
            belief = unary[:, slab]
            if not start:
                belief = belief.clone()
                for k in first:
                    scale = self.scales[k][slab] * weights[k]
                    for one, core in zip(belief, mixed[k], strict=True):
                        one.addcmul_(self.filters[k].spread(core[slab], features[k]), scale)
            if stop:
                unary[:, slab] = belief.sigmoid() if binary else belief.softmax(0)
                return
            # tanh(x / 2), six times faster
            values = belief.sigmoid().mul_(2).sub_(1) if binary else belief.softmax(0)
            for k in first:
                for one, core in zip(values * self.scales[k][slab], cores[k], strict=True):
                    self.filters[k].gather(one, features[k], core[slab])

        slabs = self.filters[1].slabs()
        for step in range(iterations + 1):
            for_slabs(lambda s: visit(s, step == 0, step == iterations), slabs, unary.device)  # noqa: B023
            if step < iterations:
                mixed = {k: [self.filters[k].mix(core) for core in cores[k]] for k in first}
        if self.mask is not None:
            unary.mul_(self.mask)
        result = self._back(unary)
        return result if probability.ndim == 4 else result[0]

    def _back(self, volumes: torch.Tensor) -> torch.Tensor:
        inverse = [self.order.index(axis) + 1 for axis in range(3)]
        return volumes.permute(0, *inverse)


def _checked_volumes(
    probability: torch.Tensor, hu: Any, mask: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    device = probability.device
    image = torch.as_tensor(hu).to(device)
    inside = None if mask is None else torch.as_tensor(mask).to(device) > 0
    shape = tuple(probability.shape)
    if len(shape) not in (3, 4) or 0 in shape or (len(shape) == 4 and shape[0] < 2):
        raise InputError(
            f"probability: shape {shape}; use (z, y, x), or (classes, z, y, x) with at least 2 classes"
        )
    if tuple(image.shape) != shape[-3:]:
        raise InputError(f"hu: shape {tuple(image.shape)}, probability has {shape[-3:]}; use the same grid")
    if inside is not None and tuple(inside.shape) != shape[-3:]:
        raise InputError(
            f"mask: shape {tuple(inside.shape)}, probability has {shape[-3:]}; use the same grid"
        )
    if inside is not None and not inside.any():
        raise InputError("mask: it is empty; give lobes with at least one voxel")
    volume = probability.float()
    # The comparison is false for NaN too.
    allowed = (volume >= 0) & (volume <= 1)
    if not (allowed if inside is None else allowed.logical_or_(~inside)).all():
        seen = volume if inside is None else volume[..., inside]
        raise InputError(
            f"probability: values {seen.min():.4g} to {seen.max():.4g} (nan: not a number); use finite values of 0 to 1"
        )
    finite = image.isfinite()
    if not (finite if inside is None else finite.logical_or_(~inside)).all():
        raise InputError("hu: it holds values that are not finite (NaN or infinite); replace them before")
    return volume, image, inside


def _checked_spacing(spacing_mm: Sequence[float]) -> tuple[float, ...]:
    spacing = tuple(float(s) for s in spacing_mm)
    if len(spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing):
        raise InputError(f"spacing_mm: got {spacing}; use three positive sizes in mm, (z, y, x)")
    return spacing


def _check_numbers(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name}: got {value}; use a positive number")


def _bounding_box(mask: torch.Tensor) -> tuple[slice, ...]:
    box = []
    for axis in range(3):
        hit = mask.movedim(axis, 0).flatten(1).any(1).nonzero()
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)
