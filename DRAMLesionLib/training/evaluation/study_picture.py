"""Every stage of a study on one slice: CT, the maps, the pseudo label, the masks and the expert's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from DRAMLesionLib.lesions.mask import segment_lesion, take_speckle_off
from DRAMLesionLib.results.colors import LESION_COLOR, css, map_colormap
from DRAMLesionLib.system.files import atomic_file
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.data.pseudo_labels import guess_label
from DRAMLesionLib.training.evaluation.study import model_folder, teacher_folder
from DRAMLesionLib.training.evaluation.study_masks import (
    LoadedScan,
    StraightLine,
    lesion_map,
    load_row_model,
    threshold_of,
)
from DRAMLesionLib.training.evaluation.study_recipe import EXPERT, Study, StudyRow

HU_SHOWN = (-1150.0, 250.0)
EXPERT_COLOR, MASK_COLOR = "#00e5ff", css(LESION_COLOR)
Panel = tuple[str, np.ndarray | None, np.ndarray | None]
"""Title, map (0..1) or None, mask or None."""


def draw_stages(
    study: Study,
    one: LoadedScan,
    out: Path,
    device: str = "cpu",
    z: int | None = None,
    line: StraightLine | None = None,
) -> Path:
    """Write ``stages.png``: the stages on the slice with most lesion, with the first seed's models.

    Args:
        study: Rows and seeds.
        one: The scan, with its weak label for the pseudo label.
        out: The study's folder.
        device: Where to compute.
        z: The slice, counted from below; None for the one with most lesion.
        line: The straight line of the study's training scans, where a row has it.

    Returns:
        The picture's path.
    """
    areas = one.expert.sum(axis=(1, 2))
    z = int(areas.argmax()) if z is None else z
    panels: list[Panel] = [("CT", None, None)]
    for row in study.rows:
        panels += _panels(row, study, one, out, device, z, line)
    panels.append(("expert", None, one.expert[z]))
    path = out / "stages.png"
    _draw(panels, one, z, path)
    return path


def _panels(
    row: StudyRow,
    study: Study,
    one: LoadedScan,
    out: Path,
    device: str,
    z: int,
    line: StraightLine | None,
) -> list[Panel]:
    folder = model_folder(row, study, study.seeds[0], out)
    model: Any = None if folder is None else load_row_model(row.mask, folder, device)
    panels: list[Panel] = []
    if row.labels_of not in (None, EXPERT):
        assert row.labels_of is not None
        taught_by = model_folder(study.row(row.labels_of), study, study.seeds[0], out)
        assert taught_by is not None
        teacher = load_row_model("dram", taught_by, device)
        scan = Scan(one.scan.image, one.scan.lobes, one.scan.percent, one.scan.score)
        label, _ = guess_label(one.ct, one.lobes, scan, teacher, row.labels, device=device)
        panels.append((f"pseudo label ({row.name})", None, label[z]))
    other = teacher_folder(row, study, study.seeds[0], out)
    partner = line if other is None else load_row_model("dram", other, device)
    values = lesion_map(row.mask, model, one, device, partner)
    shown, cut = values[z].copy(), threshold_of(row, model)
    take_speckle_off(values, one.lobes, cut, one.ct.spacing_mm)
    mask = segment_lesion(values[z], one.lobes[z], cut) > 0
    shows_map = row.mask in ("dram", "attention", "crf")
    panels.append((row.name, shown if shows_map else None, mask))
    return panels


def _draw(panels: Sequence[Panel], one: LoadedScan, z: int, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    box = ndimage.find_objects((one.lobes[z] > 0).astype(np.uint8))[0]
    box = tuple(slice(max(0, b.start - 6), b.stop + 6) for b in box)
    ct, expert = one.ct.array[z][box], one.expert[z][box]
    columns = min((5, 4, 3), key=lambda n: -len(panels) % n)  # as few empty places as can be
    rows = -(-len(panels) // columns)
    height, width = (n * s for n, s in zip(ct.shape, one.ct.spacing_mm[1:], strict=True))
    figure = Figure(figsize=(2.9 * columns, (2.9 * height / width + 0.25) * rows), dpi=110, facecolor="black")
    FigureCanvasAgg(figure)
    for number, (title, values, mask) in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, number)
        extent = (0.0, width, height, 0.0)
        axes.imshow(ct, cmap="gray", vmin=HU_SHOWN[0], vmax=HU_SHOWN[1], extent=extent)
        if values is not None:
            heat = np.ma.masked_less(values[box], 0.05)
            axes.imshow(
                heat, cmap=map_colormap(), vmin=0, vmax=1, alpha=0.65, extent=extent, interpolation="nearest"
            )
        if mask is not None:
            _outline(axes, mask[box], MASK_COLOR, extent)
        if 1 < number < len(panels):
            _outline(axes, expert, EXPERT_COLOR, extent, 0.6)
        axes.set_title(title, color="white", fontsize=9, pad=3)
        axes.set_axis_off()
    figure.subplots_adjust(0.005, 0.035, 0.995, 0.965, 0.015, 0.09)
    figure.text(
        0.01,
        0.008,
        "violet: this stage's mask   cyan: the expert's   heat: the map, 0 to 1",
        color="white",
        fontsize=8,
    )
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _outline(axes: Any, mask: np.ndarray, color: str, extent: tuple[float, ...], width: float = 1.1) -> None:
    if mask.any() and not mask.all():
        rows, columns = mask.shape
        x = (np.arange(columns) + 0.5) * extent[1] / columns
        y = (np.arange(rows) + 0.5) * extent[2] / rows
        axes.contour(x, y, mask.astype(float), levels=[0.5], colors=[color], linewidths=width)
