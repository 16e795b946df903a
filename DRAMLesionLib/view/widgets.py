"""The page's widgets: views at the left, and what is read, steered and painted at the right, in the panel's order."""

from __future__ import annotations

from typing import Any

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.colors import MAP_COLORS, css
from DRAMLesionLib.view.keys import SCRIPT
from DRAMLesionLib.view.page import Page
from DRAMLesionLib.view.slices import LAYOUTS, WINDOWS
from DRAMLesionLib.view.style import STYLE

DRAWER_PX = 400
SMALL = {"density": "compact", "hide_details": True}
SLIDER = {**SMALL, "color": "primary", "thumb_size": 14, "track_size": 2}


def build(server: Any, page: Page, stop: Any) -> None:
    """Put the page together.

    Args:
        server: trame's.
        page: What the widgets do.
        stop: Called when the reader ends the server.
    """
    from trame.ui.vuetify3 import VAppLayout
    from trame.widgets import client, html
    from trame.widgets import vuetify3 as v

    with VAppLayout(server, vuetify_config=_THEME) as layout:
        layout.root.theme = "dramlesion"
        client.Style(STYLE)
        client.Script(SCRIPT)
        with v.VAppBar(density="compact", flat=True, height=44):
            html.Div("DRAMLesion", classes="brand")
            html.Div("{{ title }}", classes="case-title")
            v.VSpacer()
            html.Div("{{ headline }}", classes="headline", id="headline")
            v.VSpacer()
            html.Div("Research use only, not for diagnosis", classes="quiet")
            _icon(v, "mdi-power", "End: the server stops, the page closes", stop, id="end")
        with v.VNavigationDrawer(location="right", permanent=True, width=DRAWER_PX):
            _cases(v, html, page)
            _flags(v, html)
            _results(v, html, page)
            _correct(v, html, page)
            _lesions(v, html, page)
            _views(v, html, page)
        with v.VMain(), html.Div(classes="views"):
            page.slices.layouts.initialize_layout_grid(layout)
            v.VBtn(
                "Try again",
                v_if="case_name && !ready && !busy",
                style="position: absolute; left: 35%; top: 45%; z-index: 10",
                variant="tonal",
                click=page.again,
                id="again",
            )
        with v.VSnackbar(
            v_model=("message_seen",),
            color=("message_kind",),
            timeout=("message_kind === 'error' ? -1 : 6000",),
            location="bottom start",
        ):
            html.Span("{{ message }}", id="message")
            v.VBtn("Close", variant="text", click="message_seen = false")
        with html.Div(v_show=("busy",), classes="busy"):
            v.VProgressCircular(
                indeterminate=("running < 0",), model_value=("running",), size=18, width=2, color="primary"
            )
            html.Span("{{ busy }}...", id="busy")
            v.VBtn("Stop", v_if="running >= 0", size="small", variant="tonal", click=page.stop_run, id="stop")


_THEME = {
    "theme": {
        "defaultTheme": "dramlesion",
        "themes": {
            "dramlesion": {
                "dark": True,
                "colors": {
                    "background": "#0c0f12",
                    "surface": "#171c21",
                    "primary": "#6fb3e0",
                    "success": "#2e6b46",
                    "error": "#a33a3a",
                },
            }
        },
    }
}


def _icon(v: Any, icon: str, title: str, click: Any, **more: Any) -> Any:
    return v.VBtn(icon=icon, size="small", variant="text", title=title, click=click, aria_label=title, **more)


def _heading(html: Any, text: str) -> None:
    html.Div(text, classes="heading")


def _cases(v: Any, html: Any, page: Page) -> None:
    """The list of a batch; nothing where one case was opened."""
    with html.Div(v_if=("cases.length",), classes="section"):
        with html.Div(classes="row"):
            _heading(html, "Cases")
            v.VSpacer()
            _icon(v, "mdi-chevron-up", "Case before (P)", (page.next_case, "[-1]"), id="previous-case")
            _icon(v, "mdi-chevron-down", "Next case (N)", (page.next_case, "[1]"), id="next-case")
        with (
            html.Div(classes="cases"),
            html.Div(
                v_for="one in cases",
                key="one.name",
                classes=("['case', one.name === case_name ? 'chosen' : '']",),
                click=(page.choose_case, "[one.name]"),
                title=("one.flags.join(' ')",),
            ),
        ):
            v.VIcon("mdi-flag", v_if="one.flags.length", size="x-small", color="warning")
            html.Span("{{ one.name }}")
            html.Span("{{ one.percent }} %", classes="number")


