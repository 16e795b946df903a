"""The training loop, whatever the task: steps, checkpoints, validation, and the end.

One step of the optimizer takes ``batch`` samples. Order, augmentation and every random number depend on the recipe's
seed, the epoch and the sample alone, so a training that goes on from a checkpoint equals an unbroken one, and several
processes (``torchrun``) equal a single one up to rounding.
"""

import contextlib
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.memory import shortage_explained
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.training.checkpoint import (
    SCALARS,
    TENSORS,
    Learner,
    State,
    check_checkpoint,
    fingerprint,
    is_finished,
    load_checkpoint,
    mark_finished,
    save_checkpoint,
)
from DRAMLesionLib.training.distributed import Processes, is_restart, processes
from DRAMLesionLib.training.feed import Order, feed
from DRAMLesionLib.training.precision import autocast, choose_precision, compile_network, prepare_network
from DRAMLesionLib.training.recipes.recipe import Recipe, read_recipe
from DRAMLesionLib.training.run_log import CURVE, LOG, TENSORBOARD, Log, RunLog
from DRAMLesionLib.training.smaller_recipe import smaller_recipe
from DRAMLesionLib.training.stopping import Stopped
from DRAMLesionLib.training.tasks.kinds import load_task
from DRAMLesionLib.training.tasks.task import Task
from DRAMLesionLib.training.weights import load_start_weights, make_average, other_weights, update_average

TRAINING = "Training"
"""The stage that progress is told while steps are made."""
STOP_FILE = "stop"


