"""Lobes that don't fit, are no lobes, or lack some."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from harness import Job, Table
from world import LOBES, World, write

TABLE = Table("lobes")
NAMES = (
    "lung_upper_lobe_left",
    "lung_lower_lobe_left",
    "lung_upper_lobe_right",
    "lung_middle_lobe_right",
    "lung_lower_lobe_right",
)
Changed = Callable[[np.ndarray], np.ndarray]


def _labels(
    name: str,
    change: Changed,
    *words: str,
    good: bool = False,
    short: bool = False,
    more: tuple[Any, ...] = (),
    same: bool = True,
) -> None:
    def make(world: World, folder: Path) -> Job:
        lobes = write(world.image(change(world.labels.copy())), folder / "odd_lobes.nii.gz")
        if good:
            ct = write(world.ct, folder / "ct.nrrd")
            return world.accepts(ct, world.ct, lobes=lobes, more=more, same=same)
        return Job(world.segment(world.ct_path, folder / "out", lobes=lobes), (lobes.name, *words))

    TABLE.add(name, make, short)


def _put(labels: np.ndarray, value: float, kind: Any = None) -> np.ndarray:
    labels = labels.astype(kind or labels.dtype)
    labels[0, 0, 0] = value
    return labels


_labels("as they should be, 64 bits", lambda a: a.astype(np.int64), good=True)
_labels("floats", lambda a: a.astype(np.float32), good=True)
_labels("an extra label 6", lambda a: _put(a, 6), good=True, short=True)
_labels("an extra label 255", lambda a: _put(a, 255), good=True)
_labels("a negative label", lambda a: _put(a, -1, np.int16), "values")
_labels("fractions", lambda a: a * np.float32(0.9), "fractional")
_labels("NaN outside", lambda a: np.where(a > 0, a, np.nan).astype(np.float32), "NaN")
_labels("a number beyond all labels", lambda a: _put(a, 1e12, np.float32), "1e+12")
_labels("nothing", lambda a: a * 0, "values")
_labels("no middle lobe", lambda a: np.where(a == 4, 0, a), "RML", "--allow-missing-lobes", short=True)
_labels(
    "no middle lobe, allowed",
    lambda a: np.where(a == 4, 0, a),
    good=True,
    same=False,
    more=("--allow-missing-lobes",),
)
_labels("left lung alone", lambda a: np.where(a > 2, 0, a), "RUL")
_labels(
    "left lung alone, allowed",
    lambda a: np.where(a > 2, 0, a),
    good=True,
    same=False,
    more=("--allow-missing-lobes",),
)
_labels(
    "one voxel of the middle lobe",
    lambda a: _put(np.where(a == 4, 0, a), 4),
    good=True,
    same=False,
    short=True,
)
_labels(
    "two lungs (R231)",
    lambda a: np.where(a > 2, 1, np.where(a > 0, 2, 0)).astype(np.uint8),
    "two lungs",
    short=True,
)
_labels("lungs as one mask", lambda a: (a > 0).astype(np.uint8), "LLL")
_labels("mirrored", lambda a: a[:, :, ::-1], "mirrored", short=True)
_labels("sides swapped", lambda a: np.choose(a, [0, 3, 5, 1, 1, 2]).astype(np.uint8), "mirrored")
_labels(
    "TotalSegmentator's values among its organs",
    lambda a: np.where(a > 0, a + 9, np.where(np.arange(48) % 7 == 0, 1, 0)).astype(np.uint8),
    good=True,
)
_labels("the whole image is one lobe", lambda a: np.ones_like(a), "LLL")
_labels("turned upside down", lambda a: a[::-1], good=True, same=False)


def _moved(name: str, change: Callable[[sitk.Image], sitk.Image], *words: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        lobes = write(change(world.image(world.labels)), folder / "odd_lobes.nrrd")
        return Job(world.segment(world.ct_path, folder / "out", lobes=lobes), (lobes.name, *words))

    TABLE.add(name, make, short)


def _set(**values: Any) -> Callable[[sitk.Image], sitk.Image]:
    def change(image: sitk.Image) -> sitk.Image:
        for key, value in values.items():
            getattr(image, f"Set{key}")(value)
        return image

    return change


_moved("a slice less", lambda image: image[:, :, :-1], "size", short=True)
_moved("half the resolution", lambda image: image[::2, ::2, ::2], "size")
_moved("another spacing", _set(Spacing=(7.4, 7.4, 7.5)), "spacing")
_moved("another origin", _set(Origin=(-150.0, -170.0, -140.0)), "away")
_moved("origin at zero", _set(Origin=(0.0, 0.0, 0.0)), "away")
_moved("axes flipped in the header alone", _set(Direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1)), "away")
_moved("turned by 5 degrees", _set(Direction=(0.9962, -0.0872, 0, 0.0872, 0.9962, 0, 0, 0, 1)), "turned")
_moved("2-D", lambda image: image[:, :, 20], "2-D")
_moved("colour", lambda image: sitk.Compose(image, image, image), "colour")


@TABLE.case("the same points in another order of axes")
def _(world: World, folder: Path) -> Job:
    lobes = write(sitk.DICOMOrient(world.image(world.labels), "SAR"), folder / "lobes.nrrd")
    return world.accepts(write(world.ct, folder / "ct.nrrd"), world.ct, lobes=lobes)


def _given(name: str, make_path: Callable[[World, Path], Path], *words: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        return Job(world.segment(world.ct_path, folder / "out", lobes=make_path(world, folder)), words)

    TABLE.add(name, make, short)


def _text(world: World, folder: Path) -> Path:
    (folder / "lobes.nii.gz").write_text("five lobes")
    return folder / "lobes.nii.gz"


def _cut(world: World, folder: Path) -> Path:
    content = world.lobes_path.read_bytes()
    (folder / "lobes.nii.gz").write_bytes(content[: len(content) // 2])
    return folder / "lobes.nii.gz"


def _folder(*names: str, broken: bool = False) -> Callable[[World, Path], Path]:
    def make(world: World, folder: Path) -> Path:
        (folder / "masks").mkdir()
        for value, name in enumerate(names, 1):
            write(world.image((world.labels == value).astype(np.uint8)), folder / "masks" / f"{name}.nii.gz")
        if broken:
            (folder / "masks" / f"{names[2]}.nii.gz").write_bytes(b"\x1f\x8bgarbage")
        return folder / "masks"

    return make


_given("no such file", lambda world, folder: folder / "gone.nii.gz", "gone.nii.gz")
_given("the CT itself", lambda world, folder: world.ct_path, "ct.nii.gz", "not labels", short=True)
_given("text", _text, "lobes.nii.gz")
_given("cut off", _cut, "lobes.nii.gz", "truncated")
_given("an empty folder", _folder(), "masks", "no lobe masks")
_given("a folder of other organs", _folder("liver", "spleen"), "masks", "no lobe masks")
_given("a folder with three of five masks", _folder(*NAMES[:3]), "masks", "RML")
_given("a folder with a damaged mask", _folder(*NAMES, broken=True), "lung_upper_lobe_right.nii.gz")
_given("a folder that names one lobe twice", _folder(*NAMES, "LUL"), "masks", "both")
_given("a DICOM file", lambda world, folder: _dicom(world, folder), "slice.dcm")


def _dicom(world: World, folder: Path) -> Path:
    from dicom_writer import write_slice

    write_slice(folder / "slice.dcm", world.hu[0], (0, 0, 0))
    return folder / "slice.dcm"


@TABLE.case("a folder of masks")
def _(world: World, folder: Path) -> Job:
    lobes = _folder(*NAMES)(world, folder)
    return world.accepts(write(world.ct, folder / "ct.nrrd"), world.ct, lobes=lobes)


def _segmentation(
    name: str, *words: str, good: bool = False, short: bool = False, **changes: str | None
) -> None:
    """A ``.seg.nrrd`` with these tags of its segments; None takes one away."""

    def make(world: World, folder: Path) -> Job:
        image = world.image(world.labels)
        for number, lobe in enumerate(LOBES):
            tags = {"ID": lobe, "Name": lobe, "LabelValue": str(number + 1), "Layer": "0", **changes}
            for key, value in tags.items():
                if value is not None:
                    image.SetMetaData(f"Segment{number}_{key}", value)
        path = write(image, folder / "lobes.seg.nrrd")
        if good:
            return world.accepts(write(world.ct, folder / "ct.nrrd"), world.ct, lobes=path)
        return Job(world.segment(world.ct_path, folder / "out", lobes=path), (path.name, *words))

    TABLE.add(f"segmentation: {name}", make, short)


_segmentation("as it should be", good=True)
_segmentation("no names, no terminology", "no lobes", Name=None)
_segmentation("one name for all", "both", Name="LUL")
_segmentation("a label value that is no number", "LabelValue", LabelValue="one", short=True)
_segmentation("a layer that is no number", "Layer", Layer="top")
_segmentation("a layer that is not there", "layer", Layer="7")
_segmentation("a negative layer", "layer", Layer="-1")
_segmentation("a label value beyond all numbers", "LLL", LabelValue="9" * 30)
_segmentation("names of organs", "no lobes", Name="liver")


@TABLE.case("segmentation: no segments")
def _(world: World, folder: Path) -> Job:
    path = write(world.image(world.labels), folder / "lobes.seg.nrrd")
    return Job(world.segment(world.ct_path, folder / "out", lobes=path), (path.name, "no lobes"))


@TABLE.case("segmentation: of another CT")
def _(world: World, folder: Path) -> Job:
    image = world.image(world.labels, spacing=(5, 5, 5))
    for number, lobe in enumerate(LOBES):
        for key, value in {"Name": lobe, "LabelValue": str(number + 1), "Layer": "0"}.items():
            image.SetMetaData(f"Segment{number}_{key}", value)
    path = write(image, folder / "lobes.seg.nrrd")
    return Job(world.segment(world.ct_path, folder / "out", lobes=path), (path.name,))


@TABLE.case("segmentation: beside the CT, touching it nowhere")
def _(world: World, folder: Path) -> Job:
    image = world.image(world.labels, origin=(-170 + 7.4 * 100, -170, -140))
    for number, lobe in enumerate(LOBES):
        for key, value in {"Name": lobe, "LabelValue": str(number + 1), "Layer": "0"}.items():
            image.SetMetaData(f"Segment{number}_{key}", value)
    path = write(image, folder / "lobes.seg.nrrd")
    return Job(world.segment(world.ct_path, folder / "out", lobes=path), (path.name,))
