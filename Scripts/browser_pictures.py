"""Picture the page of ``dramlesion view`` on a folder of results, in Chromium, into Documentation/.

    python Scripts/browser_pictures.py RESULTS [--size 1280x800] [--out Documentation/browser.png]

Strokes are made on a copy of the folder, which goes again. Needs trame-slicer, playwright and Chromium.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE_MS = 300_000


def picture(results: Path, size: tuple[int, int], out: Path) -> None:
    """Open the page, wait until all is drawn, and picture it."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "DRAMLesionLib", "view", str(results), "--no-browser", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        address = json.loads(server.stdout.readline())["address"]
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
            tab.set_default_timeout(PATIENCE_MS)
            tab.goto(address)
            tab.wait_for_function("!document.querySelector('.v-slider.v-input--disabled')")
            tab.wait_for_function("[...document.images].filter(image => image.naturalWidth).length >= 4")
            tab.locator(".lesion").first.click()
            tab.wait_for_timeout(8000)  # the pictures come once more in full quality
            tab.screenshot(path=out)
            browser.close()
    finally:
        server.terminate()
        server.wait(60)
    print(out)


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--size", default="1280x800")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "Documentation" / "browser.png")
    given = parser.parse_args()
    width, height = (int(number) for number in given.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / given.results.resolve().name
        shutil.copytree(given.results, copy)
        picture(copy, (width, height), given.out)


if __name__ == "__main__":
    main()
