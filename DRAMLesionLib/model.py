"""Models and their bundles, under the name that programs of version 0.1 and 0.2 import."""

from DRAMLesionLib.lesions.networks.bundle import find_model, list_models, load_model, save_model

__all__ = ["find_model", "list_models", "load_model", "save_model"]
