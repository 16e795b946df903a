"""What a reader does in the page, by a real mouse and keyboard, and what the journal says of it."""

import time
from pathlib import Path

import numpy as np

from DRAMLesionLib.correction.segment.journal import NAME
from DRAMLesionLib.correction.segment.saved_strokes import stroke_of, voxels_of
from DRAMLesionLib.correction.store import read_journal
from DRAMLesionLib.images.volume import read_ct
from DRAMLesionLib.results.folder import ct_of


class Room:
    """A tab of the page, its results folder, and the server behind it."""

    def __init__(self, results: Path, server, tab, patience_s: float) -> None:
        self.results, self.server, self.tab, self.patience_s = results, server, tab, patience_s
        self.ct = read_ct(ct_of(results))

    def wait_until_ready(self) -> None:
        """The sliders can be moved: all that comes after the first picture has come."""
        self.tab.wait_for_selector("#slider-LUL:not([disabled])", state="attached")
        self.wait(lambda: self.tab.locator(".v-slider.v-input--disabled").count() == 0, "the sliders")
        self.wait(lambda: self.picture("Axial") is not None, "the first picture")

    def wait(self, condition, what: str):
        end = time.monotonic() + self.patience_s
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(
            f"{what}: not within {self.patience_s} s; the page says {self.text('#message')!r}"
        )

    def text(self, selector: str) -> str:
        found = self.tab.query_selector(selector)
        return found.inner_text() if found else ""

    def picture(self, plane: str):
        """Where the picture of a plane is on the screen: x, y, width and height; None before it has come."""
        names = self.tab.locator(".plane-name")
        for number in range(names.count()):
            if names.nth(number).inner_text().startswith(plane):
                image = names.nth(number).locator("xpath=..").locator("img")
                ready = image.count() and image.first.evaluate("image => image.naturalWidth")
                return image.first.bounding_box() if ready else None
        return None

    def place(self, z: float, y: float, x: float) -> tuple[float, float]:
        """Where a voxel (z, y, x) is on the screen in the axial plane, which is fitted to the CT.

        The patient's right is at the left of the picture and anterior at its top, as axis x and y of the array run.
        """
        box = self.picture("Axial")
        _depth, height, width = self.ct.array.shape
        _dz, dy, dx = self.ct.spacing_mm
        mm = max(width * dx / box["width"], height * dy / box["height"])
        return (
            box["x"] + box["width"] / 2 + (x + 0.5 - width / 2) * dx / mm,
            box["y"] + box["height"] / 2 + (y + 0.5 - height / 2) * dy / mm,
        )

    def drag(self, voxels) -> None:
        """Press the mouse at the first voxel, move over the others, and let go at the last."""
        mouse = self.tab.mouse
        places = [self.place(*voxel) for voxel in voxels]
        mouse.move(*places[0])
        mouse.down()
        for place in places[1:]:
            mouse.move(*place, steps=4)
        time.sleep(0.5)  # the page sends some moves a second, the last one a little later
        mouse.up()

    def actions(self) -> list[dict]:
        """What the journal holds, without its first line."""
        path = self.results / NAME
        return [*read_journal(path)][1:] if path.is_file() else []

    def wait_for_actions(self, count: int) -> list[dict]:
        return self.wait(lambda: (a := self.actions()) and len(a) >= count and a, f"{count} actions")

    def strokes(self, action: dict) -> dict[int, np.ndarray]:
        """The voxels (n, 3) of a stroke by what they were painted as: 1 lesion, 2 not lesion."""
        strokes = [stroke_of(row) for row in action["parts"]]
        return {stroke.value: np.stack(voxels_of(stroke), axis=1) for stroke in strokes}

    def shown_slice(self) -> int:
        """The slice z that the axial plane shows, from its words."""
        words = next(t for t in self.tab.locator(".plane-name").all_inner_texts() if t.startswith("Axial"))
        superior = float(words.split()[1].replace("\u2212", "-"))
        return round((superior - self.ct.geometry.origin[2]) / self.ct.spacing_mm[0])
