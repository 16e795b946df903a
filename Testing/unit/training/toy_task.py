"""A training of milliseconds that the engine's tests drive: a tiny network learns random numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from DRAMLesionLib.system.checked_values import read_settings
from DRAMLesionLib.training.recipes.recipe import SECTIONS
from DRAMLesionLib.training.tasks.kinds import TASKS


@dataclass(frozen=True)
class ToySettings:
    samples: int = 7
    bad_sample: int = -1
    bad_epoch: int = 1

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "ToySettings":
        return read_settings(cls, values, where, {"bad_sample": (-1, 100)})


@dataclass(frozen=True)
class ToyModel:
    width: int = 4

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "ToyModel":
        return read_settings(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        return {"width": self.width}


class ToySample(NamedTuple):
    image: torch.Tensor
    target: torch.Tensor
    name: str


class ToyNetwork(nn.Module):
    """It has dropout, so that random numbers of the steps matter, and a weight that not every sample uses."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(1, width, 3, padding=1), nn.Dropout(0.3), nn.Conv3d(width, 1, 1))
        self.extra = nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image).float().mean((1, 2, 3, 4))


class ToyTask:
    """Learns the mean of noise."""

    weak_metric: str | None = "weak"
    samples_together = 1
    sample_weights: Sequence[float] | None = None
    validations: Sequence[float] = ()

    def __init__(self, recipe, data: Path, device: torch.device, progress):
        progress("Reading", 0.5)
        self._recipe, self._device, self._validated = recipe, device, 0
        self.network = ToyNetwork(recipe.model.width).to(device)

    def __len__(self) -> int:
        return self._recipe.settings.samples

    def sample(self, index: int, epoch: int) -> ToySample:
        chance = np.random.default_rng([self._recipe.seed, epoch, index])
        image = torch.from_numpy(chance.normal(size=(1, 1, 3, 3, 3)).astype(np.float32))
        bad = (index, epoch) == (self._recipe.settings.bad_sample, self._recipe.settings.bad_epoch)
        return ToySample(image * (float("nan") if bad else 1), image.mean() + 1, f"toy {index}")

    def loss(self, samples, done):
        image = torch.cat([sample.image for sample in samples]).to(self._device)
        found = self.network(image)
        losses = []
        for sample, value in zip(samples, found, strict=True):
            extra = self.network.extra[0] if sample.target > 1 else 0
            losses.append((value + extra - sample.target.to(self._device)) ** 2)
        loss = torch.stack(losses).mean()
        return loss, {"square": loss.item()}

    def validate(self) -> dict[str, float]:
        self._validated += 1
        if not self.validations:
            return {}
        # The other one falls all the time: nothing may look at it.
        return {"weak": self.validations[self._validated - 1], "dice_loss": 1.0 / self._validated}

    def save(self, out: Path, figures: dict[str, Any]) -> Path:
        out.mkdir(exist_ok=True)
        save_file({k: v.contiguous() for k, v in self.network.state_dict().items()}, out / "toy.safetensors")
        return out


TASK = f"{__name__}:ToyTask"
TOY_SECTIONS = (ToySettings, ToyModel)


def register() -> None:
    """Make ``task: toy`` known, in a process of its own."""
    TASKS["toy"] = TASK
    SECTIONS["toy"] = TOY_SECTIONS
