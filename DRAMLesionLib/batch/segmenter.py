"""What a batch's workers run: the main job, its models loaded once for all cases of a process."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.run_models import CaseModels


def prepare(options: dict[str, Any]) -> str:
    """Load the models; the cases of this process find them in memory.

    Args:
        options: Of :func:`segment`.

    Returns:
        A checksum that tells their weights from others.

    Raises:
        InputError: There is no such model, method or device.
    """
    chosen = (options.get(name) for name in ("model", "method"))
    return _models(*chosen, options.get("device", "auto")).checksum


def segment(
    source: Path,
    out: Path,
    *,
    lobes: Path | None = None,
    series: str | None = None,
    model: str | None = None,
    method: str | None = None,
    device: str = "auto",
    with_scene: bool = True,
    progress: Progress = silent,
    **options: Any,
) -> None:
    """Segment one CT and write all results into a folder.

    Args:
        source, out, lobes, series, model, method, device, with_scene, progress: As for
            :func:`~DRAMLesionLib.case.segment_case`.
        **options: For :func:`~DRAMLesionLib.lesions.find.find_lesions`.

    Raises:
        InputError: Something that was given can't be used; nothing was written.
    """
    from DRAMLesionLib.case import memory_explained
    from DRAMLesionLib.images.volume import read_ct
    from DRAMLesionLib.lesions.find import find_lesions
    from DRAMLesionLib.results.folder import write_findings
    from DRAMLesionLib.system.device import find_device
    from DRAMLesionLib.system.record import Stopwatch

    watch = Stopwatch()
    with watch.stage("read"):
        ct = read_ct(source, series=series)
    models, place = _models(model, method, device), str(find_device(device))
    with memory_explained(source, ct, place):
        write_findings(
            find_lesions(
                ct, models, lobes_path=lobes, device=place, progress=progress, watch=watch, **options
            ),
            out,
            with_scene=with_scene,
            progress=progress,
            watch=watch,
        )


@functools.cache
def _models(model: str | None, method: str | None, device: str) -> "CaseModels":
    from DRAMLesionLib.lesions.run_models import load_case_models
    from DRAMLesionLib.system.device import find_device

    return load_case_models(model, method, find_device(device))
