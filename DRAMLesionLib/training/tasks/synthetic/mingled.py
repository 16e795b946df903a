"""Lungs that are sick in several ways at once: lobes that differ in how disease spreads, regions that differ in texture.

Disease of one kind throughout is easily known again by its densest part. In severe scans ground glass, consolidation
and lesions of other scans' texture lie beside each other, and much of what a reader's outline takes in is faint.
"""

from collections.abc import Sequence

import numpy as np

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.training.tasks.synthetic.disease import (
    DiseaseStyle,
    Lungs,
    draw_fractions,
    fill_air,
    filling,
    place_disease,
    smooth_noise,
    spared_lung,
)
from DRAMLesionLib.training.tasks.synthetic.texture import LesionTexture, quilt

REGIONS = 3
"""Most regions with a texture of their own; they go through all lobes."""
REGION_MM = (8.0, 40.0)
"""Sigma of the smooth field whose levels are the regions."""


def paste_mingled(
    lungs: Lungs,
    textures: Sequence[LesionTexture],
    rng: np.random.Generator,
    style: DiseaseStyle | None = None,
    fractions: tuple[float, ...] | None = None,
    texture_share: float = 0.4,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill a part of each lobe; each lobe has one of two spreads, and each of up to three regions a texture of its own.

    Args:
        lungs: Without lesion.
        textures: Of other scans' lesions; may be empty.
        rng: Where chance comes from.
        style: Of the disease; where it lies and how it looks is drawn from it anew for each spread and region.
        fractions: Of each lobe, 0..1, as in :func:`~.disease.paste_disease`.
        texture_share: Part of the regions that look like other scans' lesions, 0..1.

    Returns:
        HU, float32 (z, y, x), and where the lesion is, bool (z, y, x).
    """
    style = style or DiseaseStyle()
    wanted = draw_fractions(rng, style) if fractions is None else fractions
    amount, lesion = _either_spread(lungs, rng, style, wanted)
    if not lesion.any():
        return lungs.hu.copy(), lesion
    field = smooth_noise(lungs.hu.shape, rng.uniform(*REGION_MM), lungs.spacing_mm, rng)
    region = np.digitize(field, np.sort(rng.normal(0, 0.7, rng.integers(REGIONS))))
    result = lungs.hu.copy()
    for number in range(int(region.max()) + 1):
        here = (region == number) & (amount > 0)
        if textures and rng.random() < texture_share:
            texture = textures[rng.integers(len(textures))]
            dense = np.maximum(lungs.hu, quilt(texture, lungs.hu.shape, rng))
            shown = np.clip(2 * amount, 0, 1) * spared_lung(lungs, style, rng)  # as in paste_texture
            made = lungs.hu + shown * (dense - lungs.hu)
        else:
            made = fill_air(lungs.hu, amount * filling(lungs, style, rng))
        result[here] = made[here]
    return result, lesion


def _either_spread(
    lungs: Lungs, rng: np.random.Generator, style: DiseaseStyle, fractions: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Amount and lesion as :func:`~.disease.place_disease` gives them, of two draws of which each lobe has one."""
    amount, lesion = place_disease(lungs, rng, style, fractions)
    other_amount, other_lesion = place_disease(lungs, rng, style, fractions)
    others = [lobe.value for lobe in LOBES if rng.random() < 0.5]
    there = np.isin(lungs.labels, others)
    return np.where(there, other_amount, amount), np.where(there, other_lesion, lesion)
