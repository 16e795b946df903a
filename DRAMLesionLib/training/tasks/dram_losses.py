"""Losses of the weak stages. All take what is known of a lobe as the label, and nothing voxel-wise.

The regression's losses (`percent_loss`, `interval_loss`, `weak_loss`) say how much lesion a lobe has. The refinement's
(`refinement_loss`) compares the refined map with the map's own decision, see `refinement_target`. The map's priors
(`softness`, `roughness`) are ratios over the map's own sum, so they shape *where* the map is without pulling *how much*
of it there is, which is the regression's business.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch.nn import functional

from DRAMLesionLib.training.data.weak_label import SCORE_RANGES, WeakLabel

Space = Literal["logit", "fraction"]

SMALLEST_FRACTION = 0.003
"""Fractions are compared above this: below 0.3 % of a lobe a reader can't tell, and the logit has no floor."""


def percent_loss(logits: torch.Tensor, mask: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Huber loss between the logits of the predicted and the known lesion fraction of each lobe.

    In logit space a lobe of 2 % weighs as much as one of 40 %: a plain squared difference leaves small lesions
    without a gradient.

    Args:
        logits: (batch, 1, z, y, x), the network's output.
        mask: (batch, 1, z, y, x), bool or 0..1: the lobe.
        fraction: (batch,), known lesion fraction, 0..1.

    Returns:
        A scalar.
    """
    predicted = lobe_mean(torch.sigmoid(logits), mask)
    return functional.huber_loss(_logit(predicted), _logit(fraction))


def interval_loss(
    logits: torch.Tensor,
    mask: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
    *,
    space: Space = "logit",
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Zero while the predicted lesion fraction p lies in the range that is known of a lobe, growing outside of it.

    In ``fraction`` space, as in the published method: max(0, (p - middle)^2 - half^2), of the range's middle and half
    width. Its slope at the range's ends is the range's width: 0.01 for score 0 and 0.04 for score 1, but 0.25 for score
    5, and the sigmoid takes the rest from a map that is nearly empty. So the mild lobes hardly count.

    In ``logit`` space: the Huber loss between the logit of p and the nearer end of the range; the same as
    :func:`percent_loss` where the range is a single value. An end at 0 or 1 is no end.

    Args:
        logits: (batch, 1, z, y, x), the network's output.
        mask: (batch, 1, z, y, x), bool or 0..1: the lobe.
        low: (batch,), least lesion fraction, 0..1.
        high: (batch,), largest lesion fraction, 0..1.
        space: ``logit`` or ``fraction``.
        weight: (batch,), of each lobe; None for 1.

    Returns:
        A scalar: the mean over the batch.
    """
    predicted = lobe_mean(torch.sigmoid(logits), mask)
    losses = _interval(predicted, low, high, space)
    return (losses if weight is None else losses * weight).mean()


def weak_loss(
    logits: torch.Tensor,
    mask: torch.Tensor,
    labels: Sequence[WeakLabel],
    *,
    space: Space = "logit",
    weights: Sequence[float] | None = None,
) -> torch.Tensor:
    """Regression of what is known of each lobe: the fraction where that is, else the range of its score.

    A fraction counts as in :func:`percent_loss`, but a map that is wrongly empty keeps its gradient: there, none is left
    below :data:`SMALLEST_FRACTION`. A range counts as in :func:`interval_loss`.

    Args:
        logits: (batch, 1, z, y, x), the network's output.
        mask: (batch, 1, z, y, x), bool or 0..1: the lobe.
        labels: One per lobe of the batch.
        space: Where the interval loss measures distances.
        weights: One per score 0..5, see :func:`class_weights`; None for 1.

    Returns:
        A scalar: the mean over the batch.
    """
    predicted = lobe_mean(torch.sigmoid(logits), mask)
    losses = torch.stack([_weak(p, label, space) for p, label in zip(predicted, labels, strict=True)])
    if weights is not None:
        losses = losses * losses.new_tensor([weights[label.score] for label in labels])
    return losses.mean()


def class_weights(scores: Iterable[int]) -> tuple[float, ...]:
    """Weights of the scores 0..5, so that frequent ones do not drown the others.

    As in the published method, a lobe's loss is divided by the frequency of its score, clamped to 0.2 .. 0.8. Then all
    weights are scaled so that their mean over the given lobes is 1, and the learning rate keeps its meaning.

    Args:
        scores: Severity scores of the training lobes, 0..5.

    Returns:
        Six weights; a score that does not occur gets the largest. All 1 where there are no lobes.
    """
    counts = Counter(scores)
    total = counts.total()
    if not total:
        return (1.0,) * len(SCORE_RANGES)
    raw = [1 / min(0.8, max(0.2, counts[score] / total)) for score in range(len(SCORE_RANGES))]
    mean = sum(raw[score] * count for score, count in counts.items()) / total
    return tuple(value / mean for value in raw)


def refinement_target(
    dram: torch.Tensor, candidates: torch.Tensor, labels: Sequence[WeakLabel], *, threshold: float = 0.5
) -> torch.Tensor:
    """What the refined map is to become: the map's own decision, where it can be right.

    Args:
        dram: (batch, 1, z, y, x), 0..1: the map, or what the CRF made of it. No gradient flows through it.
        candidates: (batch, 1, z, y, x), bool: inside the lobe and bright enough, see
            :func:`DRAMLesionLib.training.data.weak_label.candidates`.
        labels: One per lobe of the batch: a healthy lobe's target is empty.
        threshold: Values above it are lesion.

    Returns:
        The dtype and shape of ``dram``: 1 lesion, 0 elsewhere.
    """
    diseased = torch.tensor([not label.is_healthy for label in labels], device=dram.device)
    target = (dram.detach() > threshold) & candidates.bool() & diseased.view(-1, 1, 1, 1, 1)
    return target.to(dram.dtype)


def refinement_loss(
    refined: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, *, smoothing: float = 0.1
) -> torch.Tensor:
    """Bootstrapped, class-balanced cross-entropy of the refined map inside the lobe.

    With t the target and p the refined map: (1 - s) sum(w * H(t, p)) / sum(w) + s * mean(H(p > 0.5, p)), where H is the
    binary cross-entropy, w is alpha where t is 1 and 1 - alpha where it is 0, and alpha = 1 - mean(t), clamped to 0.25 ..
    0.75. The second term lets a confident map differ from a target that is only its own guess (Reed et al., "Training
    Deep Neural Networks on Noisy Labels with Bootstrapping", arXiv 1412.6596). Formula: the published method; its term
    outside the lobe is left out, since the refined map is 0 there by construction.

    Args:
        refined: (batch, 1, z, y, x), 0..1.
        target: (batch, 1, z, y, x), 0..1; it gets no gradient.
        mask: (batch, 1, z, y, x), bool or 0..1: the lobe.
        smoothing: s, the weight of the map's own decision, 0..1.

    Returns:
        A scalar: the mean over the batch. A lobe without voxels counts 0.
    """
    p = refined if refined.dtype == torch.float64 else refined.float()
    t = target.detach().to(p.dtype)
    inside = mask.to(p.dtype)
    share = lobe_mean(t, mask).view(-1, 1, 1, 1, 1)
    alpha = (1 - share).clamp(0.25, 0.75)
    weight = (alpha * t + (1 - alpha) * (1 - t)) * inside
    guess = (p.detach() > 0.5).to(p.dtype)
    known = (weight * _cross_entropy(p, t)).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1e-6)
    own = lobe_mean(_cross_entropy(p, guess), mask)
    return ((1 - smoothing) * known + smoothing * own).mean()


