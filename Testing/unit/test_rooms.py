"""The library's house: who may import whom, no circles, no crowded folders, no long files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "DRAMLesionLib"
FLOORS = (
    ("system",),
    ("images", "images.dicom"),
    ("lungs",),
    ("phantom",),
    ("lesions.networks", "lesions.crf"),
    ("lesions.whole_lungs",),
    ("lesions",),
    ("results", "results.scene", "results.report"),
    ("case", "model", "model_description", "network", "onnx_export", "volume"),
    ("followup",),
    ("correction", "correction.segment", "training.data", "training.recipes"),
    ("training.tasks", "training.tasks.synthetic", "training.tasks.lungs"),
    ("training",),
    ("training.evaluation",),
    ("api",),
    ("batch",),
    ("view",),
    ("commands", "commands.terminal"),
    ("cli",),
    ("__main__",),
)
"""From the ground up: a room imports rooms of lower floors. Rooms of one floor do not import each other, except a
folder and the folder inside it, between whose files there is no circle."""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MOST_FILES = 16
MOST_LINES = 400


def modules(library: Path) -> dict[str, Path]:
    """The library's modules by their names without the package's, faces (``__init__``) by their folder's."""
    named = {}
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def imports(path: Path, known: set[str]) -> Iterator[str]:
    """What a file imports anywhere: at its head, in functions, for type checkers, and as ``module:name`` texts."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports relatively: write the whole name"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module else []
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.partition(":")[0]
            names = [text] if text.replace(".", "").replace("_", "").isalnum() else []
        for name in names:
            target = longest_module(name, known)
            if target:
                yield target


def longest_module(name: str, known: set[str]) -> str:
    """``DRAMLesionLib.lungs.lobes.LOBES`` is ``lungs.lobes``; "" for what is not of the library."""
    package, _, rest = name.partition(".")
    parts = rest.split(".") if package == LIBRARY.name and rest else []
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in known:
            return ".".join(parts[:length])
    return ""


def import_graph(library: Path) -> dict[str, set[str]]:
    files = modules(library)
    return {name: set(imports(path, set(files))) - {name} for name, path in files.items() if name}


def room_of(module: str, library: Path) -> str:
    """The folder of a module; files beside the library's folders are rooms of their own."""
    is_folder = (library / module.replace(".", "/")).is_dir()
    return module if is_folder or "." not in module else module.rpartition(".")[0]


def steps_up(graph: dict[str, set[str]], library: Path) -> list[str]:
    wrong = []
    for module, targets in graph.items():
        here = room_of(module, library)
        for target in sorted(targets):
            there = room_of(target, library)
            same_house = here.startswith(f"{there}.") or there.startswith(f"{here}.")
            up = FLOOR_OF[there] > FLOOR_OF[here]
            if here != there and (up or (FLOOR_OF[there] == FLOOR_OF[here] and not same_house)):
                wrong.append(f"{module} ({here}) imports {target} ({there})")
    return wrong


def circles(graph: dict[str, set[str]]) -> list[str]:
    """One line for each import that closes a circle, naming the files on it."""
    done: set[str] = set()
    found = []

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            found.append(" -> ".join((*trail[trail.index(module) :], module)))
        elif module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
    return found


def test_every_folder_has_a_floor():
    rooms = {room_of(module, LIBRARY) for module in modules(LIBRARY) if module}
    assert sorted(rooms) == sorted(FLOOR_OF), "give a new folder its floor, take a gone one off"


def test_nothing_imports_a_higher_floor():
    assert steps_up(import_graph(LIBRARY), LIBRARY) == []


def test_no_files_import_each_other_in_a_circle():
    assert circles(import_graph(LIBRARY)) == []


@pytest.mark.parametrize(
    "line",
    [
        "from DRAMLesionLib.batch.run import segment_batch",
        "def late():\n    from DRAMLesionLib.batch import run",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import DRAMLesionLib.batch.run",
        'TASK = "DRAMLesionLib.batch.run:segment_batch"',
        'COMMAND = ["-m", "DRAMLesionLib.batch.run"]',
    ],
)
def test_an_import_upward_is_named_wherever_it_hides(tmp_path, line):
    library = tmp_path / LIBRARY.name
    for folder in ("system", "batch"):
        (library / folder).mkdir(parents=True)
    (library / "system" / "files.py").write_text(line + "\n")
    (library / "batch" / "run.py").write_text("")
    wrong = steps_up(import_graph(library), library)
    assert wrong == ["system.files (system) imports batch.run (batch)"]


def test_a_circle_is_named_with_its_files(tmp_path):
    library = tmp_path / LIBRARY.name
    (library / "images").mkdir(parents=True)
    (library / "images" / "volume.py").write_text("from DRAMLesionLib.images import paths\n")
    (library / "images" / "paths.py").write_text("import DRAMLesionLib.images.volume\n")
    assert circles(import_graph(library)) == ["images.paths -> images.volume -> images.paths"]


@pytest.mark.parametrize("folder", ["DRAMLesionLib", "DRAMLesion", "SegmentEditorDRAMRefine"])
def test_folders_and_files_stay_small(folder):
    for place in [LIBRARY.parent / folder, *(LIBRARY.parent / folder).rglob("*")]:
        if place.is_dir():
            files = [path for path in place.glob("*.py") if path.name != "__init__.py"]
            assert len(files) <= MOST_FILES, f"{place}: {len(files)} files: give some a folder"
        elif place.suffix == ".py":
            lines = len(place.read_text(encoding="utf-8").splitlines())
            assert lines <= MOST_LINES, f"{place}: {lines} lines: is it one noun?"
