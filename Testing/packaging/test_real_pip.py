"""The installation with the true pip, in a Python of its own: tiny wheels with the needed packages' names, no network.

"Slicer" is a virtual environment whose bundled packages lie in a folder of their own; its ``slicer`` has the two
functions that start pip as Slicer does, in a child process.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MANY = 6000
"""Files in the torch wheel: enough to be cut off while pip writes them."""

SLICER = {
    "slicer/__init__.py": "from . import util\n",
    "slicer/i18n.py": "def tr(text):\n    return text\n",
    "slicer/util.py": """
import subprocess, sys

def pip_install(requirements):
    process = subprocess.run([sys.executable, "-m", "pip", "install", *requirements], stdin=subprocess.DEVNULL)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "pip install")
""",
}
PACKAGING = """
from packaging.requirements import Requirement
from . import util

def load_requirements(path):
    return [Requirement(line) for line in open(path).read().splitlines() if line and not line.startswith("#")]

def pip_install(requirements, constraints=None, show_progress=True, requester=None):
    util.pip_install(requirements)

def pip_ensure(requirements, constraints=None, prompt_install=True, prompt_restart=True, requester=None,
               show_progress=True):
    assert not prompt_install and not prompt_restart and not show_progress
    util.pip_install([str(item) for item in requirements])
"""
DRIVER = """
import dataclasses, json, sys
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.requirements import Environment
here = Environment.here.__func__
# This Python plays the one of Slicer.
Environment.here = classmethod(lambda cls: dataclasses.replace(
    found := here(cls), in_slicer=True, versions=dict(found.versions) | {"python": "3.12.10"}))
from DRAMLesionPanel.install.packages import PackageSource, PackageState, installRequirements
failure = None
if sys.argv[1] == "install":
    try:
        installRequirements(PackageSource(wheelFolder=sys.argv[2]))
    except InputError as error:
        failure = str(error)
state = PackageState.here()
print("RESULT " + json.dumps({"failure": failure, "lines": state.lines, "missing": state.missing,
                              "versions": dict(state.environment.versions)}))
