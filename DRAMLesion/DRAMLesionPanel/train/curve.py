"""The live chart of a training: loss and validation, each on a scale of its own, drawn into a label of the panel.

A chart of the scene would go with the scene, and take a slice view's place; a training outlives both.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import qt
from slicer.i18n import tr as _

from DRAMLesionPanel.shared import colors
from DRAMLesionPanel.train.progress import TrainingProgress

PANE_HEIGHT, HEAD, FOOT, MARGIN, GUTTER = 116, 20, 34, 4, 48
TICKS = 5
"""About so many numbers along the epochs."""

Points = Sequence[tuple[float, float]]


def drawTraining(label: Any, progress: TrainingProgress) -> None:
    """Draw where a training stands; without a step there is nothing to see, and the label is hidden."""
    loss = progress.curve()
    label.setVisible(bool(loss))
    if not loss:
        label.clear()
        return
    panes = [(_("Loss (no unit)"), loss, colors.LOSS, "{:.3g}")]
    watched = [(float(epoch), value) for epoch, value in sorted(progress.validations.items())]
    if watched:
        panes.append((_("Validation: error (percentage points)"), watched, colors.VALIDATION, "{:.2f}"))
    width, height = max(240, label.width), PANE_HEIGHT * len(panes) + FOOT
    ratio = label.devicePixelRatioF()
    picture = qt.QPixmap(round(width * ratio), round(height * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(qt.QColor(0, 0, 0, 0))
    painter = qt.QPainter(picture)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    ink = label.palette.color(qt.QPalette.WindowText)
    for number, pane in enumerate(panes):
        _drawPane(painter, width, number * PANE_HEIGHT, progress.epochs, pane, ink)
    painter.setPen(ink)
    _drawEpochs(painter, width, height - FOOT, progress.epochs)
    painter.end()
    label.setFixedHeight(height)
    label.setPixmap(picture)


def ticks(epochs: int) -> list[int]:
    """Epochs to write along an axis from 0 to the last one: round numbers, and the last."""
    step = next(n * 10**power for power in range(10) for n in (1, 2, 5) if n * 10**power * TICKS >= epochs)
    shown = list(range(0, epochs + 1, step))
    if shown[-1] != epochs:
        shown = [*(number for number in shown if epochs - number > step / 2), epochs]
    return shown


def _drawEpochs(painter: Any, width: int, top: int, epochs: int) -> None:
    """The axis that the curves share."""
    right, metrics = width - MARGIN, painter.fontMetrics()
    for number in ticks(epochs):
        x = GUTTER + round((right - GUTTER) * number / max(1, epochs))
        painter.drawLine(x, top - 6, x, top - 2)
        text = str(number)
        half = metrics.horizontalAdvance(text) // 2
        painter.drawText(min(x - half, right - 2 * half), top + 10, text)
    text = _("epoch")
    middle = (GUTTER + right - metrics.horizontalAdvance(text)) // 2
    painter.drawText(middle, top + 26, text)


def _drawPane(painter: Any, width: int, top: int, epochs: int, pane: tuple[Any, ...], ink: Any) -> None:
    """One curve with its title, its last value and its range."""
    title, points, color, form = pane
    values = [value for _x, value in points]
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    painter.setPen(ink)
    painter.drawText(MARGIN, top + HEAD - 6, f"{title}: {form.format(values[-1])}")
    left, right, upper, lower = GUTTER, width - MARGIN, top + HEAD + 2, top + PANE_HEIGHT - 6
    painter.drawLine(left, lower, right, lower)
    painter.drawLine(left, upper, left, lower)
    for share, value in ((0.0, low), (0.5, (low + high) / 2), (1.0, high)):
        y = round(lower - (lower - upper) * share)
        painter.drawLine(left - 4, y, left, y)
        text = form.format(value)
        painter.drawText(left - 6 - painter.fontMetrics().horizontalAdvance(text), y + 4, text)

    def place(point: tuple[float, float]) -> tuple[int, int]:
        x = left + (right - left) * point[0] / max(1, epochs)
        return round(x), round(lower - (lower - upper) * (point[1] - low) / (high - low))

    pen = qt.QPen(qt.QColor(color))
    pen.setWidth(2)
    painter.setPen(pen)
    places = [place(point) for point in points]
    for (x1, y1), (x2, y2) in pairwise(places):
        painter.drawLine(x1, y1, x2, y2)
    if len(places) < 30:
        for x, y in places:
            painter.drawEllipse(x - 2, y - 2, 4, 4)
