"""A made-up Slicer for the tests of the installation: it has some packages, and notes what pip is asked for."""

import os
import subprocess
import types
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from DRAMLesionLib.system.requirements import Environment

HERE = Environment.here()
PIP_SETTINGS = ("PIP_CONSTRAINT", "PIP_LOG", "PIP_PROXY", "PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_NO_INPUT")


class Machine:
    """A made-up Slicer: which packages it has, and what was asked of pip."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gone, self.calls = folder, {"monai", "safetensors"}, []
        self.said, self.code, self.during = "", 0, lambda: None

    def environment(self) -> Environment:
        there = HERE.versions | {"python": "3.12.10", "torch": "2.9.0"}
        return Environment(
            {name: text for name, text in there.items() if name not in self.gone}, in_slicer=True
        )

    def pip(self, name: str, asked: list[str], **options: object) -> None:
        """What every function that calls pip comes to."""
        settings = {key: os.environ[key] for key in PIP_SETTINGS if key in os.environ}
        kept = Path(url2pathname(unquote(urlparse(settings["PIP_CONSTRAINT"]).path))).read_text().splitlines()
        self.calls.append(
            types.SimpleNamespace(name=name, asked=asked, settings=settings, kept=kept, **options)
        )
        with Path(settings["PIP_LOG"]).open("a", encoding="utf-8") as log:
            log.writelines(f"2026-01-01T00:00:00,000 {line}\n" for line in self.said.splitlines())
        self.during()
        if self.code:
            raise subprocess.CalledProcessError(self.code, "pip install")
        self.gone -= {line.split(">")[0] for line in asked}
