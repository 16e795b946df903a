"""CT volumes, under the name that programs of version 0.1 and 0.2 import."""

from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid, write_volume

__all__ = ["Volume", "read_ct", "read_on_grid", "write_volume"]
