"""What a batch's workers run: the main job, its models loaded once for all cases of a process."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.run_models import CaseModels


def prepare(options: dict[str, Any]) -> str:
    """Load the models; the cases of this process find them in memory.

    Args:
        options: Fields of :class:`~DRAMLesionLib.lesions.options.Options` by name.

    Returns:
        A checksum that tells their weights from others.

    Raises:
        InputError: There is no such model, method or device.
    """
    return _models(Options(**options)).checksum


def seconds(options: dict[str, Any]) -> dict[str, float]:
    """The stages of a case, in their order, and the seconds that each usually takes; models are loaded before.

    Args:
        options: Fields of :class:`~DRAMLesionLib.lesions.options.Options` by name.
    """
    stages = Options(**options).seconds()
    return {name: length for name, length in stages.items() if name not in ("Starting", "Loading the models")}


def segment(source: Path, out: Path, *, progress: Progress = silent, **options: Any) -> None:
    """Segment one CT and write all results into a folder.

    Args:
        source: The CT under a name that may be shown: see :mod:`DRAMLesionLib.batch.inputs`.
        out: The folder for the results.
        progress: Told the stage and how much of it is done.
        **options: Fields of :class:`~DRAMLesionLib.lesions.options.Options` by name.

    Raises:
        InputError: Something that was given can't be used; nothing was written.
    """
    from DRAMLesionLib.case import segment_case

    chosen = Options(**{**options, "keep_identifiers": True, "with_study": False})
    segment_case(source, out, chosen, models=_models(chosen), progress=progress)


def _models(options: Options) -> "CaseModels":
    return _loaded(options.model, options.method, options.device)


@functools.cache
def _loaded(model: str | None, method: str | None, device: str) -> "CaseModels":
    from DRAMLesionLib.lesions.run_models import load_case_models
    from DRAMLesionLib.system.device import find_device

    return load_case_models(model, method, find_device(device))
