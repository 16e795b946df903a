"""A picture of how a training went."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from DRAMLesionLib.system.files import atomic_file

VALIDATION = "validation_"


def draw_loss_curve(events: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the loss of each epoch and its parts, and below them the validation's measures.

    Args:
        events: Of :class:`~DRAMLesionLib.training.run_log.RunLog`; nothing is drawn before the first epoch's end.
        path: A PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [event for event in events if event.get("event") == "epoch"]
    if not epochs:
        return
    trained = _series(epochs, lambda key: not key.startswith(VALIDATION))
    watched = _series(epochs, lambda key: key.startswith(VALIDATION))
    figure = Figure(figsize=(9, 6 if watched else 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 if watched else 1, 1, sharex=True, squeeze=False)[:, 0]
    for ax, series in zip(axes, (trained, watched), strict=False):
        for key, points in series.items():
            name = key.removeprefix(VALIDATION).replace("_", " ")
            style = {"color": "black", "lw": 2, "zorder": 3} if key == "loss" else {"lw": 1.2}
            ax.plot(
                *zip(*points, strict=True),
                label=name,
                marker="o" if len(epochs) < 40 else None,
                ms=3,
                **style,
            )
        ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("training")
    if watched:
        axes[1].set_ylabel("validation")
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _series(epochs: Sequence[dict[str, Any]], wanted: Any) -> dict[str, list[tuple[int, float]]]:
    series: dict[str, list[tuple[int, float]]] = {}
    for event in epochs:
        for key, value in event.items():
            if isinstance(value, float) and key not in ("rate", "seconds") and wanted(key):
                series.setdefault(key, []).append((event["epoch"], value))
    return series
