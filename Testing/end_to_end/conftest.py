"""A phantom on disk and one finished run of the main job on it, shared by the tests of this folder."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.phantom import Phantom, make_phantom, save_phantom


class Run:
    """What a command did."""

    def __init__(self, arguments: tuple[object, ...]):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        self.exception = result.exception

    @property
    def events(self) -> list[dict]:
        """The JSON lines of standard output."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def run() -> Callable[..., Run]:
    """Runs a command of the command line in this process."""
    return lambda *arguments: Run(arguments)


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    """A small one, with a lesion in each lobe but one, in an unusual orientation."""
    return make_phantom(
        (96, 96, 64), (3.6, 3.6, 4.6), seed=3, orientation="SLA", severity=(12.0, 25.0, 8.0, 0.0, 30.0)
    )


@pytest.fixture(scope="session")
def phantom_folder(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    save_phantom(phantom, folder)
    return folder


@pytest.fixture(scope="session")
def results(run: Callable[..., Run], phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with the phantom's own lobes, without scene, the mask cut from the lesion map."""
    out = tmp_path_factory.mktemp("results") / "new"
    done = run(
        "segment",
        phantom_folder / "ct.nii.gz",
        "--lobes",
        phantom_folder / "lobes.nii.gz",
        "--out",
        out,
        "--no-scene",
        "--method",
        "dram",
    )
    assert done.code == 0, done.err
    return out