"""


def make_wheel(folder: Path, name: str, version: str, needs: tuple[str, ...] = (), files: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {n}" for n in needs),
    ]
    content = {f"{name}/__init__.py": f"__version__ = '{version}'\n"}
    content |= {f"{name}/data/part{i}.txt": "x" for i in range(1, files)}
    content[f"{info}/METADATA"] = "\n".join(metadata) + "\n"
    content[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        for path, text in content.items():
            packed.writestr(path, text)
    return wheel


def make_wheels(folder: Path, torch_files: int = 1) -> Path:
    make_wheel(folder, "torch", "2.9.0", ("sympy>=1.13", "numpy"), torch_files)
    make_wheel(folder, "sympy", "1.14.0")
    make_wheel(folder, "monai", "1.6.1", ("torch>=2.8", "numpy>=1.24"))
    for name, version in {
        "safetensors": "0.8.0",
        "typer": "0.20.0",
        "rich": "14.0.0",
        "jinja2": "3.1.6",
    }.items():
        make_wheel(folder, name, version)
    make_wheel(folder, "matplotlib", "3.10.0", ("numpy>=1.25", "packaging"))
    make_wheel(folder, "pyyaml", "6.0.3")
    make_wheel(folder, "numpy", "9.9.9")  # newer than Slicer's: must not be taken
    make_wheel(folder, "simpleitk", "9.9.9")
    return folder


class FakeSlicer:
    """A Python with what Slicer bundles, and the module's files on its path."""

    def __init__(self, folder: Path, slicer_packaging: bool) -> None:
        self.python = folder / "python" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        venv.create(folder / "python", with_pip=False, symlinks=os.name != "nt")
        self.bundled = folder / "bundled"
        for name, version in {
            "numpy": "2.4.6",
            "scipy": "1.17.1",
            "simpleitk": "2.5.5",
            "pydicom": "3.0.1",
        }.items():
            with zipfile.ZipFile(make_wheel(folder / "own", name, version)) as packed:
                packed.extractall(self.bundled)
        (self.bundled / "vtk.py").write_text("", encoding="utf-8")  # pip knows nothing of Slicer's own
        for name in ("pip", "packaging"):
            self._bundle(name)
        for path, text in SLICER.items():
            (self.bundled / path).parent.mkdir(exist_ok=True)
            (self.bundled / path).write_text(text, encoding="utf-8")
        if slicer_packaging:
            (self.bundled / "slicer/packaging.py").write_text(PACKAGING, encoding="utf-8")
        self.driver = folder / "driver.py"
        self.driver.write_text(DRIVER, encoding="utf-8")
        paths = (self.bundled, REPOSITORY / "DRAMLesion", REPOSITORY)
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
        # No configuration of this computer's pip: only what the installation itself says.
        own = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PIP_CONFIG_FILE": os.devnull}
        self.environment = plain | own | {"PIP_NO_COMPILE": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def _bundle(self, name: str) -> None:
        """The tests' own pip and packaging, by link: they are Slicer's here."""
        found = distribution(name)
        (info,) = {Path(str(file.locate())).parent for file in found.files or () if file.name == "METADATA"}
        for source in (info, info.parent / name):
            if os.name == "nt":
                shutil.copytree(source, self.bundled / source.name)
            else:
                (self.bundled / source.name).symlink_to(source)

    @property
    def site(self) -> Path:
        return next(
            (self.python.parents[1]).glob(
                "lib/python*/site-packages" if os.name != "nt" else "Lib/site-packages"
            )
        )

    def start(self, *arguments: object) -> subprocess.Popen:
        command = [str(self.python), str(self.driver), *map(str, arguments)]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def run(self, *arguments: object) -> dict:
        said, _ = self.start(*arguments).communicate(timeout=900)
        lines = [line for line in said.splitlines() if line.startswith("RESULT ")]
        assert lines, said
        return json.loads(lines[0].removeprefix("RESULT "))


@pytest.fixture(params=[False, True], ids=["before 5.12", "5.12"])
def slicer(request, tmp_path) -> FakeSlicer:
    return FakeSlicer(tmp_path, request.param)


def test_all_comes_from_the_folder_and_slicers_packages_stay(slicer, tmp_path):
    before = slicer.run("look")
    assert "numpy" not in " ".join(before["lines"]) and "torch>=2.8" in before["missing"]
    done = slicer.run("install", make_wheels(tmp_path / "räder und mehr"))
    assert done["failure"] is None and done["lines"] == []
    assert {done["versions"][name] for name in ("numpy", "simpleitk")} == {"2.4.6", "2.5.5"}
    assert done["versions"]["torch"] == "2.9.0" and not list(slicer.site.glob("numpy*"))
    assert not list(slicer.site.glob("dramlesion*"))


@pytest.mark.parametrize("slicer", [True], indirect=True, ids=["5.12"])
def test_what_fails_is_explained_in_pips_words(slicer, tmp_path):
    wheels = make_wheels(tmp_path / "wheels")
    (wheels / "typer-0.20.0-py3-none-any.whl").unlink()
    failure = slicer.run("install", wheels)["failure"]
    assert "typer>=0.12 (from versions: none)" in failure and "add it to the folder of wheels" in failure

    make_wheel(wheels, "typer", "0.20.0", ("numpy>=3",))
    failure = slicer.run("install", wheels)["failure"]
    assert "(constraint) numpy==2.4.6" in failure and "Slicer's own packages keep their versions" in failure

    make_wheel(wheels, "typer", "0.20.0", ("vtk",))  # Slicer's vtk is unknown to pip: nothing is laid over it
    make_wheel(wheels, "vtk", "9.6.2")
    failure = slicer.run("install", wheels)["failure"]
    assert failure is not None and "vtk" in failure and not list(slicer.site.glob("vtk*"))
    after = slicer.run("look")
    assert "torch>=2.8" in after["missing"] and not any("interrupted" in line for line in after["lines"])


@pytest.mark.skipif(os.name == "nt", reason="ends a group of processes by a signal")
@pytest.mark.parametrize("slicer", [False], indirect=True, ids=["before 5.12"])
def test_a_killed_installation_is_found_and_continued(slicer, tmp_path):
    wheels = make_wheels(tmp_path / "wheels", torch_files=MANY)
    running = slicer.start("install", wheels)
    while not (slicer.site / "torch" / "data").is_dir() and running.poll() is None:
        time.sleep(0.001)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    written = len(list((slicer.site / "torch" / "data").iterdir()))
    assert 0 < written < MANY - 1, "pip had finished before it was killed"

    found = slicer.run("look")
    assert "an installation was interrupted" in found["lines"][0] and "torch>=2.8" in found["missing"]
    done = slicer.run("install", wheels)
    assert done["failure"] is None and done["lines"] == []
    assert len(list((slicer.site / "torch" / "data").iterdir())) == MANY - 1


@pytest.mark.parametrize("slicer", [True], indirect=True, ids=["5.12"])
def test_pieces_of_what_the_packages_need_are_mended_too(slicer, tmp_path):
    """Cut off between METADATA and RECORD pip would call the package installed, with files missing."""
    wheels = make_wheels(tmp_path / "wheels")
    began = time.time() - 60
    assert slicer.run("install", wheels)["failure"] is None
    for name in ("RECORD", "INSTALLER"):
        (slicer.site / "sympy-1.14.0.dist-info" / name).unlink()
    (slicer.site / "sympy" / "__init__.py").unlink()
    content = {"requirements": ["torch>=2.8"], "process": 0, "since": began}
    (slicer.site / "dramlesion-installation.json").write_text(json.dumps(content), encoding="utf-8")
    assert len(slicer.run("look")["lines"]) == 1
    done = slicer.run("install", wheels)
    assert done["failure"] is None and done["lines"] == []
    assert (slicer.site / "sympy" / "__init__.py").is_file()
