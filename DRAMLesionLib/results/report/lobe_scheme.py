"""A small scheme of the five lobes, seen from the front, coloured by severity score: an SVG to put into a page.

The patient's right is on the left, as in the slices. Lightness alone tells the scores apart, and every lobe has its
numbers written on it, so that it can be read without colours and in a grey print.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from DRAMLesionLib.lesions.quantify import SCORE_EDGES
from DRAMLesionLib.lungs.lobes import LOBES

SCORE_COLORS = ("#ffffff", "#fee6ce", "#fdc086", "#f98e3c", "#d9540a", "#8c2d04")
"""Fill of a lobe by its severity score 0..5, each darker than the one before."""

MISSING_COLOR = "#dfe3e8"
"""Fill of a lobe without a number."""

_INK = "#1f2933"
_SHAPES = {
    "RUL": (
        "M113 14 C92 16 68 40 54 68 C44 87 38 106 35 124 L126 106 L126 34 C125 22 121 14 113 14 Z",
        86,
        72,
    ),
    "RML": ("M126 112 L78 121 L92 196 C106 193 120 187 126 180 Z", 105, 150),
    "RLL": ("M71 123 L34 130 C26 164 18 200 14 238 C34 230 62 210 85 198 Z", 52, 178),
    "LUL": (
        "M167 14 C188 16 212 40 226 68 C236 87 242 106 245 124 L191 192 C184 191 176 188 170 184"
        " C161 176 169 160 162 150 C155 142 154 130 154 118 L154 34 C155 22 159 14 167 14 Z",
        194,
        88,
    ),
    "LLL": ("M246 131 C254 164 262 200 266 238 C244 231 218 214 196 196 Z", 235, 186),
}
"""By lobe: its outline, and where its numbers stand. The trachea's place is between x 126 and 154."""
_KEY_Y = 256


def lobe_scheme(
    percents: Mapping[str, str],
    scores: Mapping[str, int | None],
    title: str = "Involvement of each lobe",
) -> str:
    """An SVG element of the lobes.

    Args:
        percents: What to write on each lobe, such as ``{"LUL": "4.2 %"}``, by its abbreviation; a lobe that is left out
            has no text.
        scores: The severity score 0..5 that colours it; None, or left out, for a lobe without a number.
        title: Read out by a screen reader.

    Returns:
        Markup that needs no escaping; what was given is escaped.
    """
    said = ", ".join(f"{lobe.abbreviation} {percents.get(lobe.abbreviation, 'no number')}" for lobe in LOBES)
    lobes = "".join(
        _lobe(lobe.abbreviation, percents.get(lobe.abbreviation, ""), scores.get(lobe.abbreviation))
        for lobe in LOBES
    )
    return (
        f'<svg class="scheme" viewBox="0 0 280 276" role="img" aria-label="{escape(f"{title}: {said}")}"'
        ' font-family="system-ui, sans-serif" text-anchor="middle">'
        f'<path d="M136 6 V34 L128 52 M144 6 V34 L152 52" fill="none" stroke="#9aa5b1" stroke-width="3"/>'
        f"{lobes}{_side('R', 14)}{_side('L', 266)}{_key()}</svg>"
    )


def _lobe(name: str, percent: str, score: int | None) -> str:
    outline, x, y = _SHAPES[name]
    size = 13 if len(percent) <= 6 else 11
    fill = MISSING_COLOR if score is None else SCORE_COLORS[score]
    ink = text_color(fill)
    return (
        f'<path data-lobe="{name}" d="{outline}" fill="{fill}" stroke="{_INK}" stroke-width="1.3"'
        ' stroke-linejoin="round"/>'
        f'<text x="{x}" y="{y}" font-size="11" fill="{ink}">{name}</text>'
        f'<text x="{x}" y="{y + 15}" font-size="{size}" font-weight="650" fill="{ink}">{escape(percent)}</text>'
    )


def _side(letter: str, x: int) -> str:
    return f'<text x="{x}" y="24" font-size="13" font-weight="650" fill="#55606d">{letter}</text>'


def _key() -> str:
    """The scores' colours with the percentage that each begins at."""
    starts = ("0", *(f"{edge:g}" for edge in SCORE_EDGES))
    boxes = ""
    for score, (color, start) in enumerate(zip(SCORE_COLORS, starts, strict=True)):
        x = 54 + 36 * score
        boxes += (
            f'<rect x="{x}" y="{_KEY_Y - 11}" width="36" height="13" fill="{color}" stroke="{_INK}" stroke-width=".7"/>'
            f'<text x="{x + 18}" y="{_KEY_Y}" font-size="10" fill="{text_color(color)}">{score}</text>'
            f'<text x="{x}" y="{_KEY_Y + 14}" font-size="9.5" fill="{_INK}">{start}</text>'
        )
    return (
        f'<text x="24" y="{_KEY_Y}" font-size="10" fill="{_INK}">score</text>'
        f'<text x="24" y="{_KEY_Y + 14}" font-size="9.5" fill="{_INK}">from %</text>{boxes}'
    )


def text_color(fill: str) -> str:
    """Black or white, whichever contrasts more with a fill ``#rrggbb`` (WCAG 2's relative luminance)."""
    linear = []
    for start in (1, 3, 5):
        value = int(fill[start : start + 2], 16) / 255
        linear.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"
