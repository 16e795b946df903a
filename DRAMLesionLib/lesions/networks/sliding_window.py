"""A network over a volume that is larger than its window: MONAI's sliding window with a Gaussian blend, without MONAI.

MONAI's own is imported in seconds; a test holds the two together.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

_SIGMA = 0.125
"""Standard deviation of a window's weights, as a part of its side."""
_LEAST = 1e-3
"""Smallest weight."""


def in_windows(
    values: torch.Tensor,
    window: Sequence[int],
    overlap: float,
    predict: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Predict window by window, and blend where windows overlap, their middles weighing most.

    Args:
        values: (1, channels, z, y, x); where it is smaller than the window, zeros are put about it.
        window: Sides (z, y, x).
        overlap: Of neighbouring windows, a share of the window's side, 0 to below 1.
        predict: Gives float (1, any, z, y, x) for each (1, channels, \\*window).

    Returns:
        float32 (1, any, z, y, x) on the grid of ``values``.
    """
    shape = values.shape[2:]
    missing = [max(0, w - n) for w, n in zip(window, shape, strict=True)]
    before = [m // 2 for m in missing]
    margins = [margin for b, m in zip(before, missing, strict=True) for margin in (m - b, b)]
    padded = functional.pad(values, margins[::-1]) if any(missing) else values
    places = window_starts(padded.shape[2:], window, overlap)
    if len(places) == 1:
        blended = predict(padded).float()
    else:
        blended = _blended(padded, window, places, predict)
    z, y, x = (slice(b, b + n) for b, n in zip(before, shape, strict=True))
    return blended[:, :, z, y, x]


def window_starts(shape: Sequence[int], window: Sequence[int], overlap: float) -> list[tuple[int, ...]]:
    """The first voxel (z, y, x) of each window; the last ones end where the volume ends.

    Args:
        shape: (z, y, x) of a volume that is at least as large as the window.
        window: Sides (z, y, x).
        overlap: A share of the window's side, 0 to below 1.
    """
    axes = []
    for n, w in zip(shape, window, strict=True):
        step = max(1, int(w * (1 - overlap)))
        axes.append([min(start * step, n - w) for start in range(1 + -(-(n - w) // step))])
    return list(itertools.product(*axes))


def _blended(
    values: torch.Tensor,
    window: Sequence[int],
    places: Sequence[tuple[int, ...]],
    predict: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    weight = torch.ones(1, device=values.device)
    for side in window:
        at = torch.arange(side, device=values.device) - (side - 1) / 2
        weight = weight[..., None] * torch.exp(-(at**2) / (2 * (_SIGMA * side) ** 2))
    weight = weight.clamp_min(max(float(weight.min()), _LEAST))
    total = torch.zeros(values.shape[2:], device=values.device)
    result: torch.Tensor | None = None
    for start in places:
        z, y, x = (slice(s, s + w) for s, w in zip(start, window, strict=True))
        likely = predict(values[:, :, z, y, x]).float()
        if result is None:
            result = torch.zeros(1, likely.shape[1], *values.shape[2:], device=values.device)
        result[:, :, z, y, x] += likely * weight[0]
        total[z, y, x] += weight[0]
    assert result is not None
    return result / total
