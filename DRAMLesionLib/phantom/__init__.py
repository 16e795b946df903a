"""Synthetic chest CTs of which everything is known: lobes, lesions, percentages."""

from DRAMLesionLib.phantom.phantom import Phantom, lobe_percent, make_phantom, save_phantom

__all__ = ["Phantom", "lobe_percent", "make_phantom", "save_phantom"]
