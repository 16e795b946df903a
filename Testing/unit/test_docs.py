"""The documentation's commands, links and code, and the script that tries them."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("docs_test", REPOSITORY / "Scripts" / "docs_test.py")
docs = importlib.util.module_from_spec(_spec)
sys.modules["docs_test"] = docs
_spec.loader.exec_module(docs)

PAGE = """
# Title

```
$ dramlesion doctor
torch 2.8
```

<!-- docs-test: phantom case1 -->

```bash
# make it
python -m DRAMLesionLib segment scans/case1_ct.nii.gz \\
  --out results
```

<!-- docs-test -->
Words between take the mark away.

```json
{"a": 1}
```
"""


def test_blocks_have_their_line_language_and_mark() -> None:
    first, second, third = docs.blocks(PAGE, "page.md")
    assert (first.line, first.language, first.mark) == (4, "", None)
    assert (second.line, second.language, second.mark) == (11, "bash", "phantom case1")
    assert (third.line, third.language, third.mark, third.text) == (20, "json", None, '{"a": 1}')


def test_a_mark_holds_for_one_block() -> None:
    first, second = docs.blocks("<!-- docs-test -->\n```\na\n```\n```\nb\n```\n")
    assert (first.mark, second.mark) == ("", None)


def test_lines_are_joined_and_output_and_comments_are_no_commands() -> None:
    first, second, _ = docs.blocks(PAGE)
    assert list(docs.command_lines(first)) == ["dramlesion doctor"]
    assert list(docs.command_lines(second)) == [
        "python -m DRAMLesionLib segment scans/case1_ct.nii.gz --out results"
    ]


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (".venv/bin/dramlesion doctor", ["doctor"]),
        (
            "PythonSlicer -m DRAMLesionLib batch IN OUT [--lobes '{name} l'] &",
            ["batch", "IN", "OUT", "--lobes", "{name} l"],
        ),
        (
            "torchrun --nproc-per-node 4 -m DRAMLesionLib train R --out m > log.txt",
            ["train", "R", "--out", "m"],
        ),
        ("pip install 'dramlesion[scene]'", None),
        ("cd dramlesion", None),
        ("python Scripts/demo.py", None),
    ],
)
def test_our_commands_are_found_wherever_they_stand(line: str, arguments: list[str] | None) -> None:
    assert docs.library_arguments(line) == arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("segmnt ct.nii.gz --out r", "there is no command segmnt"),
        ("segment ct.nii.gz --out r --lobe l", "--lobe"),
        ("segment --out r", "INPUT"),
        ("segment ct.nii.gz", "--out"),
        ("train r.yaml --data d --out o --epochs many", "--epochs"),
        ("segment ct.nii.gz extra --out r", "extra"),
    ],
)
def test_what_the_command_line_would_not_take_is_said(arguments: str, said: str) -> None:
    assert said in (docs.command_problem(arguments.split()) or "")


@pytest.mark.parametrize(
    "arguments", ["segment ct --out r --no-crf", "train --help", "--help", "doctor --json", "--version"]
)
def test_what_it_would_take_is_no_problem_and_runs_nothing(
    arguments: str, capsys: pytest.CaptureFixture
) -> None:
    assert docs.command_problem(arguments.split()) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\nmake demonstration\n```", "no target demonstration"),
        ("```\npython Scripts/no.py\n```", "there is no Scripts/no.py"),
        (
            "```python\nfrom DRAMLesionLib.lesions.crf.crf import refined\n```",
            "DRAMLesionLib.lesions.crf.crf has no refined",
        ),
        ("```python\nfrom DRAMLesionLib.croft import refine\n```", "no module DRAMLesionLib.croft"),
        ("```python\nprint(\n```", "never closed"),
        ("```json\n{'a': 1}\n```", "json block"),
        ("```yaml\na: [\n```", "yaml block"),
        ("[x](nowhere.md)", "nowhere.md leads nowhere"),
        ("[x](README.md#no-such-heading)", "no such heading"),
    ],
)
def test_what_is_wrong_with_a_page_is_named(tmp_path: Path, text: str, said: str) -> None:
    for name in ("Makefile", "README.md"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    (tmp_path / "DRAMLesionLib").symlink_to(REPOSITORY / "DRAMLesionLib")
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    (problem,) = docs.problems(tmp_path / "page.md", tmp_path)
    assert problem.startswith("page.md:")
    assert said in problem


def test_good_links_and_headings_are_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        "# It's `one` way\n[a](page.md#its-one-way) [b](#its-one-way) [c](https://x.org/y)"
    )
    assert docs.problems(tmp_path / "page.md", tmp_path) == []


def test_marked_trainings_are_cut_short_and_what_is_printed_stays() -> None:
    line = "python -m DRAMLesionLib train R --data D --out O"
    assert docs.shortened(line) == f"{line} --epochs 1 --threads 1"
    assert docs.shortened(f"{line} --epochs 5") == f"{line} --epochs 5"
    assert docs.shortened("python -m DRAMLesionLib doctor") == "python -m DRAMLesionLib doctor"


def test_a_marked_block_ends_with_its_first_failure(tmp_path: Path) -> None:
    block = docs.Block("p", 1, "", "false\necho on", "")
    done = subprocess.run(["bash", "-c", docs.script(block)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""


@pytest.mark.parametrize("path", docs.pages(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_page_can_be_followed(path: Path) -> None:
    assert docs.problems(path) == []


def test_the_pages_are_found() -> None:
    found = {path.relative_to(REPOSITORY).as_posix() for path in docs.pages()}
    assert {"README.md", "Training/README.md", "Documentation/batch.md", "Documentation/tutorial.md"} <= found


def test_one_version_everywhere():
    import DRAMLesionLib

    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+),", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert f"\nversion: {DRAMLesionLib.__version__}\n" in citation
    assert newest and newest[1] == DRAMLesionLib.__version__


def script_of(name: str):
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "Scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_has_every_command_and_option() -> None:
    import typer

    from DRAMLesionLib.cli import app

    text = script_of("command_reference").reference()
    for name, command in typer.main.get_command(app).commands.items():
        section = text.partition(f"### {name}\n")[2].partition("\n### ")[0]
        shown = [one.opts[0] for one in command.params if one.opts[0].startswith("--")]
        assert all(f"`{option}" in section for option in shown), name
    assert "dramlesion segment INPUT --out PATH" in text and "`--size NUMBER NUMBER NUMBER`" in text


def test_a_notebook_keeps_what_its_cells_show_and_names_the_cell_that_fails(tmp_path) -> None:
    notebooks = script_of("notebook")
    path = tmp_path / "n.ipynb"
    cells = [{"cell_type": "code", "source": ["a = 2\n", "print(a)\n", "a + 1"]}]
    path.write_text(docs.json.dumps({"cells": [{"cell_type": "markdown", "source": ["# T"]}, *cells]}))
    done = notebooks.run_notebook(path)
    assert notebooks.as_markdown(done).split("\n\n") == [
        "# T",
        "```python\na = 2\nprint(a)\na + 1\n```",
        "```text\n2\n```",
        "```text\n3\n```\n",
    ]
    path.write_text(docs.json.dumps({"cells": [*cells, {"cell_type": "code", "source": ["a / 0"]}]}))
    with pytest.raises(SystemExit, match="code cell 2: ZeroDivisionError"):
        notebooks.run_notebook(path)


def test_the_notebook_that_ships_shows_results() -> None:
    notebook = docs.json.loads((REPOSITORY / "Documentation" / "notebook.ipynb").read_text(encoding="utf-8"))
    text = script_of("notebook").as_markdown(notebook)
    assert text.count("data:image/png;base64,") >= 2 and "dl.segment(" in text and "<table>" in text
