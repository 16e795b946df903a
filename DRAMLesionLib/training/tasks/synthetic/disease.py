"""Synthetic disease of the lungs: every amount of a lobe and every texture, pasted where nobody had to draw it.

A few lobes with percentages up to a quarter say nothing of a lobe that is nearly all sick. Here a share of each lobe,
0.5 to 95 %, is filled as disease fills it: air gives way to tissue, evenly (ground glass), in a net (crazy paving,
reticulation), nearly whole (consolidation) or in patches of all of them, with gaps of spared lung that a reader's
outline takes in. What is no lesion is varied, too: dependent density at the back, and lungs that are breathed out.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import ndimage, special

from DRAMLesionLib.images.resampling import resample
from DRAMLesionLib.lungs.lobes import LOBES

TISSUE_HU = 30.0
"""HU of what fills the air spaces: fluid and cells."""
Spread = Literal["patches", "peripheral", "lobar", "diffuse", "nodules"]
Texture = Literal["ground glass", "crazy paving", "consolidation", "reticulation", "mixed"]
SPREADS: tuple[Spread, ...] = get_args(Spread)
TEXTURES: tuple[Texture, ...] = get_args(Texture)


@dataclass(frozen=True)
class DiseaseStyle:
    """From which ranges (uniform unless said otherwise) the disease of a scan is drawn.

    Attributes:
        sick_lobes: Probability of a lobe to have any.
        mild: Fraction of a lobe in a mild scan (log-uniform).
        severe: Fraction of a lobe in a severe scan.
        severe_share: Part of the scans that are severe; as many have lobes of either kind.
        spreads: Where disease may lie.
        textures: How it may fill the lung.
        gap_share: Part of the diseased region that is spared lung.
        ground_glass: Part of the air that gives way in ground glass, the base of other textures.
        steepness: Of the disease's edge (log-uniform); at 2 it fades over much of a lobe.
    """

    sick_lobes: float = 0.7
    mild: tuple[float, float] = (0.005, 0.3)
    severe: tuple[float, float] = (0.2, 0.95)
    severe_share: float = 0.3
    spreads: tuple[Spread, ...] = SPREADS
    textures: tuple[Texture, ...] = TEXTURES
    gap_share: tuple[float, float] = (0.0, 0.45)
    ground_glass: tuple[float, float] = (0.14, 0.45)
    steepness: tuple[float, float] = (2.0, 40.0)


@dataclass(frozen=True)
class Lungs:
    """Lungs without lesion, and where in them a voxel lies.

    Attributes:
        hu: float32 (z, y, x), the chest about the lungs included.
        labels: uint8 (z, y, x), lobes 1..5.
        spacing_mm: (z, y, x).
        depth_mm: float32 (z, y, x): distance to the lungs' surface.
        behind_mm: float32 (z, y, x): distance to the last voxel of the lungs behind it (towards the back).
    """

    hu: np.ndarray
    labels: np.ndarray
    spacing_mm: tuple[float, float, float]
    depth_mm: np.ndarray
    behind_mm: np.ndarray

    @classmethod
    def of(cls, hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float]) -> "Lungs":
        """Measure where the voxels lie."""
        inside = labels > 0
        depth = ndimage.distance_transform_edt(inside, sampling=spacing_mm).astype(np.float32)
        last = labels.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
        rows = np.arange(labels.shape[1])[None, :, None]
        behind = (np.maximum(last[:, None] - rows, 0) * spacing_mm[1]).astype(np.float32)
        return cls(hu.astype(np.float32), labels, spacing_mm, depth, behind)


def paste_disease(
    lungs: Lungs,
    rng: np.random.Generator,
    style: DiseaseStyle | None = None,
    fractions: tuple[float, ...] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill a part of each lobe; vessels and noise stay visible in it.

    Args:
        lungs: Without lesion.
        rng: Where chance comes from.
        style: Of the disease.
        fractions: Of each lobe, 0..1, in the order of the lobes' values; None draws them, see :func:`draw_fractions`.

    Returns:
        HU, float32 (z, y, x), unchanged outside the lesion's soft edge; and where the lesion is, bool (z, y, x): its
        share of each lobe is the fraction, up to a voxel.
    """
    style = style or DiseaseStyle()
    amount, lesion = place_disease(lungs, rng, style, fractions)
    if not lesion.any():
        return lungs.hu.copy(), lesion
    return fill_air(lungs.hu, amount * _filling(lungs, style, rng)), lesion


