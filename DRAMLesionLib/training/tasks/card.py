"""The model card that goes with a bundle."""

from typing import Any

from DRAMLesionLib.system.package import PACKAGE
from DRAMLesionLib.training.recipe import Recipe

TEMPLATE = PACKAGE / "templates" / "model_card.md"


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
    return TEMPLATE.read_text(encoding="utf-8").format(
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
