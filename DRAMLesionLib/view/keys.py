"""The page's keys: those of Slicer's panel and Segment Editor, and some for lists and cases."""

from __future__ import annotations

import json

KEYS = {
    "z": "undo",
    "ctrl+z": "undo",
    "y": "redo",
    "ctrl+y": "redo",
    "ctrl+shift+z": "redo",
    "1": "tool-paint",
    "2": "tool-erase",
    "3": "tool-scissors",
    "escape": "tool-none",
    " ": "tool-last",
    "l": "next-lesion",
    "n": "next-case",
    "p": "previous-case",
}
"""What is pressed, and the id of the widget that it clicks."""

SCRIPT = """
if (!window.dramlesionKeys) {
  window.dramlesionKeys = KEYS;
  window.addEventListener("keydown", (event) => {
    const field = event.target.closest && event.target.closest("input[type=text], textarea");
    if (field || event.altKey) return;
    const control = event.ctrlKey || event.metaKey;  // Command on a Mac
    let name = event.key.toLowerCase();
    if (event.shiftKey && control) name = "shift+" + name;
    if (control) name = "ctrl+" + name;
    const widget = document.getElementById(window.dramlesionKeys[name]);
    if (!widget) return;
    event.preventDefault();
    widget.click();
  }, true);
}
""".replace("KEYS", json.dumps(KEYS), 1)
