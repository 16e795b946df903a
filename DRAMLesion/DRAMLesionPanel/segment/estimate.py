"""How much of a run is done and how long the rest may take, from the stages that the library reports."""

from collections.abc import Callable

from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.system.progress import Estimate

ARRIVAL = "Bringing the results into the scene"
"""The last stage, which is not the library's."""
HANDOVER = {"Handing over": 0.7, ARRIVAL: 1.5}
"""What a run for the panel does in place of writing files, with the usual seconds."""
FIRST_OF_FILES = "Writing the results"


def estimateOf(options: Options, clock: Callable[[], float] | None = None) -> Estimate:
    """The bar of a run with these options, from the worker's first stage to the results in the scene."""
    stages = options.seconds()
    computing = list(stages)[: list(stages).index(FIRST_OF_FILES)]
    seconds = {name: stages[name] for name in computing} | HANDOVER
    return Estimate(seconds) if clock is None else Estimate(seconds, clock)
