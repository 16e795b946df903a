"""``pip install .``: the wheel is built, installed into an environment of its own, and does its work from there alone.

The environment sees the packages that the tests run with, but not this checkout: the packages are not downloaded again.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LARGEST_WHEEL_MB = 20


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel.

    Attributes:
        wheel: The wheel's file.
        python: The environment's Python.
        packages: Its site-packages.
        folder: An empty folder to work in.
    """

    wheel: Path
    python: Path
    packages: Path
    folder: Path

    def run(self, *command: object) -> str:
        """Run a program of the environment where no checkout is near; return what it prints."""
        hidden = ("PYTHONPATH", "PYTHONHOME", "DRAMLESION_MODELS")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        program, *arguments = map(str, command)
        done = subprocess.run(
            [str(self.python.with_name(program)), *arguments],
            cwd=self.folder,
            env={**environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    pytest.importorskip("setuptools", minversion="77.0.3", reason="builds the wheel: pip install setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, sources)
    ignored = shutil.ignore_patterns("__pycache__", "*.training")
    shutil.copytree(REPOSITORY / "DRAMLesionLib", sources / "DRAMLesionLib", ignore=ignored)
    offline = ("--no-index", "--no-deps", "--quiet")
    pip("wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, sources)
    (wheel,) = folder.glob("*.whl")

    venv.create(folder / "environment", with_pip=False)
    names = {"base": str(folder / "environment"), "platbase": str(folder / "environment")}
    packages = Path(sysconfig.get_path("purelib", "venv", names))
    python = Path(sysconfig.get_path("scripts", "venv", names)) / Path(sys.executable).name
    # Paths of a .pth file are searched, but .pth files in there are not read: an editable install stays unseen.
    seen = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "packages_of_the_tests.pth").write_text("\n".join(sorted(seen)))
    pip("--python", python, "install", *offline, wheel)
    (folder / "work").mkdir()
    return Installed(wheel, python, packages, folder / "work")


@pytest.fixture(scope="module")
def phantom(installed) -> Path:
    size = ("--size", "64", "64", "48", "--spacing", "5.4", "5.4", "6")
    installed.run("dramlesion", "phantom", "--out", "phantom", *size, "--seed", "3")
    return installed.folder / "phantom"


METADATA = """
import json
from importlib.metadata import distribution
import DRAMLesionLib
known = distribution("dramlesion")
print(json.dumps({"file": DRAMLesionLib.__file__, "version": DRAMLesionLib.__version__,
    "expression": known.metadata["License-Expression"], "licences": known.metadata.get_all("License-File"),
    "known_version": known.version}))
"""


def test_the_wheel_says_whose_terms_code_and_weights_are_under(installed):
    said = json.loads(installed.run(installed.python.name, "-c", METADATA))
    assert Path(said["file"]).is_relative_to(installed.packages)
    assert said["version"] == said["known_version"]
    assert said["expression"] == "MIT AND CC-BY-NC-SA-4.0"
    models = [path.name for path in (REPOSITORY / "DRAMLesionLib" / "models").iterdir() if path.is_dir()]
    assert set(said["licences"]) == {
        "LICENSE",
        *(f"DRAMLesionLib/models/{name}/LICENSE" for name in models if not name.endswith(".training")),
    }
    assert installed.wheel.stat().st_size < LARGEST_WHEEL_MB * 1e6


def test_doctor_finds_the_shipped_models_and_no_problem(installed):
    said = json.loads(installed.run("dramlesion", "doctor", "--json").splitlines()[-1])
    assert said["problems"] == []
    assert {"dram-covid", "segmentation-covid"} <= set(said["models"])


def test_the_installed_command_segments(installed, phantom):
    lobes = ("--lobes", phantom / "lobes.nii.gz")
    installed.run(
        "dramlesion", "segment", phantom / "ct.nii.gz", *lobes, "--out", "results", "--no-scene", "--no-crf"
    )
    results = installed.folder / "results"
    assert (results / "report.html").is_file() and (results / "lesion.seg.nrrd").is_file()
    assert "segmentation-covid" in (results / "summary.json").read_text()


def test_the_installed_command_trains_by_a_recipe_s_name(installed, phantom):
    row = {"image": "phantom/ct.nii.gz", "lobes": "phantom/lobes.nii.gz", "percent": [20, *[None] * 4]}
    (installed.folder / "list.json").write_text(json.dumps({"training": [row]}))
    for recipe in ("dram", "Training/dram.yaml"):
        out = installed.folder / recipe.replace("/", "-")
        installed.run(
            "dramlesion", "train", recipe, "--data", "list.json", "--out", out, "--epochs", "1", "--seed", "1"
        )
        assert (out / "models" / "model.safetensors").is_file()
