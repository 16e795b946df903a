"""DICOM series whose slices are turned, or lean as in a tilted gantry."""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from dicom_writer import ORIGIN, Change, setting, write_series
from harness import Job, Table
from world import SPACING, World

TABLE = Table("turned and tilted DICOM")


def _turned(degrees: float, axis: int) -> None:
    def make(world: World, folder: Path) -> Job:
        """Slices turned about an axis and stacked along their normal."""
        row, column, normal = _axes(degrees, axis)
        points = np.array([ORIGIN + i * SPACING[2] * normal for i in range(40)])
        source = write_series(folder / "scan", world.hu, _turning(row, column), points)
        image = world.image(world.hu, origin=points[0], direction=np.stack([row, column, normal], 1).ravel())
        return world.accepts(source, image)

    TABLE.add(f"oblique by {degrees} degrees", make)


def _axes(degrees: float, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    angle = np.radians(degrees)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(angle), np.sin(angle)])
    if axis == 1:
        row, column = np.array([np.cos(angle), 0, np.sin(angle)]), np.array([0, 1.0, 0])
    return row, column, np.cross(row, column)


def _turning(row: np.ndarray, column: np.ndarray) -> Change:
    return setting(ImageOrientationPatient=[f"{v:.8g}" for v in (*row, *column)])


_turned(20, 0)
_turned(-35, 1)


def _tilted(degrees: float, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        """The same person in a tilted gantry: the slices lean, the table runs straight."""
        row, column, normal = _axes(degrees, 0)
        way = np.array([0, 0, SPACING[2] / normal[2]])
        lean = SPACING[2] * np.tan(np.radians(degrees)) / SPACING[1]  # pixels from slice to slice
        count = 64
        aside = int(np.ceil(abs(lean) * (count - 1) - 1e-6))
        middle = ORIGIN + np.array([23.5, 23.5, 19.5]) * SPACING
        first = middle - 23.5 * (row * SPACING[0] + column * SPACING[1]) - way * (count - 1) / 2
        planes, points = [], []
        for index in range(count):
            point = first + index * way
            points.append(point)
            grid = sitk.Image([48, 48, 1], sitk.sitkInt16)
            grid.SetSpacing(SPACING)
            grid.SetOrigin(point)
            grid.SetDirection(np.stack([row, column, normal], 1).ravel())
            planes.append(sitk.GetArrayFromImage(sitk.Resample(world.ct, grid, defaultPixelValue=-1000))[0])
        source = write_series(folder / "scan", np.array(planes), _turning(row, column), np.array(points))
        # The upright grid by its own words: as many rows more as the stack leans over, from the lowest slice's first.
        origin = first + column * SPACING[1] * min(0.0, lean) * (count - 1)
        upright = np.zeros((count, 48 + aside, 48), np.int16)
        image = world.image(upright, origin=origin, direction=np.stack([row, column, normal], 1).ravel())
        labels = world.image(world.labels)
        lobes = sitk.Resample(labels, image, sitk.Transform(), sitk.sitkNearestNeighbor)

        def seen(summary: dict[str, Any], out: Path) -> None:
            found = {r["region"]: (r["volume_ml"], r["lesion_percent"]) for r in summary["regions"]}
            assert any(f"gantry tilt of {abs(degrees):.1f}" in line for line in summary["record"]["warnings"])
            for lobe, (volume, percent) in world.plain.items():
                assert abs(found[lobe][0] - volume) < 0.1 * volume, (lobe, found[lobe], volume)
                assert abs(found[lobe][1] - percent) < 7, (lobe, found[lobe], percent)

        return world.accepts(source, image, lobes=lobes, same=False, check=seen)

    TABLE.add(f"gantry tilt of {degrees} degrees", make, short)


_tilted(1)
_tilted(15, short=True)
_tilted(-25)


@TABLE.case("leans by 60 degrees")
def _(world: World, folder: Path) -> Job:
    points = np.array([ORIGIN + np.array([0, 12.8 * i, i * SPACING[2]]) for i in range(40)])
    source = write_series(folder / "scan", world.hu, points=points)
    return world.refuses(source, "60.0 degrees")
