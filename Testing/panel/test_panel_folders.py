"""The panel's house: which folder may import which, and that no file is left beside the folders by mistake."""

import ast
from pathlib import Path

PANEL = Path(__file__).resolve().parents[2] / "DRAMLesion" / "DRAMLesionPanel"
FLOORS = (("shared",), ("results", "install"), ("correct", "train", "followup"), ("segment",), ("",))
"""From the ground up, "" for the files beside the folders: a file imports from its own folder and from lower floors."""
FLOOR_OF = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}


def imported_folders(source: str) -> set[str]:
    """The panel's folders that a file imports from, wherever the import stands."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    parts = [name.split(".") for name in names if name.split(".")[0] == PANEL.name]
    return {part[1] if part[1] in FLOOR_OF else "" for part in parts}


def steps_up(panel: Path) -> list[str]:
    wrong = []
    for path in sorted(panel.rglob("*.py")):
        here = path.parent.relative_to(panel).as_posix().replace(".", "")
        for there in imported_folders(path.read_text(encoding="utf-8")):
            if there != here and FLOOR_OF[there] >= FLOOR_OF[here]:
                wrong.append(f"{path.relative_to(panel).as_posix()} imports from {there or 'the top'}")
    return wrong


def test_every_folder_has_a_floor():
    folders = {path.parent.relative_to(PANEL).as_posix().replace(".", "") for path in PANEL.rglob("*.py")}
    assert folders == set(FLOOR_OF)


def test_no_file_imports_a_higher_folder():
    assert steps_up(PANEL) == []


def test_an_import_upward_is_named(tmp_path):
    for folder in FLOOR_OF:
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "shared" / "steps.py").write_text(
        "def late():\n    from DRAMLesionPanel.segment import run\n"
    )
    (tmp_path / "train" / "plan.py").write_text("from DRAMLesionPanel.correct.correct_section import X\n")
    assert steps_up(tmp_path) == [
        "shared/steps.py imports from segment",
        "train/plan.py imports from correct",
    ]
