"""When jobs are killed, and what the tests of it share."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nursery import Death, Nursery

from DRAMLesionLib.lesions.networks.bundle import save_model
from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork

SMALL = NetworkDescription((2, 2, 2, 2, 2, 2))
RECIPE = """
name: tiny
epochs: 3
ema: 0.9
learning_rate: 0.01
precision: float32
model:
  spacing_mm: [10, 10, 10]
  network: {features: [2, 2, 2, 2, 2, 2]}
data: phantoms
licence: MIT
"""
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")


def kills(short: int, long: int) -> Any:
    """Numbers of kills; those from ``short`` on run in the long version alone."""
    marks = (pytest.mark.torture,)
    numbers = [pytest.param(n, marks=() if n < short else marks) for n in range(long)]
    return pytest.mark.parametrize("number", numbers)


def save_small(folder: Path, network: DenseNetwork, name: str) -> Path:
    """A bundle of a network that is too small for its task."""
    description = ModelDescription(spacing_mm=(7, 7, 7), network=SMALL)
    words = {"card": "# small", "summary": "for tests", "data": "nothing", "licence": "MIT"}
    return save_model(folder, network, description, name=name, version="0.0.1", **words)


def train_words(training: Path, out: Path) -> list[str]:
    """A training of two lobes, which goes on where one was."""
    words = ["train", training / "recipe.yaml", "--data", training / "list.json", "--out", out]
    return [str(word) for word in (*words, "--device", "cpu", "--resume")]


class Killer:
    """Kills jobs at points that follow from a seed: before a file operation, or after a part of an unbroken run's time.

    What an unbroken run takes is asked once for each name.
    """

    _whole: dict[str, Death] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, nursery: Nursery) -> None:
        self.nursery = nursery

    def measure(self, name: str, run: Callable[[], Death]) -> Death:
        """An unbroken run, done once."""
        if name not in self._whole:
            done = run()
            assert done.code == 0, done.said
            self._whole[name] = done
        return self._whole[name]

    def point(self, name: str, number: int) -> dict[str, Any]:
        """Where kill ``number`` of a job hits; two of three before a file operation."""
        whole, chance = self._whole[name], random.Random(f"{name} {number}")
        if number % 3 < 2 and whole.calls:
            return {"call": chance.randint(1, whole.calls)}
        return {"after_s": chance.uniform(0.02, 1.0) * whole.seconds}
