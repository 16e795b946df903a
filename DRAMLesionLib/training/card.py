"""The model card that goes with a bundle."""

from typing import Any

from DRAMLesionLib.training.recipe import Recipe

CARD = """# {name} {version}

Lesion map (dRAM), lobe percentages and lesion mask of COVID-19 on chest CT. **Research use only, not for diagnosis.**

| | |
|---|---|
| Method | dense regression activation map: a 3D U-Net gives one logit per voxel; the mean of its sigmoid over a lobe regresses the lobe's lesion percentage (arXiv 2105.11748) |
| Labels | one percentage per lobe; no voxel label was used |
| Training data | {data} |
| Lobes | {lobes} lobes of {scans} scans |
| Input | one lobe, {spacing} mm (z, y, x), {low:g} to {high:g} HU as 0 to 1, outside the lobe 0 |
| Training | {epochs} epochs, AdamW, one-cycle schedule with peak {rate:g}, seed {seed}; {figures} |
| Intended use | research on the extent of COVID-19 pneumonia on chest CT of adults; a reader checks and corrects each result |
| Limits | few scans of one source; other diseases, scanners, children, contrast and thick slices were not tested |
| Licence of the weights | {licence} |
"""


def model_card(recipe: Recipe, scans: int, lobes: int, figures: dict[str, Any]) -> str:
    """The card of a trained model, Markdown.

    Args:
        recipe: It was trained by.
        scans: How many it saw.
        lobes: How many with a known percentage.
        figures: Of the last epoch.
    """
    low, high = recipe.model.hu_window
    shown = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in figures.items()
    )
    return CARD.format(
        name=recipe.name,
        version=recipe.version,
        data=recipe.data,
        lobes=lobes,
        scans=scans,
        spacing=" x ".join(f"{s:g}" for s in recipe.model.spacing_mm),
        low=low,
        high=high,
        epochs=recipe.epochs,
        rate=recipe.learning_rate,
        seed=recipe.seed,
        figures=shown,
        licence=recipe.licence.strip().splitlines()[0],
    )
