"""What a model's file says of it, under the name that programs of version 0.1 and 0.2 import."""

from DRAMLesionLib.lesions.networks.description import ModelDescription

__all__ = ["ModelDescription"]