def train(
    recipe: str | Path | Recipe,
    data: str | Path,
    out: str | Path,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    resume: bool = False,
    tensorboard: bool = False,
    progress: Progress = silent,
    log: Log = lambda event: None,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Train by a recipe and write the model as a bundle; no bundle is written unless the training ends well.

    What the training needs to go on lies beside the bundle, in the folder ``OUT.training``, see :func:`state_folder`.

    Args:
        recipe: See :class:`~DRAMLesionLib.training.recipes.recipe.Recipe`; a file or the recipe itself.
        data: See :mod:`~DRAMLesionLib.training.data.datalist`.
        out: Folder of the bundle.
        epochs: Instead of the recipe's.
        seed: Instead of the recipe's.
        threads: Instead of the recipe's.
        device: See :func:`~DRAMLesionLib.system.device.find_device`.
        resume: Go on from the checkpoint, if there is one; begin otherwise. A training that had ended is not repeated.
            Without it, a checkpoint that is there is an error: hours of work are not thrown away.
        tensorboard: Write TensorBoard's files into the state folder.
        progress: Told the stage and how much of it is done.
        log: Given each step and each epoch, see :class:`~DRAMLesionLib.training.run_log.RunLog`.
        stop: Asked once a step whether to stop at a checkpoint.

    Returns:
        The bundle's folder.

    Raises:
        InputError: The recipe, the data list or a scan can't be used, or the loss is no longer finite.
        Stopped: It was asked to stop, and did so at a checkpoint.
    """
    where = "the recipe" if isinstance(recipe, Recipe) else str(recipe)
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    given: dict[str, Any] = {"epochs": epochs, "seed": seed, "threads": threads}
    recipe = replace(recipe, **{key: value for key, value in given.items() if value is not None})
    data, out = Path(data), Path(out)
    folder = state_folder(out)
    resume = resume or is_restart()
    run = _fingerprint(recipe, data)
    if resume and is_finished(folder, run) and out.is_dir():
        return out
    check_checkpoint(folder, run, resume, where)  # before scans are read
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    asked = _asked_to_stop(folder, stop)
    if is_restart() and asked():  # torchrun takes processes that stopped for ones that failed
        raise Stopped(folder / TENSORS)
    with shortage_explained(where, lambda: smaller_recipe(recipe)), processes(device) as team:
        if team.is_first:
            _make_folder(folder, resume)
        told = _stoppable(progress if team.is_first else silent, team, asked, folder)
        torch.manual_seed(recipe.seed)
        try:
            task: Task = load_task(recipe.task)(recipe, data, team.device, told)
            trainer = _Trainer(recipe, task, team, folder, run, asked)
            trainer.begin(resume)
        except Exception:
            with contextlib.suppress(OSError):
                folder.rmdir()  # where nothing lies in it
            raise
        figures = trainer.run(told, log, tensorboard)
        return team.from_first(lambda: trainer.finish(out, figures))


def state_folder(out: str | Path) -> Path:
    """Where the state of the training of a bundle lies: checkpoint, log, loss curve, and the file ``stop``."""
    out = Path(out).resolve()
    return out.with_name(out.name + ".training")


class _Trainer:
    """A training under way: what changes from step to step."""

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        team: Processes,
        folder: Path,
        run: dict[str, Any],
        asked: Callable[[], bool],
    ):
        self.recipe, self.task, self.team, self.folder = recipe, task, team, folder
        self._run, self._asked = run, asked
        self._order = Order(task, recipe)
        self.steps_per_epoch = self._order.steps_per_epoch
        self.steps = recipe.epochs * self.steps_per_epoch
        self._dtype = choose_precision(recipe.precision, team.device)
        self.state = State()

    def begin(self, resume: bool) -> None:
        """Set everything up, from the checkpoint where there is one."""
        recipe, network = self.recipe, self.task.network
        prepare_network(network, self._dtype)
        if recipe.compile:
            compile_network(network)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=self.steps
        )
        self.learner = Learner(network, optimizer, make_average(network) if recipe.ema else None)
        saved = load_checkpoint(self.folder, self.learner) if resume else None
        if saved is None and recipe.start_from is not None:
            load_start_weights(network, recipe.start_from)
        self.state = saved or self.state
        self._schedule.last_epoch = self.state.step
        self._losses: torch.nn.Module = _Losses(self.task)
        if self.team.count > 1:
            self._losses = torch.nn.parallel.DistributedDataParallel(
                self._losses, find_unused_parameters=True
            )

    def run(self, progress: Progress, log: Log, tensorboard: bool) -> dict[str, Any]:
        """Train to the end; return the figures of the last epoch."""
        state = self.state
        first = self.team.is_first
        self._log = RunLog(self.folder, state.step, log, tensorboard) if first else None
        self._began = time.perf_counter() - state.seconds
        self._calls = feed(self.task, self._order, self.team.share, range(state.step, self.steps))
        try:
            while state.step < self.steps and not self._is_enough():
                progress(TRAINING, state.step / self.steps)
                self._step()
                if state.step % self.steps_per_epoch == 0:
                    self._end_epoch()
                if any(self.team.gather(self._asked())) and state.step < self.steps:
                    raise Stopped(self._save())
            progress(TRAINING, 1.0)
        finally:
            self._calls.close()
            if self._log is not None:
                self._log.close()
        return state.figures

    def finish(self, out: Path, figures: dict[str, Any]) -> Path:
        """Save the bundle."""
        minutes = round((time.perf_counter() - self._began) / 60, 1)
        machine = f"{self.team.device}, {platform.machine()}, torch {torch.__version__}"
        if self.team.count > 1:
            machine = f"{self.team.count} x {machine}"
        with other_weights(self.task.network, self.learner.best or self._averaged()):
            bundle = self.task.save(out, {**figures, "minutes": minutes, "machine": machine})
        mark_finished(self.folder, self._run)
        return bundle

    def _step(self) -> None:
        """One step of the optimizer."""
        state, learner = self.state, self.learner
        epoch = state.step // self.steps_per_epoch
        count = len(self._order.step(state.step))
        learner.optimizer.zero_grad(set_to_none=True)
        mine = self._accumulate(epoch + 1)
        norm = torch.nn.utils.clip_grad_norm_(learner.network.parameters(), self.recipe.clip).item()
        parts = self._together(mine, norm)
        rate = learner.optimizer.param_groups[0]["lr"]
        learner.optimizer.step()
        self._schedule.step()
        if learner.average is not None:
            update_average(learner.average, learner.network, self.recipe.ema, state.step)
        state.step += 1
        for key, (value, weight) in parts.items():
            total, weights = state.sums.get(key, (0.0, 0.0))
            state.sums[key] = (total + value * weight * count, weights + weight * count)
        self._add("step", epoch + 1, {**{key: value for key, (value, _) in parts.items()}, "rate": rate})

    def _accumulate(self, epoch: int) -> list[tuple[str, float, dict[str, float]]]:
        """Add up the gradients of this process's samples; return the names, weight and figures of each call."""
        figures = []
        for call in self._calls:
            torch.manual_seed(_seed(self.recipe.seed, epoch, call.share[0][0]))  # for dropout and the like
            weight = sum(weight for _, weight in call.share)
            with self._unsynchronised(not call.is_last):
                with autocast(self.team.device, self._dtype):
                    loss, parts = self._losses(call.samples, self.state.step / self.steps)
                (loss * weight).backward()
            names = ", ".join(
                str(getattr(sample, "name", f"sample {index}"))
                for sample, (index, _) in zip(call.samples, call.share, strict=True)
            )
            figures.append((names, weight, {"loss": loss.item(), **parts}))
            if call.is_last:
                break
        return figures

    def _together(
        self, mine: list[tuple[str, float, dict[str, float]]], norm: float
    ) -> dict[str, tuple[float, float]]:
        """The mean of each figure over the batch's samples that have it, in all processes, and what part those are.

        Raises:
            InputError: A loss or the gradient is not finite; the same in all processes.
        """
        everybody = [figure for figures in self.team.gather(mine) for figure in figures]
        bad = [names for names, _, parts in everybody if not np.isfinite(parts["loss"])]
        if bad or not np.isfinite(norm):
            what = f"the loss of {bad[0]}" if bad else f"the gradient of {everybody[0][0]}"
            raise InputError(
                f"{what} is not finite at step {self.state.step + 1}: lower learning_rate"
                + (", or set precision: float32" if self._dtype != torch.float32 else "")
                + f", and look at that scan; the last checkpoint is in {self.folder}"
            )
        values: dict[str, list[tuple[float, float]]] = {}
        for _, weight, parts in everybody:
            for key, value in parts.items() if weight else ():
                values.setdefault(key, []).append((value, weight / self.team.count))
        weights = {key: sum(w for _, w in pairs) for key, pairs in values.items()}
        return {
            key: (sum(v * w for v, w in pairs) / weights[key], weights[key]) for key, pairs in values.items()
        }

    def _end_epoch(self) -> None:
        """Validate when it is time, log, and write the checkpoint."""
        state = self.state
        epoch = state.step // self.steps_per_epoch
        figures: dict[str, Any] = {key: total / weight for key, (total, weight) in state.sums.items()}
        state.sums = {}
        if epoch % self.recipe.validate_every == 0 or epoch == self.recipe.epochs:
            measured = self.team.from_first(self._validate)
            figures |= {f"validation_{key}": value for key, value in measured.items()}
            self._judge(measured)
        state.figures = {"epoch": epoch, **figures}
        state.seconds = time.perf_counter() - self._began
        self._add("epoch", epoch, {**figures, "seconds": round(state.seconds, 1)})
        self._save()

    def _validate(self) -> dict[str, float]:
        with other_weights(self.task.network, self._averaged()):
            measured = self.task.validate()
        self.task.network.train()
        return {key: float(value) for key, value in measured.items()}

    def _judge(self, measured: dict[str, float]) -> None:
        """Keep the best weights by the weak metric, for early stopping."""
        state, metric = self.state, self.task.weak_metric
        if not self.recipe.early_stop or metric is None or metric not in measured:
            return
        if state.best is None or measured[metric] < state.best:
            state.best, state.waited = measured[metric], 0
            weights = self._averaged() or self.learner.network.state_dict()
            self.learner.best = {key: value.detach().clone() for key, value in weights.items()}
        else:
            state.waited += 1

    def _is_enough(self) -> bool:
        return bool(self.recipe.early_stop) and self.state.waited >= self.recipe.early_stop

    def _save(self) -> Path:
        self.state.seconds = time.perf_counter() - self._began
        save = save_checkpoint if self.team.is_first else _no_checkpoint
        return save(self.folder, self.learner, self.state, self._run)

    def _add(self, event: str, epoch: int, values: dict[str, Any]) -> None:
        if self._log is not None:
            progress_so_far = {
                "epoch": epoch,
                "epochs": self.recipe.epochs,
                "step": self.state.step,
                "steps": self.steps,
            }
            self._log.add({"event": event, **progress_so_far, **values})

    def _averaged(self) -> dict[str, torch.Tensor] | None:
        average = self.learner.average
        return None if average is None else average.module.state_dict()

    def _unsynchronised(self, wanted: bool) -> contextlib.AbstractContextManager[Any]:
        if wanted and isinstance(self._losses, torch.nn.parallel.DistributedDataParallel):
            return self._losses.no_sync()
        return contextlib.nullcontext()


class _Losses(torch.nn.Module):
    """A task's loss as a module, as DistributedDataParallel wants it."""

    def __init__(self, task: Task):
        super().__init__()
        self.network, self._loss = task.network, task.loss

    def forward(self, samples: Sequence[Any], done: float) -> tuple[torch.Tensor, dict[str, float]]:
        return self._loss(samples, done)


def _fingerprint(recipe: Recipe, data: Path) -> dict[str, Any]:
    from DRAMLesionLib.training.data.datalist import read_datalist

    read_datalist(data)  # names what is wrong with it
    return fingerprint(recipe, data)


def _make_folder(folder: Path, resume: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not is_restart():
        (folder / STOP_FILE).unlink(missing_ok=True)
    if resume:
        return
    for name in (TENSORS, SCALARS, LOG, CURVE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)


def _asked_to_stop(folder: Path, stop: Callable[[], bool] | None) -> Callable[[], bool]:
    return lambda: bool(stop and stop()) or (folder / STOP_FILE).exists()


def _stoppable(progress: Progress, team: Processes, asked: Callable[[], bool], folder: Path) -> Progress:
    """Progress that also looks for a wish to stop while scans are read, when there is nothing new to keep."""

    def told(stage: str, fraction: float) -> None:
        progress(stage, fraction)
        if stage != TRAINING and team.count == 1 and asked():
            raise Stopped(folder / TENSORS if (folder / TENSORS).is_file() else None)

    return told


def _seed(seed: int, epoch: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0])


def _no_checkpoint(folder: Path, learner: Learner, state: State, run: dict[str, Any]) -> Path:
    return folder
