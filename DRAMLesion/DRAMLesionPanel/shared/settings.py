"""What the panel remembers from session to session, in Slicer's own settings."""

import qt

REMEMBERED = {"model": "", "method": "", "device": "auto", "lobesMethod": "planes"}
"""Names of the parameter node's choices, and what they are where nothing was chosen."""
READER = "DRAMLesion/reader"


def remember(name: str, value: str) -> None:
    """Keep a choice for new scenes and sessions; ``name`` is one of :data:`REMEMBERED`."""
    qt.QSettings().setValue(f"DRAMLesion/{name}", value)


def remembered(name: str) -> str:
    """The choice that was kept last, else what :data:`REMEMBERED` says."""
    value = qt.QSettings().value(f"DRAMLesion/{name}")
    return value if isinstance(value, str) else REMEMBERED[name]


def rememberReader(name: str) -> None:
    """Keep the name of who reads, for provenance; empty: nobody is named."""
    qt.QSettings().setValue(READER, name)


def reader() -> str:
    """The name of who reads, where it was given."""
    name = qt.QSettings().value(READER)
    return name if isinstance(name, str) else ""