def place_disease(
    lungs: Lungs,
    rng: np.random.Generator,
    style: DiseaseStyle,
    fractions: tuple[float, ...] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Say where disease lies, not yet how it looks.

    Args:
        lungs: Without lesion.
        rng: Where chance comes from.
        style: Of the disease; here its spreads count.
        fractions: Of each lobe, as in :func:`paste_disease`.

    Returns:
        How much of each voxel is diseased, float32 (z, y, x), 0..1, with soft edges; and where the lesion is, bool
        (z, y, x).
    """
    wanted = draw_fractions(rng, style) if fractions is None else fractions
    inside = lungs.labels > 0
    if not any(wanted):
        return np.zeros(inside.shape, np.float32), np.zeros(inside.shape, bool)
    score = _spread(lungs, rng.choice(style.spreads), rng)
    cut, highest = _cuts(lungs.labels, score, wanted)
    if fractions is None and rng.random() < 0.5:
        # Disease that goes over from lobe to lobe: the fractions are then what comes of it.
        cut = ndimage.gaussian_filter(cut, [10.0 / s for s in lungs.spacing_mm], truncate=2.0)
    steepness = np.exp(rng.uniform(*np.log(style.steepness)))
    # A small lesion's edge is steeper: its middle would stay faint otherwise.
    amount = special.expit(np.maximum(steepness, 8.0 / highest) * (score - cut)) * inside
    return amount.astype(np.float32), (score >= cut) & inside


def _cuts(
    labels: np.ndarray, score: np.ndarray, fractions: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The score at which each lobe has its fraction above it, and how far its highest score lies above that.

    Both float32 (z, y, x), the same throughout a lobe.
    """
    most = float(score.max()) + 1.0
    cut, highest = np.full(score.shape, most, np.float32), np.full(score.shape, 0.05, np.float32)
    for lobe, fraction in zip(LOBES, fractions, strict=True):
        here = labels == lobe.value
        size = int(np.count_nonzero(here))
        count = min(size, round(fraction * size))
        if count:
            values = score[here]
            least = float(np.partition(values, size - count)[size - count])
            cut[here], highest[here] = least, max(float(values.max()) - least, 1e-3)
    return cut, highest


def draw_fractions(rng: np.random.Generator, style: DiseaseStyle) -> tuple[float, ...]:
    """The diseased fraction of each lobe, 0..1: all lobes mild, all severe, or some of either."""
    kind = rng.random()
    chance = 1.0 if kind < style.severe_share else 0.5 if kind < 2 * style.severe_share else 0.0
    drawn = []
    for _ in LOBES:
        mild = float(np.exp(rng.uniform(*np.log(style.mild))))
        severe = float(rng.uniform(*style.severe))
        drawn.append(severe if rng.random() < chance else mild)
    sick = rng.random(len(LOBES)) < style.sick_lobes
    return tuple(value if is_sick else 0.0 for value, is_sick in zip(drawn, sick, strict=True))


def fill_air(hu: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """HU where tissue of :data:`TISSUE_HU` takes the place of a part (0..1) of what is darker."""
    return (hu + amount * np.maximum(TISSUE_HU - hu, 0)).astype(np.float32)


def vary_normal(lungs: Lungs, rng: np.random.Generator) -> np.ndarray:
    """HU of the same lungs less inflated, and denser at the back: both are normal, and no lesion.

    Returns:
        float32 (z, y, x); nothing changes outside the lungs.
    """
    amount = np.zeros(lungs.hu.shape, np.float32)
    if rng.random() < 0.4:
        uneven = 1 + 0.2 * smooth_noise(lungs.hu.shape, 25.0, lungs.spacing_mm, rng)
        amount += rng.uniform(0, 0.2) * uneven
    if rng.random() < 0.6:
        reach = np.exp(rng.uniform(np.log(4.0), np.log(30.0)))
        uneven = 1 + 0.5 * smooth_noise(lungs.hu.shape, 8.0, lungs.spacing_mm, rng)
        amount += rng.uniform(0.02, 0.35) * np.exp(-lungs.behind_mm / reach) * uneven
    amount = np.clip(amount, 0, 0.5) * (lungs.labels > 0)
    return fill_air(lungs.hu, amount)


def smooth_noise(
    shape: tuple[int, ...], sigma_mm: float, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1, float32, made on a coarser grid where that is enough."""
    sigma = [sigma_mm / s for s in spacing_mm]
    coarse = [max(2, int(np.ceil(n / max(1.0, s / 1.5)))) for n, s in zip(shape, sigma, strict=True)]
    rough = rng.standard_normal(coarse, dtype=np.float32)
    widths = [s * c / n for s, c, n in zip(sigma, coarse, shape, strict=True)]
    smooth = ndimage.gaussian_filter(rough, widths, truncate=3.0, mode="nearest")
    if tuple(coarse) != tuple(shape):
        smooth = resample(smooth, shape, order=1)
    smooth -= smooth.mean()
    return smooth / (smooth.std() + 1e-6)


def _spread(lungs: Lungs, spread: Spread, rng: np.random.Generator) -> np.ndarray:
    """Where disease comes first: float32 (z, y, x), standard deviation about 1."""
    shape, spacing = lungs.hu.shape, lungs.spacing_mm
    ragged = smooth_noise(shape, rng.uniform(2.5, 6.0), spacing, rng)
    if spread in ("patches", "nodules"):
        size = (4.0, 9.0) if spread == "nodules" else (9.0, 25.0)
        field = smooth_noise(shape, rng.uniform(*size), spacing, rng)
        field += rng.uniform(0, 1.0) * _standard(np.exp(-lungs.depth_mm / 12.0))
    elif spread == "peripheral":
        field = smooth_noise(shape, rng.uniform(10.0, 30.0), spacing, rng)
        field += rng.uniform(1.0, 3.0) * _standard(np.exp(-lungs.depth_mm / rng.uniform(8.0, 25.0)))
        field += rng.uniform(0, 1.0) * _standard(-lungs.behind_mm)
    elif spread == "lobar":
        height = np.arange(shape[0], dtype=np.float32)[:, None, None] * spacing[0]
        slope = rng.normal(0, 1, 2)
        field = slope[0] * _standard(lungs.behind_mm) + slope[1] * _standard(height + 0 * lungs.depth_mm)
        field += rng.uniform(0.3, 1.0) * smooth_noise(shape, 20.0, spacing, rng)
    else:
        field = smooth_noise(shape, rng.uniform(4.0, 12.0), spacing, rng)
    return _standard(field) + rng.uniform(0.05, 0.35) * ragged


def _filling(lungs: Lungs, style: DiseaseStyle, rng: np.random.Generator) -> np.ndarray:
    """Which part of the air gives way in a diseased voxel: float32 (z, y, x), 0..1."""
    shape, spacing = lungs.hu.shape, lungs.spacing_mm
    texture = rng.choice(style.textures)
    fine = smooth_noise(shape, rng.uniform(1.5, 4.0), spacing, rng)
    broad = smooth_noise(shape, rng.uniform(6.0, 14.0), spacing, rng)
    base = rng.uniform(*style.ground_glass)
    part = base * (1 + rng.uniform(0.05, 0.3) * fine + rng.uniform(0.05, 0.3) * broad)
    if texture == "consolidation":
        part = rng.uniform(0.65, 1.0) + 0.1 * fine
        part = np.where(_lines(shape, spacing, rng, 0.08), 0.1 * part, part)  # air bronchograms
    elif texture in ("crazy paving", "reticulation"):
        part = part * (1.0 if texture == "crazy paving" else rng.uniform(0.1, 0.4))
        part = part + rng.uniform(0.2, 0.5) * _lines(shape, spacing, rng, 0.35)
    elif texture == "mixed":
        part = rng.uniform(0.2, 0.6) + rng.uniform(0.1, 0.3) * broad + rng.uniform(0.03, 0.2) * fine
    return np.clip(part * spared_lung(lungs, style, rng), 0.0, 1.0).astype(np.float32)


def spared_lung(lungs: Lungs, style: DiseaseStyle, rng: np.random.Generator) -> np.ndarray:
    """Gaps of spared lung in a diseased region, which a reader's outline takes in all the same.

    Returns:
        float32, (z, y, x) or (1, 1, 1): how much of the disease there is, 1 outside the gaps.
    """
    gaps = rng.uniform(*style.gap_share) * (rng.random() < 0.6)
    if not gaps:
        return np.ones((1, 1, 1), np.float32)
    noise = smooth_noise(lungs.hu.shape, rng.uniform(2.0, 6.0), lungs.spacing_mm, rng)
    left = rng.uniform(0.0, 0.4)
    return np.where(noise < special.ndtri(gaps), left, 1.0).astype(np.float32)


def _lines(
    shape: tuple[int, ...], spacing: tuple[float, float, float], rng: np.random.Generator, share: float
) -> np.ndarray:
    """A net of thin lines, about ``share`` of the voxels: where smooth noise is near 0. Bool (z, y, x)."""
    field = smooth_noise(shape, rng.uniform(2.5, 5.0), spacing, rng)
    return np.abs(field) < special.ndtri(0.5 + share / 2)


def _standard(values: np.ndarray) -> np.ndarray:
    return ((values - values.mean()) / (values.std() + 1e-6)).astype(np.float32)
