"""The demo: make a phantom CT (or take the user's), run the main job on it, say where to look."""

import argparse
import json
import subprocess
import sys
from pathlib import Path


def dramlesion(*arguments: str) -> None:
    """Run a command of the library as a user would; end with its exit code if it fails."""
    print("$ python -m DRAMLesionLib", *arguments, flush=True)
    code = subprocess.run([sys.executable, "-m", "DRAMLesionLib", *arguments]).returncode
    if code:
        sys.exit(code)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ct", help="a CT of yours; a phantom is made without")
    arguments = parser.parse_args()
    ct = arguments.ct
    if ct is None:
        dramlesion("phantom", "--out", str(arguments.out / "phantom"))
        ct = str(arguments.out / "phantom" / "ct.nii.gz")
    dramlesion("segment", ct, "--out", str(arguments.out))
    if arguments.ct is None:
        known = json.loads((arguments.out / "phantom" / "percent.json").read_text(encoding="utf-8"))[
            "percent"
        ]
        print(
            "The phantom's true percentages:",
            ", ".join(f"{lobe} {value:.1f}" for lobe, value in known.items()),
        )


if __name__ == "__main__":
    main()
