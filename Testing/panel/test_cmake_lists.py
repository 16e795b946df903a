"""What CMake does not list is not installed: the lists must name every file of the module and the library."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def listed(cmake: Path, *names: str) -> set[str]:
    text = cmake.read_text(encoding="utf-8").replace("${MODULE_NAME}", "DRAMLesion")
    found: set[str] = set()
    for name in names:
        block = re.search(rf"set\({name}\s(.*?)\)", text, re.DOTALL)
        assert block, f"{cmake}: no list {name}"
        found |= set(block[1].split())
    return found


def there(folder: Path, *patterns: str) -> set[str]:
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {path.relative_to(folder).as_posix() for path in files if "__pycache__" not in path.parts}


def test_the_librarys_files_are_listed():
    patterns = ("DRAMLesionLib/**/*.py", "DRAMLesionLib/templates/*", "DRAMLesionLib/terminologies/*")
    found = listed(REPOSITORY / "CMakeLists.txt", "LIBRARY_SCRIPTS", "LIBRARY_RESOURCES")
    assert found == there(REPOSITORY, *patterns)


def test_the_modules_files_are_listed():
    folder = REPOSITORY / "DRAMLesion"
    found = listed(folder / "CMakeLists.txt", "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")
    assert found == there(folder, "**/*.py", "Resources/**/*")


def test_the_project_and_the_description_have_one_name():
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"project\((\w+)\)", text)[1] == "DRAMLesion"
    assert (REPOSITORY / "DRAMLesion.s4ext").is_file()
