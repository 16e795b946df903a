"""Make an environment for a neighbour's packages on top of the one that runs this, whose packages it sees.

    python Scripts/neighbour_environment.py FOLDER PACKAGE...

The neighbour's packages come first; torch stays the one that is there, since a second one takes 6 GB.
"""

import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path


def make(folder: Path, packages: list[str]) -> None:
    """Make or complete the environment."""
    venv.create(folder, with_pip=True)  # one that is there is kept
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    # As a site folder, so that what is installed there in editable form is seen, too.
    below = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (own / "below.pth").write_text(below, encoding="utf-8")
    kept = folder / "kept.txt"
    kept.write_text(f"torch=={version('torch')}\n", encoding="utf-8")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--prefer-binary"]
    subprocess.run([*command, "setuptools", "wheel"], check=True)
    # What comes as source (sam2, which monailabel asks for) is built with the torch that is there.
    subprocess.run([*command, "--no-build-isolation", "-c", kept, *packages], check=True)
    listed = [python, "-m", "pip", "list", "--disable-pip-version-check", "--path", own]
    print(subprocess.run(listed, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    make(Path(sys.argv[1]), sys.argv[2:])
