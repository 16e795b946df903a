"""Small faults, each of which a test has to notice: what is put into the code in place of what, and who should see it."""

from . import batch, library, panel, training
from .fault import Fault

FAULTS = (*library.FAULTS, *training.FAULTS, *batch.FAULTS, *panel.FAULTS)

__all__ = ["FAULTS", "Fault"]
