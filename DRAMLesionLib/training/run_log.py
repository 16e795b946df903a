"""What a training leaves to look at: ``log.jsonl``, ``loss.png`` and, on request, TensorBoard's files."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from DRAMLesionLib.system.files import atomic_file, explained, write_text
from DRAMLesionLib.system.optional import import_optional

Log = Callable[[dict[str, Any]], None]
LOG, CURVE, TENSORBOARD = "log.jsonl", "loss.png", "tensorboard"
SECONDS_BETWEEN_CURVES = 60.0


class RunLog:
    """Keeps the events of a training: one JSON line each, and a picture of them.

    The lines are those of ``--json``: ``{"event": "step", "epoch", "step", "loss", ...}`` and
    ``{"event": "epoch", "epoch", "step", "loss", ..., "validation_...": }``.
    """

    def __init__(self, folder: Path, step: int, show: Log, tensorboard: bool = False):
        """Open the log.

        Args:
            folder: Where the training's state lies.
            step: Where the training goes on; later lines are of steps that are done again, and are dropped.
            show: Is given each event, too.
            tensorboard: Write TensorBoard's files as well.

        Raises:
            InputError: TensorBoard is asked for and not installed.
        """
        self._show, self._folder = show, folder
        self._board: Any = _board(folder / TENSORBOARD, step) if tensorboard else None
        self._events = [event for event in read_log(folder / LOG) if event.get("step", 0) <= step]
        write_text(folder / LOG, "".join(json.dumps(event) + "\n" for event in self._events))
        self._file = (folder / LOG).open("a", encoding="utf-8")
        self._drawn = time.monotonic()

    def add(self, event: dict[str, Any]) -> None:
        """Keep and show one event."""
        self._events.append(event)
        with explained(self._folder / LOG):
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()
        self._show(event)
        if self._board is not None:
            for key, value in event.items():
                if isinstance(value, float):
                    self._board.add_scalar(f"{event['event']}/{key}", value, event["step"])
        if event["event"] == "epoch" and time.monotonic() - self._drawn > SECONDS_BETWEEN_CURVES:
            self.draw()

    def draw(self) -> None:
        """Write the picture of what was logged so far."""
        draw_loss_curve(self._events, self._folder / CURVE)
        self._drawn = time.monotonic()

    def close(self) -> None:
        """Write the picture and close the files."""
        with explained(self._folder / LOG):
            self._file.close()
        if self._board is not None:
            self._board.close()
        self.draw()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The events of a ``log.jsonl``; none where there is no such file. A last line that was cut off is left out."""
    if not path.is_file():
        return []
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return [event for event in events if isinstance(event, dict)]


def _board(folder: Path, step: int) -> Any:
    board = import_optional("torch.utils.tensorboard", "tensorboard", "--tensorboard")
    return board.SummaryWriter(str(folder), purge_step=step + 1 if step else None)


VALIDATION = "validation_"


def draw_loss_curve(events: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the loss of each epoch and its parts, and below them the validation's measures.

    Args:
        events: What :class:`~DRAMLesionLib.training.run_log.RunLog` has written; nothing is drawn before
            the first epoch's end.
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
