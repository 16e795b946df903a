"""The command ``doctor``: what is installed and what this machine has, the first thing to ask when something fails."""

import os
import platform
import shutil
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import typer

import DRAMLesionLib
from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Json
from DRAMLesionLib.system.interrupted_install import interrupted
from DRAMLesionLib.system.optional import install_command
from DRAMLesionLib.system.requirements import PACKAGES, Environment, requirement, state_of_packages

if TYPE_CHECKING:
    from rich.console import Console

OPTIONAL = {
    "slicer-core": ("slicer", "writes scene.mrb and its pictures"),
    "pydensecrf2": (
        "pydensecrf",
        "a second CRF to compare with, needs a C++ compiler; the built-in CRF serves without it",
    ),
    "dask": ("dask", "many CTs on a cluster"),
    "highdicom": ("highdicom", "writes DICOM Segmentations and reports"),
    "onnxruntime": ("onnxruntime", "runs exported networks"),
    "onnxscript": ("onnxscript", "exports networks as ONNX"),
    "trame-slicer": ("trame_slicer", "shows results in the browser: the command view"),
}


def doctor(json: Json = False, debug: Debug = False) -> None:
    """Show what is installed, the devices, their memory, and the models. Exit code 2 where something is amiss."""
    with Reporter(json, debug) as reporter:
        examination = examine()
        reporter.result(examination)
        if not json:
            print_examination(examination, reporter.console)
        if examination["problems"]:
            raise typer.Exit(2)


def examine() -> dict[str, Any]:
    """Look at packages, devices, memory, disk and models.

    Returns:
        JSON values: ``dramlesion``, ``python``, ``platform``, ``packages`` and ``optional`` (name to version, None where
        missing), ``problems`` (lines that say what to do), ``memory_gib``, ``free_disk_gib``, ``devices``, ``models``.
    """
    environment = Environment.here()
    packages = {name: environment.versions.get(name.lower()) for name in PACKAGES}
    optional = {name: _version(name) if find_spec(module) else None for name, (module, _) in OPTIONAL.items()}
    problems = state_of_packages(environment, interrupted())
    examination: dict[str, Any] = {
        "dramlesion": DRAMLesionLib.__version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": packages,
        "optional": optional,
        "memory_gib": memory_gib(),
        "free_disk_gib": round(shutil.disk_usage(".").free / 2**30, 1),
        "devices": {},
        "models": {},
        "problems": problems,
    }
    if not problems:
        problems += _broken_packages(environment)
    if not problems:
        from DRAMLesionLib.system.device import list_devices

        examination["devices"] = list_devices()
        examination["models"] = _models(problems)
    return examination


def _broken_packages(environment: Environment) -> list[str]:
    """A line for each package that is installed and can't be loaded, as torch where a library is missing."""
    broken = []
    for package in PACKAGES:
        try:
            import_module(_MODULES.get(package, package))
        except Exception as error:  # libraries raise what they like when they are loaded
            reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
            again = (
                "start Slicer anew, or press Install in the module DRAMLesion"
                if environment.in_slicer
                else f"pip install --force-reinstall '{requirement(environment, package)}'"
            )
            broken.append(f"{package} is installed and can't be loaded: {reason}: {again}")
    return broken


_MODULES = {"pyyaml": "yaml"}
"""What packages are imported as, where that is not their name."""
_LONGEST_REASON = 300


def memory_gib() -> float | None:
    """Installed memory in GiB, None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def print_examination(examination: dict[str, Any], console: "Console") -> None:
    """Show an examination as text."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("what", "found", "note", box=None, header_style="bold")
    table.add_row("DRAMLesion", examination["dramlesion"], "research use only, not for diagnosis")
    table.add_row("Python", examination["python"], examination["executable"])
    for name, installed in examination["packages"].items():
        table.add_row(name, "[red]missing[/red]" if installed is None else installed or "unknown version", "")
    for name, installed in examination["optional"].items():
        note = OPTIONAL[name][1] if installed else f"{OPTIONAL[name][1]}: {_how_to_get(name)}"
        table.add_row(name, installed or "not installed", escape(f"optional: {note}"))
    memory = examination["memory_gib"]
    table.add_row("memory", f"{memory} GiB" if memory else "unknown", "")
    table.add_row("free disk", f"{examination['free_disk_gib']} GiB", "in this folder")
    for name, what in examination["devices"].items():
        table.add_row("device", name, what)
    for name, what in examination["models"].items():
        table.add_row("model", name, what)
    console.print(table)
    for problem in examination["problems"]:
        console.print(f"Problem: {problem}", markup=False)
    if not examination["problems"]:
        console.print("All that is needed is here.")


def _how_to_get(package: str) -> str:
    if package != "trame-slicer":
        return install_command(package)
    from DRAMLesionLib.view.available import HOW, python_beside

    beside = python_beside()
    return f"is in an environment of its own, {beside}" if beside else HOW


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _models(problems: list[str]) -> dict[str, str]:
    from DRAMLesionLib.lesions.networks.bundle import list_models, load_any_model
    from DRAMLesionLib.lungs.lung_bundle import load_lung_network, lung_model_folder
    from DRAMLesionLib.system.errors import InputError

    models = {}
    try:
        load_lung_network()
        models["lungs"] = str(lung_model_folder())
    except InputError as error:
        problems.append(str(error))
    for name, folder in list_models().items():
        try:
            model = load_any_model(folder)
            models[name] = f"version {model.version}, checksum {model.checksum[:12]}, {folder}"
        except InputError as error:
            problems.append(str(error))
        except Exception as error:  # whatever a damaged file makes of itself
            reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
            problems.append(f"{folder}: damaged model: {reason}: install the model again")
    return models
