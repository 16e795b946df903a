"""Known weaknesses of the packages that are pinned, as PyPI's advisories tell (pip-audit).

    python Scripts/audit.py

Needs PyPI's advisory service. Where it can't be reached nothing is said to be safe: the last line tells how many packages
were looked up. The exit code is 1 only where a weakness is known.
"""

import json
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parents[1] / "constraints.txt"
COMMAND = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]


def audited(answer: str) -> tuple[int, int, list[str]]:
    """How many packages were looked up, how many could not be, and a line for each known weakness.

    Args:
        answer: What pip-audit prints as JSON.
    """
    packages = json.loads(answer)["dependencies"]
    known = [package for package in packages if "skip_reason" not in package]
    return (
        len(known),
        len(packages) - len(known),
        [
            f"{package['name']} {package['version']}: {weakness['id']}, "
            f"mended in {', '.join(weakness['fix_versions']) or 'no version yet'}"
            for package in known
            for weakness in package["vulns"]
        ],
    )


def main() -> int:
    """Print what is known."""
    done = subprocess.run(
        [*COMMAND, "--format", "json", "-r", str(PINS)], capture_output=True, text=True, check=False
    )
    try:
        known, skipped, weaknesses = audited(done.stdout)
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"pip-audit could not look up any package: {last}")
        return 0
    if not known:
        print("No package could be looked up: PyPI's advisories are out of reach, and nothing is known")
        return 0
    for line in weaknesses:
        print(line)
    print(f"{known} packages looked up, {skipped} could not be; {len(weaknesses)} known weaknesses")
    return 1 if weaknesses else 0


if __name__ == "__main__":
    sys.exit(main())
