"""Each rule of the Extensions Index that the script checks, broken once in a copy."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Scripts"))

import check_extension  # noqa: E402
import module_imports  # noqa: E402

READ = (
    "CITATION.cff",
    "pyproject.toml",
    "CMakeLists.txt",
    "DRAMLesion.json",
    "DRAMLesion.s4ext",
    "LICENSE",
    "README.md",
)


@pytest.fixture(scope="session")
def checked(tmp_path_factory) -> Path:
    """What the script reads, without git."""
    target = tmp_path_factory.mktemp("checked") / "SlicerDRAMLesion"
    target.mkdir()
    for name in READ:
        shutil.copy(REPOSITORY / name, target)
    modules = [path.name for path in module_imports.module_folders(REPOSITORY)]
    for name in ("DRAMLesionLib", "Documentation", *modules):
        ignore = shutil.ignore_patterns("__pycache__", "models")
        shutil.copytree(REPOSITORY / name, target / name, ignore=ignore)
    return target


@pytest.fixture
def copy(checked, tmp_path) -> Path:
    return shutil.copytree(checked, tmp_path / "SlicerDRAMLesion")


def test_this_repository_keeps_the_rules():
    assert list(check_extension.findings(REPOSITORY)) == []


def replace(file: str, before: str, after: str):
    def change(repository: Path) -> None:
        path = repository / file
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after, 1), encoding="utf-8")

    return change


def entry(**values):
    def change(repository: Path) -> None:
        path = repository / "DRAMLesion.json"
        found = json.loads(path.read_text(encoding="utf-8")) | values
        found = {key: value for key, value in found.items() if value is not None}
        path.write_text(json.dumps(found), encoding="utf-8")

    return change


def remove(file: str):
    return lambda repository: (repository / file).unlink()


def write(file: str, content: bytes):
    return lambda repository: (repository / file).write_bytes(content)


def add(file: str, line: str):
    return lambda repository: (repository / file).open("a", encoding="utf-8").write(line + "\n")


BROKEN = [
    (remove("DRAMLesion.json"), "DRAMLesion.json: is missing"),
    (write("DRAMLesion.json", b"{"), "DRAMLesion.json: is not JSON"),
    (entry(tier=2), "tier is 2"),
    (entry(tier="1"), "tier is not of type int"),
    (entry(category="Lungs"), "category is 'Lungs'"),
    (entry(scm_revision=None), "scm_revision is missing"),
    (entry(status="fine"), "status is not a key of the schema"),
    (entry(scm_url="git@github.com:DRAMLesion/SlicerDRAMLesion"), "is not https://HOST/PATH"),
    (entry(scm_url="https://github.com/DRAMLesion/DRAMLesion"), "does not begin with Slicer"),
    (entry(build_dependencies=[]), "EXTENSION_DEPENDS ['PyTorch'] is not the entry's"),
    (entry(**{"$schema": "https://example.org/schema"}), "$schema is not the address"),
    (replace("CMakeLists.txt", "project(DRAMLesion)", "project(SlicerDRAM)"), "project() is not DRAMLesion"),
    (replace("CMakeLists.txt", 'HOMEPAGE "https', "HOMEPAGE https"), "EXTENSION_HOMEPAGE is not set"),
    (replace("CMakeLists.txt", "lesions in", "lesions; in"), "EXTENSION_DESCRIPTION has a semicolon"),
    (replace("CMakeLists.txt", "Icons/DRAMLesion.png", "Icons/DRAMLesion.svg"), "not a raw address of a png"),
    (replace("CMakeLists.txt", "panel_results.png", "panel_none.png"), "panel_none.png is missing"),
    (replace("CMakeLists.txt", "/main/DRAMLesion/", "/old/DRAMLesion/"), "on another branch than main"),
    (replace("CMakeLists.txt", "com/DRAMLesion/Slicer", "com/Else/Slicer"), "is not the repository"),
    (write("Documentation/panel_results.png", b"<svg/>"), "is neither png nor jpeg"),
    (replace("DRAMLesion.s4ext", "depends PyTorch", "depends NA"), "depends is not the EXTENSION_DEPENDS"),
    (replace("DRAMLesion.s4ext", "category Seg", "category Reg"), "category is not the category of"),
    (
        replace("CITATION.cff", "com/DRAMLesion/Slicer", "com/Else/Slicer"),
        "CITATION.cff:\\d+: https://github.com/Else/SlicerDRAMLesion is not the address of DRAMLesion.json",
    ),
    (replace("pyproject.toml", "SlicerDRAMLesion", "SlicerDRAM"), "SlicerDRAM is not the address"),
    (remove("LICENSE"), "LICENSE: is missing"),
    (
        replace("README.md", "esearch use only", "esearch"),
        "README.md: lacks that it is for research use only",
    ),
    (write("README.md", b"DRAMLesion\r\n"), "README.md: has CR line ends"),
    (add("DRAMLesion/Resources/requirements.txt", "torch==2.9"), "'torch==2.9' is pinned"),
    (add("DRAMLesion/Resources/requirements.txt", "torch @ https://x.org/t.whl"), "not a plain requirement"),
    (remove("DRAMLesion/Resources/Icons/DRAMLesion.png"), "Resources/Icons/DRAMLesion.png: is missing"),
    (replace("CMakeLists.txt", "add_subdirectory(DRAMLesion)", ""), "lacks add_subdirectory(DRAMLesion)"),
    (add("DRAMLesion/DRAMLesion.py", "import torch"), "DRAMLesion.py:\\d+: imports torch at file scope"),
    (add("DRAMLesion/DRAMLesionPanel/panel.py", "from monai.data import x"), "imports monai at file scope"),
    (add("DRAMLesionLib/system/errors.py", "import rich"), "errors.py:\\d+: imports rich at file scope"),
    (add("DRAMLesion/DRAMLesion.py", "try:\n    import rich\nexcept ImportError:\n    pass"), "imports rich"),
    (
        add("DRAMLesion/DRAMLesion.py", "slicer.util.pip_install('x')"),
        "works at import: slicer.util.pip_install",
    ),
    (
        add("DRAMLesion/DRAMLesion.py", "class A:\n    b = subprocess.run(['x'])"),
        "works at import: subprocess.run",
    ),
    (add("DRAMLesion/DRAMLesion.py", "print('hello')"), "works at import: print"),
    (add("DRAMLesion/DRAMLesion.py", "def f(x=urlopen('y')): pass"), "works at import: urlopen"),
]


@pytest.mark.parametrize(("breaks", "says"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_rule_is_found(copy, breaks, says):
    breaks(copy)
    found = list(check_extension.findings(copy))
    pattern = says if "\\d" in says else re.escape(says)
    assert any(re.search(pattern, line) for line in found), found


def test_the_copy_itself_is_without_findings(checked):
    assert list(check_extension.findings(checked)) == []


@pytest.mark.parametrize(
    "line",
    [
        "if TYPE_CHECKING:\n    import torch",
        "def f():\n    import torch\n    slicer.util.pip_install('x')",
        "on = lambda: slicer.util.pip_install('x')",
        "import numpy as np\nnothing = np.zeros(3)",
    ],
)
def test_what_is_allowed_is_not_found(copy, line):
    add("DRAMLesion/DRAMLesion.py", line)(copy)
    assert list(check_extension.findings(copy)) == []


def test_every_place_of_the_address_is_named(copy, capsys):
    assert check_extension.main(copy, addresses_alone=True) == 0
    said = capsys.readouterr().out.splitlines()
    files = {line.split(":")[0] for line in said}
    assert files == {
        "CITATION.cff",
        "CMakeLists.txt",
        "DRAMLesion.json",
        "DRAMLesion.s4ext",
        "DRAMLesion/DRAMLesionPanel/about.py",
        "Documentation/index.md",
        "pyproject.toml",
    }
    (copy / "Documentation" / "new.md").write_text(
        "See https://github.com/DRAMLesion/SlicerDRAMLesion/issues"
    )
    check_extension.main(copy, addresses_alone=True)
    new = set(capsys.readouterr().out.splitlines()) - set(said)
    assert new == {f"Documentation/new.md:1: {check_extension.PLACEHOLDER}"}


def test_size_counts_the_history():
    assert list(check_extension.check_size(99.0)) == []
    assert "101 MB, 100 are allowed" in next(iter(check_extension.check_size(101.0)))
    files = check_extension.repository_files(REPOSITORY)
    plain = sum(path.stat().st_size for path in files) / 2**20
    assert check_extension.clone_size_mb(REPOSITORY, files) > plain or not (REPOSITORY / ".git").exists()


def test_the_command_line_says_it_and_sets_the_exit_code(copy, capsys):
    assert check_extension.main(copy) == 0
    said = capsys.readouterr().out
    assert "keeps the rules" in said and "Its address is a placeholder, in " in said
    remove("LICENSE")(copy)
    assert check_extension.main(copy) == 1
    assert capsys.readouterr().out.splitlines()[0] == "LICENSE: is missing"
