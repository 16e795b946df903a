"""The panel's colours for words and curves, as style sheets take them; readable on light and dark windows."""

ERROR, WARNING = "#d03030", "#b87800"

LOSS, VALIDATION = "#3078c8", "#c86414"
"""The two curves of a training, told apart by colour-blind eyes."""


def wordsIn(color: str) -> str:
    """A style sheet that shows words in a colour; without a colour, in the window's own."""
    return f"color: {color}" if color else ""
