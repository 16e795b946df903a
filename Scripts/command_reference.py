"""The reference of the commands, made from the commands themselves.

    python Scripts/command_reference.py > commands.md

What the documentation's build puts into the page ``commands``. It imports the command line, which imports nothing heavy.
"""

import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
GROUPS = {
    "Segment and correct": ("segment", "steer", "refine", "compare", "batch"),
    "Train": ("datalist", "train", "pseudo-label", "evaluate", "study"),
    "Other programs": ("dicom-seg", "export-nnunet", "import-nnunet", "export-onnx"),
    "Try and check": ("phantom", "doctor"),
}
KINDS = {"int": "N", "float": "NUMBER", "path": "PATH", "tuple": "NUMBER"}
"""What a kind of value is called; all else is text."""
HEAD = """# Commands

`dramlesion COMMAND` and `python -m DRAMLesionLib COMMAND` are the same; [which Python that is](install.md#each-time).

Exit code 0: success; 1: a fault of the program; 2: what you can mend, said in one line; 3: some cases of a batch failed;
4: `--strict`, and something to look at; 75: a training stopped at a checkpoint; 130: stopped.
"""


def reference() -> str:
    """The page, Markdown."""
    import typer

    from DRAMLesionLib.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, "More": tuple(name for name in commands if name not in named)}
    parts = [HEAD]
    for title, names in groups.items():
        here = [name for name in names if name in commands]
        if here:
            parts += [f"## {title}", *(section(name, commands[name]) for name in here)]
    return "\n\n".join(parts) + "\n"


def section(name: str, command: Any) -> str:
    """A command: what it does, how it is typed, its arguments and options."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    needed = [f"{one.opts[0]} {value_of(one)}" for one in options if one.required]
    usage = " ".join(["dramlesion", name, *(one.metavar or one.name.upper() for one in arguments), *needed])
    rows = [(f"`{one.metavar or one.name.upper()}`", one) for one in arguments]
    rows += [(f"`{one.opts[0]}{' ' + value_of(one) if value_of(one) else ''}`", one) for one in options]
    table = [f"| {shown} | {words(one)} |" for shown, one in rows]
    help_text = " ".join((command.help or "").split())
    return "\n".join(
        [f"### {name}", "", help_text, "", "```", usage, "```", "", "| | |", "|---|---|", *table]
    )


def value_of(option: Any) -> str:
    """What stands behind an option; empty for a switch."""
    if option.is_flag:
        return ""
    metavar = option.metavar
    if metavar:
        return str(metavar)
    described = getattr(option, "type_descriptor", None)  # typer's own; earlier ones have Click's ``type``
    kind = described.annotation if described is not None else option.type.name
    shown = next(
        (word for name, word in KINDS.items() if name in str(getattr(kind, "__name__", kind)).lower()), "TEXT"
    )
    return " ".join([shown] * option.nargs)


def words(parameter: Any) -> str:
    """What a parameter is, and its default where it has one that says something."""
    text = " ".join(str(getattr(parameter, "help", None) or "").split()).replace("|", "\\|")
    default = parameter.default
    if parameter.required or callable(default) or isinstance(default, bool) or default in (None, "", ()):
        return text
    shown = " ".join(map(str, default)) if isinstance(default, tuple | list) else str(default)
    return f"{text} Default: `{shown}`."


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    print(reference(), end="")
