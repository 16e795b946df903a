"""The table of versions, on made-up environments; and that the other files that name versions agree with it."""

import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from DRAMLesionLib.commands import doctor
from DRAMLesionLib.system import interrupted_install
from DRAMLesionLib.system import requirements as requirements_rules
from DRAMLesionLib.system.requirements import (
    BUNDLED,
    PACKAGES,
    UNKNOWN_VERSION,
    Environment,
    constraints,
    installable,
    needed_packages,
    problems,
    requirement,
    state_of_packages,
)

REPOSITORY = Path(__file__).resolve().parents[3]
GOOD = {
    "python": "3.12.10",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "simpleitk": "2.5.5",
    "packaging": "26.2",
    "pydicom": "3.0.1",
    "pip": "26.1.1",
    "torch": "2.12.0+cu126",
    "monai": "1.6.1",
    "safetensors": "0.8.0",
    "typer": "0.20.0",
    "rich": "14.0.0",
    "jinja2": "3.1.6",
    "matplotlib": "3.10.0",
    "pyyaml": "6.0.3",
}


def environment(system="linux", in_slicer=True, without=(), cut_off=(), **versions) -> Environment:
    found = {name: text for name, text in (GOOD | versions).items() if name not in without}
    return Environment(found, system, in_slicer, frozenset(cut_off))


TABLE = [
    # what is there, what the one line about it begins with, and what it has to say
    (environment(), None, ""),
    (environment("win32"), None, ""),
    (
        environment("win32", torch="2.13.0"),
        "torch 2.13.0 is here, >=2.8,<2.13 is needed",
        "Slicer on Windows",
    ),
    (environment("win32", torch="2.12.1"), None, ""),
    (environment("linux", torch="2.13.0"), None, ""),
    (environment("darwin", torch="2.13.0"), None, ""),
    (environment("win32", in_slicer=False, torch="2.13.0"), None, ""),
    (environment(torch="2.7.1"), "torch 2.7.1 is here, >=2.8 is needed", "MONAI 1.6 and later need it"),
    (environment(torch="2.7.1", monai="1.5.2"), "torch 2.7.1 is here, >=2.8 is needed:", "Install"),
    (
        environment(monai="1.4.0"),
        "monai 1.4.0 is here, >=1.5 is needed",
        "press Install in the module DRAMLesion",
    ),
    (environment(without=["torch"]), "torch is missing", "press Install in the module DRAMLesion"),
    (environment(in_slicer=False, without=["torch"]), "torch is missing", "pip install 'torch>=2.8'"),
    (environment("win32", in_slicer=True, without=["torch"]), "torch is missing", "Install"),
    (
        environment(python="3.9.10"),
        "python 3.9.10 is here, >=3.10,>=3.12 is needed",
        "use Slicer 5.10 or later",
    ),
    (environment(python="3.11.9"), "python 3.11.9 is here", "that is the Python of Slicer 5.10 and later"),
    (environment(in_slicer=False, python="3.10.1"), None, ""),
    (
        environment(in_slicer=False, python="3.9.0"),
        "python 3.9.0 is here, >=3.10 is needed",
        "a newer Python",
    ),
    (environment(numpy="1.24.0"), "numpy 1.24.0 is here", "Slicer brings it: install the newest Slicer"),
    (environment(simpleitk=UNKNOWN_VERSION), None, ""),  # Slicer 5.10 builds it itself
    (environment(cut_off=["torch"]), "torch was installed only in part", "Install"),
    (environment(torch="nightly"), None, ""),  # not a version: no judgement
]


@pytest.mark.parametrize(("there", "begins", "says"), TABLE, ids=range(len(TABLE)))
def test_table(there, begins, says):
    lines = [str(problem) for problem in problems(there)]
    assert len(lines) == (begins is not None)
    if begins is not None:
        assert lines[0].startswith(begins) and says in lines[0]


def test_only_what_pip_may_install_in_slicer_is_installed():
    there = environment(python="3.9.0", numpy="1.20", without=["torch", "rich"])
    assert [problem.package for problem in installable(there)] == ["torch", "rich"]
    assert set(needed_packages(environment())) == set(PACKAGES) - set(BUNDLED)
    assert set(needed_packages(environment(in_slicer=False))) == set(PACKAGES)


def test_constraints_hold_slicers_packages_and_the_rules():
    there = environment("win32", vtk=UNKNOWN_VERSION, simpleitk="2.5.5+dev3", without=["rich"])
    lines = constraints(there)
    assert {"numpy==2.4.6", "SimpleITK==2.5.5", "vtk<0", "torch>=2.8,<2.13", "pip==26.1.1"} <= set(lines)
    assert not any(
        line.startswith(("torchvision", "rich")) for line in lines
    )  # not there: nothing to protect


def test_the_panels_requirements_file_says_the_same():
    given = (REPOSITORY / "DRAMLesion/Resources/requirements.txt").read_text(encoding="utf-8").splitlines()
    expected = []
    for name in needed_packages(environment()):
        windows, other = (requirement(environment(system), name) for system in ("win32", "linux"))
        marked = [f'{windows}; sys_platform == "win32"', f'{other}; sys_platform != "win32"']
        expected += [other] if windows == other else marked
    assert [line for line in given if line and not line.startswith("#")] == expected


def test_the_librarys_own_dependencies_say_the_same():
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = re.findall(r'"([^"]+)"', re.search(r"^dependencies = \[(.*?)^\]", project, re.S | re.M)[1])
    plain = environment(in_slicer=False)
    assert sorted(dependencies) == sorted(requirement(plain, name) for name in PACKAGES)
    assert f'requires-python = "{requirement(plain, "python").removeprefix("python")}"' in project


def test_the_rule_on_monai_is_what_monai_declares():
    if tuple(map(int, version("monai").split(".")[:2])) < (1, 6):
        pytest.skip("MONAI 1.5 asks for less than the table does")
    (declared,) = [line for line in requires("monai") if re.match(r"torch\b", line) and "extra" not in line]
    (rule,) = [rule for rule in requirements_rules.RULES if rule.beside]
    assert declared.removeprefix("torch").removesuffix(".0") == rule.versions


def test_this_python_keeps_the_rules_and_doctor_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(interrupted_install, "packages_folder", lambda: tmp_path)
    assert problems(Environment.here()) == []
    monkeypatch.setattr(Environment, "here", classmethod(lambda cls: environment(without=["torch", "monai"])))
    interrupted_install.begin(["torch>=2.8"])
    found = doctor.examine()
    assert found["problems"] == state_of_packages(Environment.here(), ["torch>=2.8"])
    assert found["problems"][0].startswith("an installation was interrupted")
    assert found["packages"]["torch"] is None and found["packages"]["numpy"] == "2.4.6"


def test_without_any_package_the_command_line_says_what_is_missing():
    command = [sys.executable, "-S", "-m", "DRAMLesionLib", "doctor"]  # -S: no installed packages
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2 and done.stdout == ""
    assert "torch is missing: pip install 'torch>=2.8'" in done.stderr and "Traceback" not in done.stderr


def test_slicers_python_is_known_by_its_environment(monkeypatch):
    monkeypatch.delenv("SLICER_HOME", raising=False)
    assert not Environment.here().in_slicer
    monkeypatch.setenv("SLICER_HOME", "/opt/Slicer")
    assert Environment.here().in_slicer
