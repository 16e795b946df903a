"""DRAMLesionLib: lesion maps, lobe percentages and severity scores from chest CT.

The library behind the 3D Slicer extension DRAMLesion; it knows neither Slicer nor Qt. Data flows one way::

    volume -> lobes -> dram -> crf (refined dRAM) -> pseudo_label / segmentation -> quantify -> report, scene

Importing the package is cheap: torch, MONAI and SimpleITK are imported by the files that use them.
For research use only, not for diagnosis.
"""

__version__ = "0.2.0"
