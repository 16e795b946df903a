"""The stage of some work and the time left, in words."""

from slicer.i18n import tr as _

from DRAMLesionLib.system.progress import Estimate


def stageAndTime(estimate: Estimate) -> str:
    """For people: the stage, and how long the rest may take where that can be told."""
    stage = estimate.stage or _("Starting")
    seconds = estimate.remaining_s
    if seconds is None or not estimate.stage:
        return stage
    if seconds < 90:
        return _("{stage}, about {seconds} s left").format(stage=stage, seconds=round(seconds))
    return _("{stage}, about {minutes} min left").format(stage=stage, minutes=round(seconds / 60))
