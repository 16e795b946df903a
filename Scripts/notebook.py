"""Run the cells of a notebook from top to bottom, in this process, and keep what they show.

    python Scripts/notebook.py Documentation/notebook.ipynb [--write]

The first cell that fails ends it with that cell and its error. With ``--write`` the notebook is written anew with what
its cells showed: text that was printed, and the value of a cell's last line. No server and no kernel is started.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of a notebook that are code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell and return what it shows, as the notebook format writes it.

    Args:
        source: The cell's text.
        names: The names that earlier cells left; the cell's own are added.
    """
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    shown: list[dict[str, Any]] = []
    if printed.getvalue():
        shown.append({"output_type": "stream", "name": "stdout", "text": lines(printed.getvalue())})
    if value is not None:
        shown.append({"output_type": "execute_result", "metadata": {}, "data": data_of(value)})
    return shown


def data_of(value: Any) -> dict[str, Any]:
    """A value as a notebook shows it: text, and a page or a picture where it has one."""
    data: dict[str, Any] = {"text/plain": lines(repr(value))}
    # A figure of matplotlib has the method and, without a server, nothing to return.
    if page := getattr(value, "_repr_html_", str)():
        data["text/html"] = lines(page)
    if hasattr(value, "_repr_png_"):
        data["image/png"] = base64.b64encode(value._repr_png_()).decode("ascii")
    return data


def lines(text: str) -> list[str]:
    """A text as the notebook format writes it."""
    return text.splitlines(keepends=True)


def run_notebook(path: Path) -> dict[str, Any]:
    """Run a notebook in an empty folder; returns it with what its cells showed.

    Raises:
        SystemExit: A cell failed.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        os.chdir(folder)
        try:
            for number, cell in enumerate(code_cells(notebook), 1):
                source = "".join(cell["source"])
                try:
                    cell["outputs"] = run_cell(source, names)
                except Exception as error:
                    sys.exit(f"{path.name}, code cell {number}: {type(error).__name__}: {error}\n{source}")
                cell["execution_count"] = number
                for shown in cell["outputs"]:
                    if shown["output_type"] == "execute_result":
                        shown["execution_count"] = number
        finally:
            os.chdir(here)
    return notebook


def as_markdown(notebook: dict[str, Any]) -> str:
    """A notebook as a page: its words, its code, and what its cells showed when it was written."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [shown_as_markdown(shown) for shown in cell.get("outputs", ())]
    return "\n\n".join(parts) + "\n"


def shown_as_markdown(shown: dict[str, Any]) -> str:
    """What a cell showed, for a page: its richest form."""
    if shown["output_type"] == "stream":
        return f"```text\n{''.join(shown['text']).rstrip()}\n```"
    data = shown["data"]
    if "text/html" in data:
        return "".join(data["text/html"]).replace("\n", " ")
    if "image/png" in data:
        return f'<img src="data:image/png;base64,{data["image/png"]}" alt="what the cell shows">'
    return f"```text\n{''.join(data['text/plain'])}\n```"


def main() -> None:
    """Run notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="keep what the cells showed")
    arguments = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY))
    for path in arguments.notebooks:
        notebook = run_notebook(path.resolve())
        print(f"{path}: {len(code_cells(notebook))} code cells work")
        if arguments.write:
            path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