def _flags(v: Any, html: Any) -> None:
    with html.Div(classes="section", v_if=("flags.length || notes.length || approximate || tabs > 1",)):
        with html.Div(v_for="flag in flags", key="flag.sentence", classes="flag"):
            v.VIcon("mdi-flag", size="x-small", color="warning")
            html.Span("{{ flag.sentence }}: {{ flag.remedy }}")
        html.Div("The lobes are approximate.", v_if="approximate", classes="flag")
        html.Div("{{ note }}", v_for="note in notes", key="note", classes="flag")
        html.Div(
            "Open in {{ tabs }} tabs: all show and change the same case, and its pictures fit the tab that was "
            "resized last.",
            v_if="tabs > 1",
            classes="flag",
            id="tabs",
        )


def _results(v: Any, html: Any, page: Page) -> None:
    with html.Div(classes="section"):
        with html.Div(classes="row"):
            _heading(html, "Lesion per lobe")
            v.VSpacer()
            html.Div("Ranking the lobes...", v_if="ready && !ranked.length", classes="quiet")
        with html.Div(classes="lobes"):
            for title in ("", "", "%", "Score", "mL", ""):
                html.Div(title, classes="column")
            for number, lobe in enumerate(LOBES):
                _lobe_row(v, html, page, number, lobe)
        with html.Div(v_for="row in lungs", key="row.key", classes="lung"):
            html.Span("{{ row.name }}", classes="lung-name")
            html.Span("{{ row.percent_text }}", classes="number")
            html.Span("{{ row.score }}", classes="number")
            html.Span("{{ row.lesion_ml }}", classes="number")
        with html.Div(classes="row"):
            v.VTextField(
                v_model=("reader",),
                label="Reader's name",
                variant="underlined",
                maxlength=100,
                style="max-width: 190px",
                id="reader",
                **SMALL,
            )
            v.VSpacer()
            v.VBtn("Report", size="small", variant="tonal", href="report", target="_blank", id="report")


def _lobe_row(v: Any, html: Any, page: Page, number: int, lobe: Any) -> None:
    row = f"(lobes[{number}] || {{}})"
    known = f"ranked.includes({lobe.value})"
    html.Div(
        lobe.abbreviation, classes="lobe-name", title=lobe.name, style=f"border-color: {css(lobe.color)}"
    )
    v.VSlider(
        v_model=(f"percent_{lobe.value}",),
        min=0,
        max=100,
        step=0.1,
        disabled=(f"!{known}",),
        id=f"slider-{lobe.abbreviation}",
        title=f"How much of the {lobe.name} is lesion: drag, or use the arrow keys",
        aria_label=f"Lesion of the {lobe.name} in percent",
        **SLIDER,
    )
    html.Div(f"{{{{ {row}.percent_text }}}}", classes="number", id=f"percent-{lobe.abbreviation}")
    html.Div(f"{{{{ {row}.score }}}}", classes="number", id=f"score-{lobe.abbreviation}")
    html.Div(f"{{{{ {row}.lesion_ml }}}}", classes="number")
    v.VBtn(
        icon="mdi-restore",
        size="x-small",
        variant="text",
        title="Give this lobe the model's own lesion again, with what was painted",
        click=(page.reset, f"[{lobe.value}]"),
        style=(f"{{visibility: {row}.steered ? 'visible' : 'hidden'}}",),
        id=f"reset-{lobe.abbreviation}",
    )


