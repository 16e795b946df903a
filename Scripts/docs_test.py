"""Try the documentation: what it tells people to type has to work.

    python Scripts/docs_test.py [--check] [PAGE ...]

All pages: their links lead somewhere, each command line of ours is one that the command line takes, ``make`` targets and
scripts exist, Python, JSON and YAML blocks can be read, and what Python blocks import from the library is there.
Then (not with ``--check``) the blocks that a comment marks are run, page by page, in a copy of what git knows:

    <!-- docs-test -->                 runs the block, in the folder that the page's earlier blocks left
    <!-- docs-test: phantom A B -->    first makes tiny phantoms, scans/A_ct.nii.gz with _lobes and _lesion, and so on
    <!-- docs-test: file NAME -->      writes the block to a file

Trainings are cut short, see :data:`SHORTENED`; all else is run as it is printed. Without PAGE the documentation's
notebooks are run, too.
"""

import argparse
import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Training/*.md", "Documentation/*.md")
SHORTENED = {
    "phantom": ["--size", "64", "64", "48", "--spacing", "5.5", "5.5", "6"],
    "train": ["--epochs", "1", "--threads", "1"],
    "segment": ["--no-scene"],
    "steer": ["--no-scene"],
}
"""What the commands of marked blocks get besides, so that a run takes seconds."""
SHELLS = ("", "sh", "bash", "shell", "console")
STARTERS = ("python", "python3", "PythonSlicer", ".venv/bin/python")

_MARK = re.compile(r"<!--\s*docs-test(?::\s*(.*?))?\s*-->")
_FENCE = re.compile(r"^( *)(```+)\s*\{?(\w*)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The page, relative to the repository.
        line: Of its opening fence, from 1.
        language: What stands behind the fence; empty: nothing.
        text: What stands between the fences.
        mark: What the comment before it asks for; None where there is no such comment.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str | None = None

    @property
    def is_shell(self) -> bool:
        """Whether it may hold command lines."""
        return self.language in SHELLS


def pages(repository: Path = REPOSITORY) -> list[Path]:
    """All pages that people read."""
    return [path for pattern in PAGES for path in sorted(repository.glob(pattern))]


def blocks(text: str, page: str = "") -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    mark, opening, inside = None, None, []
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opening is None:
            if asked := _MARK.search(line):
                mark = asked[1] or ""
            elif fence:
                opening, start, inside = fence, number, []
            elif line.strip():
                mark = None
        elif fence and fence[2] == opening[2] and not fence[3]:
            content = "\n".join(row.removeprefix(opening[1]) for row in inside)
            found.append(Block(page, start, opening[3], content, mark))
            mark = opening = None
        else:
            inside.append(line)
    return found


def command_lines(block: Block) -> Iterator[str]:
    """The lines of a shell block, continued ones joined; comments and what a command prints are left out.

    Where some lines begin with ``$``, those are the commands.
    """
    joined = re.sub(r"\s*\\\n\s*", " ", block.text)
    lines = [line.strip() for line in joined.splitlines()]
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in prompted or lines:
        if line and not line.startswith("#"):
            yield line


def words(line: str) -> list[str]:
    """A command line's words: without what the shell takes for itself; ``[--option]`` is taken as given."""
    line = re.sub(r"\[(--?[^\]]*)\]", r"\1", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="<>&|;")
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        found = list(lexer)
    except ValueError:  # a quotation that goes on over several lines
        return line.split()
    end = next((place for place, word in enumerate(found) if word and set(word) <= set("<>&|;")), len(found))
    return found[:end]


def library_arguments(line: str) -> list[str] | None:
    """What follows ``dramlesion`` or ``python -m DRAMLesionLib`` in a line; None where neither is called."""
    found = words(line)
    for place, word in enumerate(found):
        if word == "DRAMLesionLib" and place and found[place - 1] == "-m":
            return found[place + 1 :]
        if Path(word).name == "dramlesion" and (place == 0 or word.endswith("bin/dramlesion")):
            return found[place + 1 :]
    return None


def command_problem(arguments: Sequence[str]) -> str | None:
    """Why the command line would not take these arguments; nothing is run.

    Args:
        arguments: The command's name, its arguments and options.
    """
    import typer

    from DRAMLesionLib.cli import app

    group = typer.main.get_command(app)
    name, *rest = arguments or ["--help"]
    if name.startswith("--"):
        name, rest = None, list(arguments)
    command = group if name is None else group.commands.get(name)
    if command is None:
        return f"there is no command {name}"
    if "--help" in rest or (name is None and rest == ["--version"]):
        return None
    try:
        command.make_context(name or "dramlesion", [number_for(word) for word in rest])
    except Exception as error:
        # typer may bring a click of its own: what it says of a wrong word is known by its method, not by its class.
        if hasattr(error, "format_message"):
            return " ".join(error.format_message().split())
        raise
    return None


def number_for(word: str) -> str:
    """A number where a page says N."""
    return "2" if word == "N" else word


def problems(path: Path, repository: Path = REPOSITORY) -> list[str]:
    """What is wrong with a page; one line each, with the place."""
    page = path.relative_to(repository).as_posix()
    text = path.read_text(encoding="utf-8")
    found = [f"{page}: {problem}" for problem in link_problems(text, path)]
    for block in blocks(text, page):
        found += [f"{page}:{block.line}: {problem}" for problem in block_problems(block, repository)]
    return found


def block_problems(block: Block, repository: Path = REPOSITORY) -> Iterator[str]:
    """What is wrong with a block."""
    if block.is_shell:
        for line in command_lines(block):
            yield from line_problems(line, repository)
    elif block.language in ("python", "json", "yaml"):
        try:
            yield from _READERS[block.language](block.text, repository)
        except ValueError as error:  # SyntaxError is none, but json's and the ones below are
            yield f"{block.language} block: {error}"
        except SyntaxError as error:
            yield f"python block: {error}"


def line_problems(line: str, repository: Path = REPOSITORY) -> Iterator[str]:
    """What is wrong with a command line."""
    arguments = library_arguments(line)
    if arguments is not None:
        problem = command_problem(arguments)
        if problem:
            yield f"{line}: {problem}"
    found = words(line)
    if found and found[0] == "make":
        targets = re.findall(r"^([\w-]+):", (repository / "Makefile").read_text(encoding="utf-8"), re.M)
        for word in found[1:]:
            if "=" not in word and word not in targets:
                yield f"{line}: the Makefile has no target {word}"
    for word in found:
        ours = re.match(r"(Scripts|Testing|Training|Integrations)/", word)
        if ours and not (repository / word).exists():
            yield f"{line}: there is no {word}"


def link_problems(text: str, path: Path) -> Iterator[str]:
    """Relative links that lead nowhere."""
    without_code = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.M | re.S)
    for target in _LINK.findall(without_code):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        if not file.exists():
            yield f"the link to {target} leads nowhere"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text(encoding="utf-8")):
            yield f"the link to {target}: there is no such heading"


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub does."""
    headings = re.findall(r"^#+\s+(.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _python_problems(text: str, repository: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("DRAMLesionLib"):
            file = repository.joinpath(*node.module.split("."))
            file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
            if not file.exists():
                yield f"there is no module {node.module}"
                continue
            known = top_names(file)
            for alias in node.names:
                if alias.name not in known and not (file.parent / f"{alias.name}.py").exists():
                    yield f"{node.module} has no {alias.name}"


def top_names(file: Path) -> set[str]:
    """The names that a module defines or imports at its top level; it is not imported."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8"), file.name).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(
                leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)
            )
            if "_NAMES" in names and isinstance(node.value, ast.Dict):  # what a folder's face hands on
                names.update(key.value for key in node.value.keys if isinstance(key, ast.Constant))
    return names


def _json_problems(text: str, _: Path) -> Iterator[str]:
    json.loads(text)
    yield from ()


def _yaml_problems(text: str, _: Path) -> Iterator[str]:
    import yaml

    try:
        yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield f"yaml block: {' '.join(str(error).split())}"


_READERS = {"python": _python_problems, "json": _json_problems, "yaml": _yaml_problems}


def shortened(line: str) -> str:
    """A command line of a marked block, as it is run."""
    arguments = library_arguments(line)
    if not arguments or arguments[0] not in SHORTENED:
        return line
    more = SHORTENED[arguments[0]]
    return " ".join([line, *more[: 0 if more[0] in arguments else None]])


def script(block: Block) -> str:
    """A marked block as a shell script that ends with its first failure."""
    return "\n".join(["set -euo pipefail", *map(shortened, command_lines(block))])


def copy_of_repository(to: Path, repository: Path = REPOSITORY) -> None:
    """Copy what a clone would hold: what git knows, and what it would not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        check=True,
        capture_output=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (repository / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, to / name)


def make_scans(folder: Path, names: Sequence[str]) -> None:
    """Tiny phantoms, named as ``datalist`` and ``batch`` find them."""
    sys.path.insert(0, str(REPOSITORY))
    from DRAMLesionLib.images.volume import write_volume
    from DRAMLesionLib.phantom import make_phantom

    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        made = make_phantom((64, 64, 48), (5.5, 5.5, 6.0), seed=seed)
        for what, array in (("ct", made.ct.array), ("lobes", made.lobes.labels), ("lesion", made.lesion)):
            write_volume(array, made.ct, folder / f"{name}_{what}.nii.gz")


def run_page(path: Path) -> int:
    """Run a page's marked blocks; returns how many.

    Raises:
        SystemExit: One of them failed.
    """
    page = path.relative_to(REPOSITORY).as_posix()
    marked = [block for block in blocks(path.read_text(encoding="utf-8"), page) if block.mark is not None]
    if not marked:
        return 0
    with tempfile.TemporaryDirectory(prefix="docs-test-") as folder:
        here = Path(folder)
        copy_of_repository(here)
        bin_folder = Path(sys.executable).parent
        environment = {
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": folder,
        }
        for block in marked:
            asked, *names = (block.mark or "").split() or [""]
            if asked == "file":
                (here / names[0]).write_text(block.text + "\n", encoding="utf-8")
                continue
            if asked == "phantom":
                make_scans(here / "scans", names)
            elif asked:
                sys.exit(f"{page}:{block.line}: unknown mark {block.mark}: use phantom, file, or nothing")
            print(f"{page}:{block.line}", *command_lines(block), sep="\n  ", flush=True)
            # The page says .venv/bin, which a copy does not have.
            text = script(block).replace(".venv/bin/", "")
            if subprocess.run(["bash", "-c", text], cwd=here, env=environment).returncode:
                sys.exit(f"{page}:{block.line}: this block fails")
    return len(marked)


def run_notebooks() -> None:
    """Run all notebooks of the documentation.

    Raises:
        SystemExit: A cell failed.
    """
    found = sorted((REPOSITORY / "Documentation").glob("*.ipynb"))
    command = [sys.executable, str(REPOSITORY / "Scripts" / "notebook.py"), *map(str, found)]
    if subprocess.run(command, cwd=REPOSITORY, timeout=600).returncode:
        sys.exit("a notebook fails")


def main() -> None:
    """Check all pages, then run what is marked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, help="all pages without")
    parser.add_argument("--check", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    chosen = [path.resolve() for path in arguments.pages] or pages()
    sys.path.insert(0, str(REPOSITORY))
    found = [problem for path in chosen for problem in problems(path)]
    if found:
        sys.exit("\n".join(found))
    print(f"{len(chosen)} pages: links, commands and code can be read")
    if not arguments.check:
        print(f"{sum(run_page(path) for path in chosen)} marked blocks work")
        if not arguments.pages:
            run_notebooks()


if __name__ == "__main__":
    main()
