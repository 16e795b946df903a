"""Configures, builds, installs, tests and packs the extension as Slicer's extension factory does.

Slicer's CMake macros are replaced by those in ``slicer_standin/``: same names and arguments, much less in them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
STANDIN = Path(__file__).resolve().parent / "slicer_standin"
MODULES = Path("lib/Slicer-5.12/qt-scripted-modules")
OLDEST_CMAKE = (3, 28)
LARGEST_PACKAGE_MB = 30


@dataclass(frozen=True)
class Tools:
    """CMake's programs, and the environment that runs them."""

    cmake: str
    environment: dict[str, str]

    def run(self, program: str, *arguments: object, folder: Path | None = None) -> str:
        command = [str(Path(self.cmake).with_name(program)), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=3600,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def configure(self, sources: Path, build: Path) -> None:
        self.run(
            "cmake",
            *("-G", "Ninja", "-S", sources, "-B", build),
            f"-DSlicer_DIR={STANDIN}",
            f"-DSlicer_STANDIN_PYTHON={sys.executable}",
            f"-DCMAKE_TOOLCHAIN_FILE={STANDIN / 'no_compiler.cmake'}",
        )

    def install(self, sources: Path, folder: Path) -> Path:
        """Configure, build and install ``sources`` below ``folder``; returns the prefix."""
        self.configure(sources, folder / "build")
        self.run("cmake", "--build", folder / "build")
        self.run("cmake", "--install", folder / "build", "--prefix", folder / "installed")
        return folder / "installed"


@dataclass(frozen=True)
class Package:
    """The extension, built and installed."""

    build: Path
    prefix: Path

    @property
    def modules(self) -> Path:
        return self.prefix / MODULES


def of_use(path: Path) -> bool:
    """Whether a file belongs to the extension: not hidden, not compiled, not an editor's backup, not CMake's."""
    hidden = any(part.startswith(".") or part == "__pycache__" or ".training" in part for part in path.parts)
    return (
        not hidden and path.suffix != ".pyc" and not path.name.endswith("~") and path.name != "CMakeLists.txt"
    )


def module_folders(repository: Path) -> list[Path]:
    """The modules: folders with a script of their own name."""
    return sorted(path.parent for path in repository.glob("*/*.py") if path.stem == path.parent.name)


def needed_files(repository: Path) -> set[str]:
    """What has to be installed, relative to the folder of the scripted modules."""
    found = {
        path.relative_to(repository) for path in (repository / "DRAMLesionLib").rglob("*") if path.is_file()
    }
    found.add(Path("Scripts/batch.py"))
    for folder in module_folders(repository):
        found |= {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if of_use(path)}


def installed_files(modules: Path) -> set[str]:
    files = (path.relative_to(modules) for path in modules.rglob("*") if path.is_file())
    return {path.as_posix() for path in files if of_use(path)}


@pytest.fixture(scope="session")
def tools() -> Tools:
    folders = []
    try:
        import cmake
        import ninja

        folders = [cmake.CMAKE_BIN_DIR, ninja.BIN_DIR]
    except ImportError:
        pass
    path = os.pathsep.join([*folders, os.environ["PATH"]])
    found = shutil.which("cmake", path=path)
    if found is None or shutil.which("ninja", path=path) is None:
        pytest.skip("CMake and Ninja are not installed: pip install cmake ninja")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    if version < OLDEST_CMAKE:
        pytest.skip(f"CMake {version} is too old: pip install 'cmake>=3.28'")
    return Tools(found, {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    """A copy of what CMake reads of the repository: the checkout may be worked on while the tests run."""
    return copy_of_the_sources(REPOSITORY, tmp_path_factory.mktemp("sources") / "DRAMLesion")


@pytest.fixture(scope="session")
def package(tools, sources, tmp_path_factory) -> Package:
    folder = tmp_path_factory.mktemp("extension")
    prefix = tools.install(sources, folder)
    return Package(folder / "build", prefix)


def copy_of_the_sources(repository: Path, target: Path) -> Path:
    target.mkdir()
    for name in ("CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(repository / name, target)
    ignore = shutil.ignore_patterns("__pycache__", "*.training")
    for name in ("DRAMLesionLib", "Scripts", *(path.name for path in module_folders(repository))):
        shutil.copytree(repository / name, target / name, ignore=ignore)
    return target


def test_every_file_of_library_and_modules_is_installed(package, sources):
    assert installed_files(package.modules) == needed_files(sources)


def test_a_file_that_is_left_out_is_named_and_a_new_one_needs_no_line(tools, sources, tmp_path):
    """The comparison above does fail where one file of each kind is gone; what appears later is found."""
    left_out = {
        "DRAMLesionLib/lesions/quantify.py": "DRAMLesionLib/lesions/quantify.py",
        "DRAMLesionLib/templates/report.html.j2": "DRAMLesionLib/templates/report.html.j2",
        "DRAMLesionLib/training/recipes/dram.yaml": "DRAMLesionLib/training/recipes/dram.yaml",
        "DRAMLesion/DRAMLesionPanel/results/nodes.py": "DRAMLesionPanel/results/nodes.py",
        "DRAMLesion/Resources/UI/DRAMLesion.ui": "Resources/UI/DRAMLesion.ui",
        "DRAMLesion/Resources/Icons/DRAMLesion.png": "Resources/Icons/DRAMLesion.png",
    }
    weights = next((sources / "DRAMLesionLib" / "models").rglob("*.safetensors")).relative_to(sources)
    left_out[weights.as_posix()] = weights.as_posix()
    lacking = copy_of_the_sources(sources, tmp_path / "sources")
    for name in left_out:
        (lacking / name).unlink()
    prefix = tools.install(lacking, tmp_path)
    assert needed_files(sources) - installed_files(prefix / MODULES) == set(left_out.values())

    for name in ("DRAMLesionLib/brand_new.py", "DRAMLesion/DRAMLesionPanel/brand_new.py"):
        (lacking / name).write_text('"""New."""\n', encoding="utf-8")
    (lacking / "DRAMLesion/Resources/Icons/brand_new.png").write_bytes(b"")
    tools.run("cmake", "--build", tmp_path / "build")
    tools.run("cmake", "--install", tmp_path / "build", "--prefix", prefix)
    new = {"DRAMLesionLib/brand_new.py", "DRAMLesionPanel/brand_new.py", "Resources/Icons/brand_new.png"}
    assert new <= installed_files(prefix / MODULES)


IMPORT_ALL = """
import importlib, json, pkgutil, sys
from pathlib import Path
where = Path(sys.argv[1]).resolve()
sys.path.insert(0, str(where))
import DRAMLesionLib
names = [m.name for m in pkgutil.walk_packages(DRAMLesionLib.__path__, "DRAMLesionLib.") if "__main__" not in m.name]
missing = []
for name in names:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("DRAMLesion"):
            missing.append(f"{name}: {error}")
        continue
    assert Path(module.__file__).resolve().is_relative_to(where), module.__file__
from DRAMLesionLib.lesions.networks.bundle import list_models, load_any_model
from DRAMLesionLib.lesions.run_models import load_case_models
from DRAMLesionLib.lungs.lung_bundle import load_lung_network, lung_model_folder
assert load_lung_network()
print(json.dumps({"modules": len(names), "missing": missing, "lungs": lung_model_folder().name,
    "amounts": load_case_models().amounts.folder.name, "models": {
    name: str(folder) for name, folder in list_models().items() if load_any_model(folder)}}))
"""


def test_the_library_is_importable_from_the_prefix_alone(package, sources, tmp_path):
    """No path of the checkout, no working folder, no environment: only what was installed."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DRAMLESION_MODELS")
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT_ALL, str(package.modules)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (
        found["modules"]
        == sum(name.endswith(".py") for name in needed_files(sources) if name.startswith("DRAMLesionLib")) - 2
        and found["missing"] == []
    )
    shipped = {path.name for path in (sources / "DRAMLesionLib" / "models").iterdir() if path.is_dir()}
    assert {*found["models"], found["lungs"], found["amounts"]} == {
        name for name in shipped if of_use(Path(name))
    }
    assert all(Path(folder).is_relative_to(package.prefix.resolve()) for folder in found["models"].values())


def test_the_registered_tests_pass_in_the_build_tree(package, tools):
    """``ctest`` loads each module and runs the module's own test, with the files of the build tree alone."""
    said = tools.run("ctest", "--output-on-failure", "--parallel", "2", folder=package.build)
    names = set(re.findall(r"(py_\w+) \.", said))
    assert {"py_DRAMLesion", "py_nomainwindow_DRAMLesionModuleGenericTest"} <= names
    assert "100% tests passed" in said


def test_the_package_holds_what_was_installed(package, sources, tools):
    tools.run("cpack", folder=package.build)
    (archive,) = package.build.glob("*-DRAMLesion.tar.gz")
    with tarfile.open(archive) as packed:
        members = {"/".join(Path(item.name).parts[1:]) for item in packed.getmembers() if item.isfile()}
    prefix = f"{MODULES.as_posix()}/"
    held = {name.removeprefix(prefix) for name in members if name.startswith(prefix) and of_use(Path(name))}
    assert held == needed_files(sources)
    assert "share/Slicer-5.12/DRAMLesion.s4ext" in members
    assert archive.stat().st_size < LARGEST_PACKAGE_MB * 1e6


def test_the_wheel_holds_every_folder_and_file_of_the_library():
    """``pip install`` takes what pyproject.toml says, not CMake's lists."""
    from setuptools.config.pyprojecttoml import read_configuration

    said = read_configuration(REPOSITORY / "pyproject.toml", expand=True)["tool"]["setuptools"]
    library = REPOSITORY / "DRAMLesionLib"
    folders = {path.parent for path in library.rglob("*.py")}
    assert set(said["packages"]) == {".".join(path.relative_to(REPOSITORY).parts) for path in folders}
    covered = {path for pattern in said["package-data"]["DRAMLesionLib"] for path in library.glob(pattern)}
    data = {path for path in library.rglob("*") if path.is_file() and path.suffix != ".py"}
    assert {path for path in data if of_use(path.relative_to(library))} <= covered
