"""Where this library and the data that it ships lie: ``models``, ``templates`` and ``terminologies``."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder ``DRAMLesionLib``. Child processes find the library by the folder that holds it."""