def softness(dram: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How undecided the map is: 0 where every voxel is 0 or 1, towards 1 for a flat, faint map.

    Args:
        dram: (batch, 1, z, y, x), 0..1.
        mask: (batch, 1, z, y, x), bool or 0..1: the lobe.
    """
    inside = dram * mask
    return _ratio((inside * (1 - dram)).flatten(1).sum(1), inside.flatten(1).sum(1))


def roughness(dram: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Total variation of the map over its sum: large for thin structures such as vessels, small for patches.

    Args:
        dram: (batch, 1, z, y, x), 0..1.
        mask: (batch, 1, z, y, x), bool or 0..1: the lobe. Differences across its border do not count.
    """
    variation = dram.new_zeros(dram.shape[0])
    inside = mask.to(dram.dtype)
    for axis in (2, 3, 4):
        length = dram.shape[axis] - 1
        both = inside.narrow(axis, 0, length) * inside.narrow(axis, 1, length)
        step = dram.narrow(axis, 1, length) - dram.narrow(axis, 0, length)
        variation = variation + (step.abs() * both).flatten(1).sum(1)
    return _ratio(variation, (dram * inside).flatten(1).sum(1))


def _ratio(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    # One voxel's worth is added, so that an empty map (rightly empty, in a healthy lobe) costs nothing.
    return (part / (whole + 1.0)).mean()


def _logit(fraction: torch.Tensor) -> torch.Tensor:
    return torch.logit(fraction.clamp(SMALLEST_FRACTION, 1 - SMALLEST_FRACTION))


def share_loss(predicted: torch.Tensor, label: WeakLabel) -> torch.Tensor:
    """As :func:`weak_loss`, of one lobe's predicted fraction, 0..1, a scalar."""
    return _weak(predicted, label, "logit")


def _weak(predicted: torch.Tensor, label: WeakLabel, space: Space) -> torch.Tensor:
    low, high = label.low, label.high
    if label.fraction is not None:
        # A fraction is a range of one value; below what a reader can tell, it is the range from there to 0.
        low = label.fraction if label.fraction > SMALLEST_FRACTION else 0.0
        high = label.fraction if label.fraction < 1 - SMALLEST_FRACTION else 1.0
        low, high, space = min(low, 1 - SMALLEST_FRACTION), max(high, SMALLEST_FRACTION), "logit"
    return _interval(predicted, predicted.new_tensor(low), predicted.new_tensor(high), space)


def _interval(predicted: torch.Tensor, low: torch.Tensor, high: torch.Tensor, space: Space) -> torch.Tensor:
    """One loss per lobe, all arguments (batch,) or scalars."""
    if space == "fraction":
        return ((predicted - (low + high) / 2) ** 2 - ((high - low) / 2) ** 2).clamp_min(0)
    # Not _logit: its floor would take the gradient from a map that is empty and should not be.
    value = torch.logit(predicted.clamp(1e-6, 1 - 1e-6))
    short = (torch.logit(low.clamp_max(1 - 1e-6)) - value).clamp_min(0)
    over = (value - torch.logit(high.clamp_min(1e-6))).clamp_min(0)
    beyond = short + over
    return functional.huber_loss(beyond, torch.zeros_like(beyond), reduction="none")


def _cross_entropy(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    p = p.clamp(1e-6, 1 - 1e-6)
    return -(t * torch.log(p) + (1 - t) * torch.log1p(-p))


def lobe_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Lobe-wise pooling: the mean over the lobe's voxels.

    Args:
        values: (batch, 1, z, y, x), for instance the dRAM.
        mask: (batch, 1, z, y, x), bool or 0..1: the lobe.

    Returns:
        (batch,): of the dRAM, the predicted lesion fraction 0..1 of the lobe. 0 where the mask is empty.
    """
    weight = mask.to(values.dtype)
    return (values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1.0)
