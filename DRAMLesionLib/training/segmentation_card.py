"""The model card of a final network."""

from typing import Any

from DRAMLesionLib.system.package import PACKAGE
from DRAMLesionLib.training.recipe import Recipe

TEMPLATE = PACKAGE / "templates" / "segmentation_card.md"


def segmentation_card(recipe: Recipe, scans: int, figures: dict[str, Any]) -> str:
    """The card of a trained final network, Markdown.

    Args:
        recipe: It was trained by.
        scans: How many it saw.
        figures: Of the last epoch.
    """
    model = recipe.model
    low, high = model.hu_window
    shown = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in figures.items()
    )
    return TEMPLATE.read_text(encoding="utf-8").format(
        name=recipe.name,
        version=recipe.version,
        data=recipe.data,
        scans=scans,
        patch=" x ".join(str(n) for n in model.patch),
        spacing=" x ".join(f"{s:g}" for s in model.spacing_mm),
        low=low,
        high=high,
        outside=", air outside the lobes" if model.lobes_only else "",
        filters=", ".join(str(n) for n in model.network.filters),
        companion=model.dram_model or "the default dRAM model",
        epochs=recipe.epochs,
        patches=recipe.settings.patches_per_scan,
        rate=recipe.learning_rate,
        seed=recipe.seed,
        figures=shown,
        licence=recipe.licence.strip().splitlines()[0],
    )
