"""A whole study from its files: runs, table and picture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from DRAMLesionLib.system.device import find_device
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.training.data.datalist import DataList, read_datalist
from DRAMLesionLib.training.evaluation.study import load_scans, run_study
from DRAMLesionLib.training.evaluation.study_masks import fit_line
from DRAMLesionLib.training.evaluation.study_picture import draw_stages
from DRAMLesionLib.training.evaluation.study_recipe import read_study
from DRAMLesionLib.training.evaluation.study_table import write_study_table
from DRAMLesionLib.training.run_log import Log


def make_study(
    path: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    seeds: tuple[int, ...] | None = None,
    epochs: int | None = None,
    picture: bool = True,
    device: str = "auto",
    progress: Progress = silent,
    log: Log = lambda event: None,
    stop: Callable[[], bool] | None = None,
) -> str:
    """Run a study and write its table and picture; arguments as of
    :func:`~DRAMLesionLib.training.evaluation.study.run_study`.

    Args:
        path: See :mod:`~DRAMLesionLib.training.evaluation.study_recipe`.
        data: The data list.
        out: The folder.
        seeds: Instead of the study's.
        epochs: Instead of each recipe's.
        picture: Draw ``stages.png``, of the first validation scan (the first training scan where there is none).
        device: Where to compute.
        progress: Told the stage and how much of it is done.
        log: Given the events of each training.
        stop: Asked whether to stop.

    Returns:
        The table, Markdown.
    """
    study = read_study(path)
    study = study if seeds is None else replace(study, seeds=seeds)
    runs = run_study(study, data, out, epochs=epochs, device=device, progress=progress, log=log, stop=stop)
    text = write_study_table(runs, out)
    if picture:
        progress("Drawing the stages", 0.0)
        scans = read_datalist(data)
        first = DataList((), scans.validation[:1]) if scans.validation else DataList(scans.training[:1], ())
        (one,) = load_scans(first, progress)
        line = None
        if any(row.mask == "line" for row in study.rows):
            line = fit_line(load_scans(DataList(scans.training, ()), progress))
        draw_stages(study, one, Path(out), str(find_device(device)), line=line)
    return text