def _correct(v: Any, html: Any, page: Page) -> None:
    with html.Div(classes="section"):
        _heading(html, "Correct")
        with html.Div(classes="row"):
            for tool, icon, title in (
                ("paint", "mdi-brush", "Paint lesion (1)"),
                ("erase", "mdi-eraser", "Erase: not lesion (2)"),
                ("scissors", "mdi-content-cut", "Scissors (3)"),
            ):
                v.VBtn(
                    icon=icon,
                    size="small",
                    variant=(f"tool === '{tool}' ? 'flat' : 'text'",),
                    color=(f"tool === '{tool}' ? 'primary' : ''",),
                    title=title,
                    aria_label=title,
                    click=(page.choose, f"['{tool}']"),
                    id=f"tool-{tool}",
                )
            html.Span(id="tool-none", style="display: none", click=(page.choose, "['']"))
            html.Span(id="tool-last", style="display: none", click=(page.choose, "['last']"))
            v.VSpacer()
            _icon(v, "mdi-undo", "Undo (Z)", page.undo, disabled=("!can_undo",), id="undo")
            _icon(v, "mdi-redo", "Redo (Y)", page.redo, disabled=("!can_redo",), id="redo")
            v.VBtn(
                "Refine",
                size="small",
                variant="text",
                click=page.refine,
                disabled=("!can_refine",),
                v_show="!auto_refine",
                id="refine",
            )
        with html.Div(classes="row"):
            v.VSlider(v_model=("brush_mm",), min=2, max=40, step=1, label="Brush", **SLIDER)
            html.Span("{{ brush_mm }} mm", classes="number wide")
            v.VCheckbox(v_model=("sphere",), label="Ball", title="Paint a ball, not a disc", **SMALL)
        with html.Div(classes="row"):
            v.VCheckbox(v_model=("auto_refine",), label="Refine after each stroke", **SMALL)
            v.VCheckbox(v_model=("inside_lobes",), label="Inside lobes", **SMALL)
        with html.Div(classes="row"):
            v.VBtn(
                "Save", size="small", variant="tonal", click=page.save, title=("'Into ' + out",), id="save"
            )
            v.VBtn(
                "Accept",
                size="small",
                variant="tonal",
                click=page.accept,
                title=("'Keep for training, in ' + training",),
                id="accept",
            )
            html.Span("{{ tool ? 'Painting: ' + tool : '' }}", classes="quiet")


def _lesions(v: Any, html: Any, page: Page) -> None:
    with html.Div(classes="section"):
        with html.Div(classes="row"):
            _heading(html, "Lesions")
            v.VSpacer()
            _icon(v, "mdi-chevron-up", "Lesion before", (page.next_lesion, "[-1]"), id="previous-lesion")
            _icon(v, "mdi-chevron-down", "Next lesion (L)", (page.next_lesion, "[1]"), id="next-lesion")
        with (
            html.Div(classes="lesions"),
            html.Div(
                v_for="row in lesions",
                key="row.number",
                classes=("['lesion', row.number === lesion_chosen ? 'chosen' : '']",),
                title=("row.names",),
                click=(page.jump, "[row.number]"),
            ),
        ):
            html.Span("{{ row.number }}", classes="number")
            html.Span("{{ row.lobes }}")
            html.Span("{{ row.volume }} mL", classes="number")
            html.Span("{{ row.hu }} HU", classes="number")
        html.Div("{{ lesions_note }}", v_if="lesions_note", classes="quiet")


def _views(v: Any, html: Any, page: Page) -> None:
    with html.Div(classes="section"):
        _heading(html, "View")
        colors = ", ".join(css(color) for color in MAP_COLORS)
        with html.Div(classes="legend", title="The heatmap's colours: how likely a voxel is lesion"):
            html.Span("0")
            html.Div(
                classes="legend-bar",
                style=f"background: linear-gradient(to right, {colors})",
            )
            html.Span("1")
        with html.Div(classes="grid"):
            for name, label, low, high, step, text in (
                ("opacity", "Heatmap", 0, 1, 0.05, "(100 * opacity).toFixed(0) + ' %'"),
                ("threshold", "From", 0, 0.95, 0.05, "threshold.toFixed(2)"),
                ("window_width", "Window", 50, 3000, 10, "window_width + ' HU'"),
                ("window_level", "Level", -1000, 500, 10, "window_level + ' HU'"),
            ):
                html.Span(label)
                v.VSlider(
                    v_model=(name,),
                    min=low,
                    max=high,
                    step=step,
                    id=f"slider-{name}",
                    aria_label=label,
                    **SLIDER,
                )
                html.Span(f"{{{{ {text} }}}}", classes="number")
        with html.Div(classes="row"):
            for name in WINDOWS:
                v.VBtn(name, size="x-small", variant="tonal", click=(page.display.window, f"['{name}']"))
        with html.Div(classes="row"):
            v.VCheckbox(v_model=("lesion_seen",), label="Lesion outline", **SMALL)
            v.VCheckbox(v_model=("lobes_seen",), label="Lobe outlines", **SMALL)
        with html.Div(classes="row"):
            for title, name in LAYOUTS.items():
                v.VBtn(
                    title,
                    size="x-small",
                    variant=(f"layout === '{name}' ? 'flat' : 'tonal'",),
                    color=(f"layout === '{name}' ? 'primary' : ''",),
                    click=f"layout = '{name}'",
                )
