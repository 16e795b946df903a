"""HTML pages from the library's Jinja templates."""

from collections.abc import Callable, Mapping
from typing import Any

from DRAMLesionLib.results.numbers import hu_text, ml_text, mm_text, percent_text, range_text
from DRAMLesionLib.system.package import PACKAGE

_NUMBERS: dict[str, Callable[..., Any]] = {
    "percent": percent_text,
    "ml": ml_text,
    "hu": hu_text,
    "mm": mm_text,
    "range": range_text,
}


def render_page(
    template: str, values: Mapping[str, Any], filters: Mapping[str, Callable[..., Any]] | None = None
) -> str:
    """The text of a page: a template of ``DRAMLesionLib/templates`` with its values filled in and escaped.

    Args:
        template: The template's file name, such as ``report.html.j2``.
        values: What the template names; a name that it lacks is an error.
        filters: Functions that the template applies by ``value | name``, beside ``percent``, ``ml``, ``hu``, ``mm`` and
            ``range`` of :mod:`DRAMLesionLib.results.numbers`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(PACKAGE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({**_NUMBERS, **(filters or {})})
    return environment.get_template(template).render(values)
