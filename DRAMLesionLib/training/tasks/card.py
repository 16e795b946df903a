"""The model cards that go with bundles, from ``templates/``."""

from typing import Any

from DRAMLesionLib.system.package import PACKAGE
from DRAMLesionLib.training.recipes.recipe import Recipe


def model_card(recipe: Recipe, scans: int, lobes: int, figures: dict[str, Any]) -> str:
    """The card of a trained dRAM network, Markdown.

    Args:
        recipe: The recipe that the network was trained by.
        scans: How many scans it saw.
        lobes: How many lobes with a known percentage.
        figures: The last epoch's losses and measures by name.
    """
    return _filled("model_card.md", recipe, figures, scans=scans, lobes=lobes)


def segmentation_card(recipe: Recipe, scans: int, figures: dict[str, Any]) -> str:
    """The card of a trained final network, Markdown.

    Args:
        recipe: The recipe that the network was trained by.
        scans: How many scans it saw.
        figures: The last epoch's losses and measures by name.
    """
    model = recipe.model
    return _filled(
        "segmentation_card.md",
        recipe,
        figures,
        scans=scans,
        patch=" x ".join(str(n) for n in model.patch),
        outside=", air outside the lobes" if model.lobes_only else "",
        filters=", ".join(str(n) for n in model.network.filters),
        companion=model.dram_model or "the default dRAM model",
        lost="; a small lesion that lies along the mediastinum alone is lost" if model.without_hilum else "",
        patches=recipe.settings.patches_per_scan,
    )


def cam_card(recipe: Recipe, scans: int, lobes: int, figures: dict[str, Any]) -> str:
    """The card of a trained CAM network, Markdown.

    Args:
        recipe: The recipe that the network was trained by.
        scans: How many scans it saw.
        lobes: How many lobes with a known percentage or score.
        figures: The last epoch's losses and measures by name.
    """
    classes = "six severity scores" if recipe.settings.classes == "score" else "lesion or none"
    stages = recipe.settings.stages
    return _filled("cam_card.md", recipe, figures, scans=scans, lobes=lobes, classes=classes, stages=stages)


def lungs_card(recipe: Recipe, scans: int, figures: dict[str, Any], training: str | None = None) -> str:
    """The card of a trained lung network, Markdown.

    Args:
        recipe: The recipe that the network was trained by.
        scans: How many scans it saw.
        figures: The last epoch's losses and measures by name.
        training: How it was trained, where that is not what the recipe says.
    """
    said = (
        f"{recipe.epochs} epochs of {recipe.settings.samples_per_scan} samples per scan, {recipe.batch} at a time, "
        f"AdamW, one-cycle schedule with peak {recipe.learning_rate:g}, seed {recipe.seed}; {_shown(figures)}"
    )
    return (
        (PACKAGE / "templates" / "lungs_card.md")
        .read_text(encoding="utf-8")
        .format(
            name=recipe.name,
            version=recipe.version,
            data=recipe.data,
            scans=scans,
            features=", ".join(str(n) for n in recipe.model.features),
            spacing=recipe.model.spacing_mm,
            size=" x ".join(str(n) for n in recipe.settings.size),
            training=training or said,
            licence=recipe.licence.strip().splitlines()[0],
        )
    )


def amounts_card(recipe: Recipe, scans: int, healthy: int, figures: dict[str, Any]) -> str:
    """The card of a trained network of the lobes' amounts, Markdown.

    Args:
        recipe: The recipe that the network was trained by.
        scans: How many scans with lesion it saw.
        healthy: How many scans had lobes without lesion.
        figures: The last epoch's losses and measures by name.
    """
    return _filled(
        "amounts_card.md",
        recipe,
        figures,
        scans=scans,
        healthy=healthy,
        features=", ".join(str(n) for n in recipe.model.features),
        block=recipe.model.block,
        samples=recipe.settings.samples,
        real=recipe.settings.real_share,
        batch=recipe.batch,
    )


def _shown(figures: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in figures.items()
    )


def _filled(template: str, recipe: Recipe, figures: dict[str, Any], **values: Any) -> str:
    low, high = recipe.model.hu_window
    return (
        (PACKAGE / "templates" / template)
        .read_text(encoding="utf-8")
        .format(
            name=recipe.name,
            version=recipe.version,
            data=recipe.data,
            spacing=" x ".join(f"{s:g}" for s in recipe.model.spacing_mm),
            low=low,
            high=high,
            epochs=recipe.epochs,
            rate=recipe.learning_rate,
            seed=recipe.seed,
            figures=_shown(figures),
            licence=recipe.licence.strip().splitlines()[0],
            **values,
        )
    )
