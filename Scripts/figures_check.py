"""Every table of figures on the pages says which command prints it, and that command is there.

    python Scripts/figures_check.py [PAGE ...]

A table of figures (at least four cells that are numbers) needs *Printed by* and a command in backquotes, or the words
*not kept* with what can't be printed again: in the words before or after it, or in those under its section's heading or
the page's title.
On all pages a script or a command of the library in backquotes has to exist and to know the options behind its name.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES_OF_FIGURES = ("README.md", "Training/*.md", "Testing/benchmarks/*.md")
PAGES = (
    *PAGES_OF_FIGURES,
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Documentation/*.md",
    "DRAMLesionLib/models/*/docs/*.md",
)
SCRIPTS = ("Testing/benchmarks", "Scripts", "Testing/gpu", "Testing/mutants", "Testing/torture/bad_input")
FEWEST_NUMBERS = 4
SOURCE = re.compile(r"[Pp]rinted by\s`|not\skept")

_NUMBER = re.compile(r"[+-]?\.?\d.{0,29}$")
_CODE = re.compile(r"`([^`\n]+)`")
_OPTION = re.compile(r"--[a-z][\w-]*")


def table_problems(text: str) -> Iterator[str]:
    """The tables of figures of a page that do not say where they come from."""
    parts = _parts(_without_code(text))
    under_title = under_heading = ""
    for place, (kind, line, content) in enumerate(parts):
        after = parts[place + 1][2] if place + 1 < len(parts) and parts[place + 1][0] == "words" else ""
        if kind == "heading":
            under_heading = after
            under_title = after if content.startswith("# ") else under_title
        elif kind == "table" and _numbers(content) >= FEWEST_NUMBERS:
            before = parts[place - 1][2] if place and parts[place - 1][0] == "words" else ""
            if not SOURCE.search("\n".join((under_title, under_heading, before, after))):
                yield f"line {line}: no command prints this table: write 'Printed by `...`', or that it was not kept"


def command_problems(text: str) -> Iterator[str]:
    """The commands in backquotes that call a script that is not there, or options that it does not have."""
    for code in _CODE.findall(_without_code(text)):
        words = code.replace("[", " ").replace("]", " ").split()
        yield from library_problems(code, words)
        place = next((n for n, word in enumerate(words) if word.endswith(".py")), None)
        if place is None or (len(words) == place + 1 and "/" not in words[place]):
            continue  # the name of a module alone
        script = find_script(words[place])
        if script is None:
            if len(words) > place + 1:
                yield f"`{code}`: there is no script {words[place]}"
            continue
        unknown = [
            word for word in _OPTION.findall(" ".join(words[place + 1 :])) if word not in options(script)
        ]
        if unknown:
            yield f"`{code}`: {script.name} has no {', '.join(unknown)}"


def library_problems(code: str, words: list[str]) -> Iterator[str]:
    """What a command line of the library in backquotes has that the library has not."""
    place = next((n for n, word in enumerate(words) if word in ("dramlesion", "DRAMLesionLib")), None)
    if (
        place is None
        or len(words) <= place + 1
        or words[0] in ("import", "pip")
        or words[place + 1].startswith("-")
    ):
        return
    known = library_options()
    name, given = words[place + 1], _OPTION.findall(" ".join(words[place + 2 :]))
    if name not in known:
        yield f"`{code}`: there is no command {name}"
    elif unknown := [word for word in given if word not in known[name]]:
        yield f"`{code}`: {name} has no {', '.join(unknown)}"


@cache
def library_options() -> dict[str, set[str]]:
    """The options of each command of the library."""
    import typer

    sys.path.insert(0, str(REPOSITORY))
    from DRAMLesionLib.cli import app

    commands = typer.main.get_command(app).commands
    return {
        name: {"--help", *(option for one in command.params for option in (*one.opts, *one.secondary_opts))}
        for name, command in commands.items()
    }


def find_script(name: str) -> Path | None:
    """A script by its path in the repository, or by its file's name."""
    if "/" in name:
        return REPOSITORY / name if (REPOSITORY / name).is_file() else None
    places = [REPOSITORY / folder / name for folder in SCRIPTS]
    return next((path for path in places if path.is_file()), None)


@cache
def options(script: Path) -> frozenset[str]:
    """The options that a script's ``add_argument`` calls name; it is not run."""
    names = {"--help"}
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "add_argument"
        ):
            names |= {
                arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            }
    return frozenset(names)


def _without_code(text: str) -> str:
    """The page with its fenced blocks emptied; lines keep their numbers."""
    return re.sub(r"^( *)```.*?^\1```", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S)


def _parts(text: str) -> list[tuple[str, int, str]]:
    """Headings, tables and the words between them: kind, line from 1, text."""
    parts: list[tuple[str, int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        kind = "heading" if line.startswith("#") else "table" if line.startswith("|") else "words"
        if parts and parts[-1][0] == kind != "heading":
            parts[-1] = (kind, parts[-1][1], f"{parts[-1][2]}\n{line}")
        else:
            parts.append((kind, number, line))
    return parts


def _numbers(table: str) -> int:
    cells = [cell.strip(" *") for line in table.splitlines()[2:] for cell in line.strip("|").split("|")]
    return sum(bool(_NUMBER.match(cell)) for cell in cells)


def pages(patterns: tuple[str, ...] = PAGES) -> list[Path]:
    """The pages that these patterns name."""
    return [path for pattern in patterns for path in sorted(REPOSITORY.glob(pattern))]


def problems(path: Path) -> list[str]:
    """What is wrong with a page; one line each."""
    text, page = path.read_text(encoding="utf-8"), path.relative_to(REPOSITORY).as_posix()
    found = list(command_problems(text))
    if path in pages(PAGES_OF_FIGURES):
        found += table_problems(text)
    return [f"{page}: {problem}" for problem in found]


def main(names: list[str]) -> int:
    """Print what is wrong; the exit code is 1 if anything is."""
    chosen = [Path(name).resolve() for name in names] or pages()
    found = [problem for path in chosen for problem in problems(path)]
    print("\n".join(found) or f"{len(chosen)} pages: each table of figures has its command")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
