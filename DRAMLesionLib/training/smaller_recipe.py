"""What to change in a recipe where memory does not suffice for it."""

from DRAMLesionLib.lesions.networks.windows import smaller_windows
from DRAMLesionLib.training.recipes.recipe import Recipe

COARSER = 1.25
"""Spacing times this: about half as many voxels."""
COARSEST_MM = 10.0
"""That a recipe may ask for."""


def smaller_recipe(recipe: Recipe) -> str:
    """The setting that about halves what a training needs: smaller patches, or for whole lobes a coarser grid."""
    patch = getattr(recipe.model, "patch", None)
    if patch is not None:
        following = next(smaller_windows(patch, recipe.model.network.step), None)
        if following is not None:
            return f"set model.patch to {list(following)} in the recipe, or give each process a smaller batch"
        return "lower batch in the recipe, or the numbers of model.network.filters"
    spacing = [round(length * COARSER, 2) for length in recipe.model.spacing_mm]
    if max(spacing) > COARSEST_MM:
        return "halve the numbers of model.network.features in the recipe"
    return f"set model.spacing_mm to {spacing} in the recipe, or halve the numbers of model.network.features"
