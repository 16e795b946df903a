"""Picture the page of ``dramlesion view`` on a folder of results, in Chromium, into Documentation/.

    python Scripts/browser_pictures.py RESULTS [--size 1280x800] [--out Documentation/browser.png]
    python Scripts/browser_pictures.py RESULTS --out Documentation/browser.webp

A WebP moves: a stroke in the axial plane, a slider, and the table that follows.

Strokes are made on a copy of the folder, which goes again. Needs trame-slicer, playwright and Chromium.
"""

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE_MS = 300_000
POINTER = """
const dot = document.createElement("div");
dot.style.cssText = "position: fixed; z-index: 9999; width: 14px; height: 14px; margin: -7px; border-radius: 7px;" +
  "background: #ffd54fcc; pointer-events: none";
document.body.append(dot);
addEventListener("mousemove", event => { dot.style.left = event.clientX + "px"; dot.style.top = event.clientY + "px"; },
  true);
"""
"""Shows where the mouse is, which is in no screenshot."""


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
            if out.suffix == ".webp":
                animate(tab, out)
            else:
                tab.screenshot(path=out)
            browser.close()
    finally:
        server.terminate()
        server.wait(60)
    print(out)


def animate(tab: Any, out: Path) -> None:
    """Paint below the chosen lesion, then drag the slider of the left upper lobe, picture after picture."""
    frames: list[Image.Image] = []
    shown_ms: list[int] = []

    def keep(count: int = 1) -> None:
        shown = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
        frames.append(shown.resize((960, 960 * shown.height // shown.width)))
        shown_ms.append(150 * count)

    mouse = tab.mouse
    tab.evaluate(POINTER)
    keep(8)
    tab.keyboard.press("1")
    tab.wait_for_function("document.body.innerText.includes('Painting: paint')")
    plane = tab.locator(".plane-name").first.locator("xpath=..").locator("img").bounding_box()
    for number in range(9):
        mouse.move(plane["x"] + plane["width"] * (0.66 + 0.012 * number), plane["y"] + plane["height"] * 0.43)
        if number == 0:
            mouse.down()
        tab.wait_for_timeout(300)
        keep()
    mouse.up()
    for _number in range(3):
        tab.wait_for_timeout(1200)
        keep(3)
    tab.keyboard.press("Escape")
    slider = tab.locator("#slider-LUL").locator("xpath=ancestor::div[contains(@class,'v-slider')][1]")
    track, thumb = (slider.locator(part).bounding_box() for part in (".v-slider-track", ".v-slider-thumb"))
    x, y = thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2
    mouse.move(x, y)
    mouse.down()
    for number in range(1, 13):
        mouse.move(x + 0.025 * number * track["width"], y)
        tab.wait_for_timeout(700)
        keep(2)
    mouse.up()
    for _number in range(4):
        tab.wait_for_timeout(1500)
        keep(4)
    frames[0].save(
        out, save_all=True, append_images=frames[1:], duration=shown_ms, loop=0, quality=60, method=3
    )


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
