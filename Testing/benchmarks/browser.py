"""The page in the browser: first picture, stroke to outline, slider step, memory.

python Testing/benchmarks/browser.py [--size 256 256 150] [--strokes 5]

A phantom of that size, whose map is its true lesion with soft edges, is opened by ``dramlesion view`` in Chromium at
1280 x 800; the mouse does the rest. Times are seen from the browser:

first picture     from the command until four views have a picture
stroke            from the mouse's release until the first picture after the table has followed
slider step       from the mouse's move until the first picture after the number beside the slider has followed
ours              of these, what the server's own work takes: recognise, refine, journal and count (a stroke), or cut (a
                  slider), timed without a browser in this process

Needs trame-slicer, playwright, Chromium.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from DRAMLesionLib.images.volume import read_ct, write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.phantom.phantom import make_phantom
from DRAMLesionLib.results.folder import write_findings
from DRAMLesionLib.view.available import choose_rendering

REPOSITORY = Path(__file__).resolve().parents[2]
FIELD_MM = (352.0, 352.0, 300.0)
FRAMES = """
window.frames = [];
new MutationObserver(changes => window.frames.push(Date.now())).observe(
  document.querySelector('.plane-name').parentElement, {subtree: true, attributes: true, attributeFilter: ['src']});
window.texts = [];
new MutationObserver(changes => window.texts.push(Date.now())).observe(
  document.body, {subtree: true, characterData: true, childList: true});
"""


def make_results(folder: Path, size: list[int]) -> Path:
    """CT and results of a phantom."""
    spacing = [length / count for length, count in zip(FIELD_MM, size, strict=True)]
    phantom = make_phantom(size, spacing)
    write_volume(phantom.ct.array, phantom.ct, folder / "ct.nii.gz")
    ct = read_ct(folder / "ct.nii.gz")
    soft = ndimage.gaussian_filter(phantom.lesion.astype(np.float32), 1.5) * (phantom.lobes.labels > 0)
    lesion = (soft > 0.5).astype(np.uint8)
    table = quantify(ct.array, phantom.lobes, lesion, ct.spacing_mm, soft)
    record = {"settings": {"threshold": 0.5}, "seconds": {}, "warnings": []}
    write_findings(
        Findings(ct, phantom.lobes, soft, lesion, table, record), folder / "results", with_scene=False
    )
    return folder / "results"


def memory_gib(process: int) -> float:
    """The process's peak, from Linux."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def in_browser(results: Path, strokes: int) -> dict[str, float]:
    """What a reader waits for."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "DRAMLesionLib", "view", str(results), "--no-browser", "--json"]
    begin = time.time()
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    values: dict[str, float] = {}
    try:
        address = json.loads(server.stdout.readline())["address"]
        values["address"] = time.time() - begin
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            tab.set_default_timeout(120_000)
            tab.goto(address)
            tab.wait_for_function("document.querySelector('#headline')?.innerText.length > 3")
            tab.wait_for_function("[...document.images].filter(image => image.naturalWidth).length >= 4")
            values["first picture"] = time.time() - begin
            tab.wait_for_function("!document.querySelector('.v-slider.v-input--disabled')")
            values["sliders ready"] = time.time() - begin
            tab.wait_for_timeout(5000)
            tab.evaluate(FRAMES)
            values["stroke"] = statistics.median(_stroke(tab, number) for number in range(strokes))
            values["slider step"] = statistics.median(_slider(tab, strokes))
            values["memory, GiB"] = memory_gib(server.pid)
            browser.close()
    finally:
        server.terminate()
        server.wait(120)
    return values


def _followed(tab, since: float) -> float:
    """Seconds until the first picture after a text has changed."""
    tab.wait_for_function(
        "since => (t => t && window.frames.some(f => f >= t))(window.texts.find(t => t > since))", arg=since
    )
    text = tab.evaluate("since => window.texts.find(t => t > since)", since)
    return (tab.evaluate("text => window.frames.find(f => f >= text)", text) - since) / 1000


def _stroke(tab, number: int) -> float:
    if number == 0:
        tab.keyboard.press("1")
        tab.wait_for_function("document.body.innerText.includes('Painting: paint')")
    image = tab.locator(".plane-name").first.locator("xpath=..").locator("img").bounding_box()
    x, y = image["x"] + image["width"] * 0.3, image["y"] + image["height"] * 0.5
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 20, y, steps=4)
    tab.wait_for_timeout(1500)
    since = tab.evaluate("Date.now()")
    tab.mouse.up()
    took = _followed(tab, since)
    tab.keyboard.press("z")  # a second stroke there would change nothing
    tab.wait_for_timeout(5000)  # list and surface follow when the hand rests
    return took


def _slider(tab, steps: int) -> list[float]:
    tab.keyboard.press("Escape")
    slider = tab.locator("#slider-LLL").locator("xpath=ancestor::div[contains(@class,'v-slider')][1]")
    track, thumb = (slider.locator(part).bounding_box() for part in (".v-slider-track", ".v-slider-thumb"))
    y = thumb["y"] + thumb["height"] / 2
    tab.mouse.move(thumb["x"] + thumb["width"] / 2, y)
    tab.mouse.down()
    took = []
    for number in range(steps):
        since = tab.evaluate("Date.now()")
        tab.mouse.move(track["x"] + track["width"] * (0.3 + 0.03 * number), y)
        took.append(_followed(tab, since))
        tab.wait_for_timeout(3000)
    tab.mouse.up()
    return took


def ours(results: Path) -> dict[str, float]:
    """The library's own part, without a browser and without drawing."""
    from DRAMLesionLib.results.scene import headless
    from DRAMLesionLib.results.scene.mrml import update_segment
    from DRAMLesionLib.results.segments import LESION
    from DRAMLesionLib.view.case import Case, Places, read_case

    values = {}
    with headless.start() as application:
        places = Places.beside(results)
        findings, held = read_case(places)
        case = Case(application.scene, findings, places, held)
        _table = case.correction.table
        took = []
        for number in range(5):
            depth, height, width = findings.ct.array.shape
            z, y, x = depth // 2, height // 2, int(width * (0.3 + 0.02 * number))
            box = (slice(z, z + 1), slice(y - 3, y + 4), slice(x - 3, x + 12))
            update_segment(case.nodes.lesion, LESION.id, np.ones((1, 7, 15), np.uint8), findings.ct, box)
            start = time.perf_counter()
            case.look()
            _table = case.correction.table
            took.append(time.perf_counter() - start)
        values["stroke, ours"] = statistics.median(took)
        start = time.perf_counter()
        case.ranked = case.rank()
        values["ranking five lobes"] = time.perf_counter() - start
        took = []
        for percent in (20, 25, 30, 35, 40):
            start = time.perf_counter()
            case.steer(2, percent)
            took.append(time.perf_counter() - start)
        values["slider step, ours"] = statistics.median(took[1:])
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=[256, 256, 150])
    parser.add_argument("--strokes", type=int, default=5)
    given = parser.parse_args()
    choose_rendering()
    with tempfile.TemporaryDirectory() as folder:
        results = make_results(Path(folder), given.size)
        # The copy's journal would be done again in the browser.
        other = Path(shutil.copytree(folder, f"{folder}_browser")) / "results" if given.strokes else None
        try:
            values = ours(results)
            if other is not None:
                values |= in_browser(other, given.strokes)
        finally:
            shutil.rmtree(f"{folder}_browser", ignore_errors=True)
    print(f"{given.size[0]} x {given.size[1]} x {given.size[2]}")
    for name, value in values.items():
        print(f"{name:22}{value:8.2f}")


if __name__ == "__main__":
    main()
