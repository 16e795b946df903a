"""A small CT, two models of no use, and the process that is killed."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.phantom import make_phantom, save_phantom

sys.path.insert(0, str(Path(__file__).parent))

from killing import RECIPE, SMALL, Killer, save_small
from nursery import Nursery


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    made = Nursery(tmp_path_factory.mktemp("nursery"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CTs with their lobes and lesions: ``0`` and ``1``."""
    folder = tmp_path_factory.mktemp("phantoms")
    for seed, severity in enumerate(((12.0, 25.0, 8.0, 0.0, 30.0), (5.0, 0.0, 20.0, 10.0, 15.0))):
        made = make_phantom((64, 56, 40), (5.4, 6.0, 7.0), seed=seed, severity=severity)
        save_phantom(made, folder / str(seed))
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dRAM models with random weights: ``a`` and ``b``."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        network = DenseNetwork(SMALL, head_bias=float(seed) - 1)
        save_small(folder / name, network, name)
    return folder


@pytest.fixture(scope="session")
def training(phantoms: Path) -> Path:
    """The phantoms with a data list of one scan, ``list.json``, and ``recipe.yaml``."""
    rows = []
    for name in "01":
        percent = json.loads((phantoms / name / "percent.json").read_text())["percent"]
        known = list(percent.values()) if isinstance(percent, dict) else percent
        rows.append(
            {
                "image": f"{name}/ct.nii.gz",
                "lobes": f"{name}/lobes.nii.gz",
                "percent": [known[0], None, None, None, known[4]],
            }
        )
    (phantoms / "list.json").write_text(json.dumps({"training": rows[:1], "validation": rows[1:]}))
    (phantoms / "recipe.yaml").write_text(RECIPE)
    return phantoms


@pytest.fixture(scope="session")
def killer(nursery: Nursery) -> Killer:
    return Killer(nursery)
