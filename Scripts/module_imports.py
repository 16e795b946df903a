"""What modules do while Slicer imports them at its start: no work, and nothing but what Slicer brings."""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

IN_SLICER = {
    "slicer",
    "vtk",
    "qt",
    "ctk",
    "numpy",
    "scipy",
    "SimpleITK",
    "packaging",
    "pydicom",
    "SegmentEditorEffects",
}
"""What a file that Slicer reads at its start may import: Slicer itself and what it brings."""

WORK = re.compile(
    r"pip_\w+|install\w*|subprocess\.\w+|Popen|os\.system|urlopen|urlretrieve|download\w*|open|read_\w+|load\w*|write_\w+"
    r"|connect|mkdir|unlink|rmtree|sleep|import_module|__import__"
)
"""Calls that no file makes while it is imported: packages, processes, the network, files, the scene."""

STATEMENT_CALLS = ("sys.path.insert",)
"""Calls for their effect alone that a file may make while it is imported."""


def module_folders(repository: Path) -> list[Path]:
    """The modules: folders with a script of their own name."""
    return sorted(path.parent for path in repository.glob("*/*.py") if path.stem == path.parent.name)


def check_modules(repository: Path) -> Iterator[str]:
    """What Slicer reads at its start, and what that imports."""
    seen: set[Path] = set()
    for folder in module_folders(repository):
        name = folder.name
        for needed in (f"Resources/Icons/{name}.png", "CMakeLists.txt"):
            if not (folder / needed).is_file():
                yield f"{name}/{needed}: is missing"
        if f"add_subdirectory({name})" not in (repository / "CMakeLists.txt").read_text(encoding="utf-8"):
            yield f"CMakeLists.txt: lacks add_subdirectory({name})"
        for path in sorted(folder.rglob("*.py")):
            yield from check_python(repository, path, seen)


def check_python(repository: Path, path: Path, seen: set[Path]) -> Iterator[str]:
    """Imports and calls at file scope, here and in the project's files that it imports there."""
    if path in seen:
        return
    seen.add(path)
    where = path.relative_to(repository)
    for statement, expressions in run_at_import(path.read_text(encoding="utf-8")):
        for node in expressions:
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            alone = isinstance(statement, ast.Expr) and node is statement.value and bool(called)
            alone = alone and called not in STATEMENT_CALLS
            if alone or WORK.fullmatch(called) or WORK.fullmatch(called.rpartition(".")[2]):
                yield f"{where}:{statement.lineno}: works at import: {called}()"
        for module in _imported(statement):
            files = own_files(repository, path, module)
            for file in files:
                yield from check_python(repository, file, seen)
            root = module.split(".")[0]
            if not files and root not in sys.stdlib_module_names and root not in IN_SLICER:
                yield f"{where}:{statement.lineno}: imports {root} at file scope: import it where it is used"


@functools.cache
def run_at_import(text: str) -> list[tuple[ast.stmt, list[ast.AST]]]:
    """The statements of a file that run when it is imported, each with the expressions that are evaluated then."""
    return [(statement, list(_evaluated(statement))) for statement in at_file_scope(ast.parse(text))]


def at_file_scope(tree: ast.AST) -> Iterator[ast.stmt]:
    """Statements that run when the file is imported, in blocks and classes too."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.stmt):
            if isinstance(node, ast.excepthandler):
                yield from at_file_scope(node)
            continue
        if isinstance(node, ast.If) and re.search(r"TYPE_CHECKING|__name__", ast.unparse(node.test)):
            continue
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from at_file_scope(node)


def _evaluated(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement itself: of a function its decorators and defaults, of a block its condition."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        heads = [
            *statement.decorator_list,
            *statement.args.defaults,
            *filter(None, statement.args.kw_defaults),
        ]
    else:
        heads = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.expr)]
    for head in heads:
        inside = {id(n) for lam in ast.walk(head) if isinstance(lam, ast.Lambda) for n in ast.walk(lam.body)}
        yield from (node for node in ast.walk(head) if id(node) not in inside)


def _imported(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        return [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
    return []


def own_files(repository: Path, importer: Path, module: str) -> list[Path]:
    """The project's files behind a module's name, its packages too."""
    parts = module.split(".")
    roots = (repository, *module_folders(repository), importer.parent)
    for root in roots:
        if (root / parts[0] / "__init__.py").is_file() or (
            len(parts) == 1 and (root / f"{parts[0]}.py").is_file()
        ):
            packages = [root.joinpath(*parts[: i + 1], "__init__.py") for i in range(len(parts))]
            files = [*packages, root.joinpath(*parts).with_suffix(".py")]
            return [path for path in files if path.is_file()]
    return []
