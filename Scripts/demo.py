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
        print(found_against_true(arguments.out))


def found_against_true(out: Path) -> str:
    """The phantom's lesion as it was found and as it is: mL of all, percent of each lobe."""
    from DRAMLesionLib.images.volume import read_ct, read_on_grid
    from DRAMLesionLib.results.table import read_table

    ct = read_ct(out / "phantom" / "ct.nii.gz")
    voxel_ml = float(ct.spacing_mm[0] * ct.spacing_mm[1] * ct.spacing_mm[2]) / 1000
    true_ml = float((read_on_grid(out / "phantom" / "lesion.nii.gz", ct, "lesion mask") > 0).sum()) * voxel_ml
    rows = {row["region"]: row for row in read_table(out / "lobes.csv")}
    known = json.loads((out / "phantom" / "percent.json").read_text(encoding="utf-8"))["percent"]
    lobes = ", ".join(
        f"{lobe} {float(rows[lobe]['lesion_percent'] or 0):.1f} of {value:.1f}"
        for lobe, value in known.items()
    )
    found_ml = float(rows["total"]["lesion_ml"])
    return (
        f"The phantom's lesion: found {found_ml:.0f} mL, true {true_ml:.0f} mL ({found_ml / true_ml - 1:+.0%}); "
        f"percent of each lobe, found of true: {lobes}"
    )


if __name__ == "__main__":
    main()
