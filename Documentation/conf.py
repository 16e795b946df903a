"""Sphinx: the pages of this folder, and the API reference from the docstrings.

    make docs

The reference is read from the source text (sphinx-autoapi). It shows what people program with, :data:`SHOWN`, and no
internals. The commands' page is made from the commands, which import nothing heavy: the build does not need torch.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent

project = "DRAMLesion"
author = "The DRAMLesion developers"
copyright = "The DRAMLesion developers"
release = re.search(
    r'^__version__ = "(.+)"', (REPOSITORY / "DRAMLesionLib" / "__init__.py").read_text(encoding="utf-8"), re.M
).group(1)

extensions = ["myst_parser", "sphinx.ext.napoleon", "autoapi.extension"]
html_theme = "furo"
html_title = f"DRAMLesion {release}"

myst_heading_anchors = 3

autoapi_dirs = [str(REPOSITORY / "DRAMLesionLib")]
autoapi_root = "api"
autoapi_options = ["members", "undoc-members", "show-module-summary"]
autoapi_add_toctree_entry = False
autoapi_member_order = "bysource"
autoapi_python_class_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# A reference to something of ours has to be found; other projects' pages are not looked up: that would need the internet.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!~?DRAMLesionLib).*")]
suppress_warnings = [
    "autoapi.python_import_resolution",  # names that are assigned as tuples
    "ref.python",  # attributes of one name in two classes
]

SHOWN = (
    "api.compare",
    "api.result",
    "api.segment",
    "api.table",
    "batch.run",
    "batch.work",
    "case",
    "correction.session",
    "followup.comparison",
    "images.volume",
    "lesions.find",
    "lesions.findings",
    "lesions.options",
    "lesions.quality",
    "lesions.quantify",
    "lesions.reading",
    "lesions.run_models",
    "lesions.steer",
    "lungs.lobes",
    "lungs.read_lobes",
    "phantom.phantom",
    "results.folder",
    "system.errors",
    "system.progress",
    "training.engine",
    "training.recipes.recipe",
    "training.tasks.task",
)
"""The modules of the reference: the public interface and the extension points."""

PAGES_ELSEWHERE = {
    "training": "Training/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "notebook": "Documentation/notebook.ipynb",
}
"""Pages that stand where a reader of the repository looks for them."""
_ENTRY = json.loads((REPOSITORY / "DRAMLesion.json").read_text(encoding="utf-8"))
ON_THE_WEB = f"{_ENTRY['scm_url'].removesuffix('.git')}/blob/{_ENTRY['scm_revision']}"
"""What else of the repository the pages link to."""


def setup(app):
    """Read the pages that stand elsewhere, and what docstrings hold."""
    app.connect("source-read", _read_elsewhere)
    app.connect("autodoc-process-docstring", _escape_bars, priority=1000)
    app.connect("missing-reference", _find_by_short_name)
    app.connect("autoapi-skip-member", _is_internal)


def _is_internal(app, what, name, item, skip, options):
    """Leave modules out of the reference that it does not show, nor lie above one that it shows."""
    if what not in ("module", "package"):
        return None
    shown = name.removeprefix("DRAMLesionLib").removeprefix(".")
    return not any(module == shown or module.startswith(f"{shown}.") or not shown for module in SHOWN)


def _read_elsewhere(app, name, source):
    """Let such a page stand in for the file here that names it; let links lead where they can from here."""
    file = REPOSITORY / PAGES_ELSEWHERE.get(name, f"Documentation/{name}.md")
    if not file.is_file():  # a page of the reference
        return
    app.env.note_dependency(str(file))
    text = file.read_text(encoding="utf-8")
    if name == "commands":
        for script in (REPOSITORY / "DRAMLesionLib" / "commands").glob("*.py"):
            app.env.note_dependency(str(script))
        text = _script("command_reference").reference()
    elif file.suffix == ".ipynb":
        text = _script("notebook").as_markdown(json.loads(text))
    source[0] = re.sub(
        r"\]\((?!\w+:|#)([^)]+)\)",
        lambda link: f"]({_from_here(file.parent, link[1])})",
        text,
    )


def _script(name):
    """A module of the folder Scripts."""
    for folder in (REPOSITORY, REPOSITORY / "Scripts"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return __import__(name)


def _from_here(folder, target):
    """A link of a page in a folder, as a page of this folder has to have it."""
    name, mark, anchor = target.partition("#")
    file = (folder / name).resolve()
    for page, place in PAGES_ELSEWHERE.items():
        if file == REPOSITORY / place:
            file = HERE / f"{page}.md"
    if HERE in file.parents:
        return file.relative_to(HERE).as_posix() + mark + anchor
    return f"{ON_THE_WEB}/{file.relative_to(REPOSITORY).as_posix()}{mark}{anchor}"


def _escape_bars(app, what, name, item, options, lines):
    """The bars of formulas, |a - b|, are no substitutions."""
    lines[:] = [re.sub(r"(?<![|\\])\|(?=[\w(])(?![^`]*``)", r"\\|", line) for line in lines]


def _find_by_short_name(app, env, node, content):
    """A name that is imported elsewhere, or short in a signature: the one thing of ours that is called so."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    short = node["reftarget"].rpartition(".")[2]
    kinds = ("class", "function", "exception", "data")
    found = [
        name
        for name, item in domain.objects.items()
        if item.objtype in kinds and name.rpartition(".")[2] == short
    ]
    if not found and node["reftarget"] in app.env.autoapi_all_objects:
        return content  # an internal: it is there, and has no page
    if len(found) != 1:
        return None
    kind = domain.objects[found[0]].objtype
    return domain.resolve_xref(
        env,
        node["refdoc"],
        app.builder,
        {"function": "func", "exception": "exc"}.get(kind, kind),
        found[0],
        node,
        content,
    )
