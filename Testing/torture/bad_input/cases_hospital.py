"""What users of all tools report: headers that say two things, labels of other versions, series with strangers."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from dicom_writer import ORIGIN, setting, write_series, write_slice
from harness import Job, Table
from pydicom.dataset import FileDataset
from world import LOBES, SPACING, World, write

ANATOMY = Table("impossible lobes")
HEADERS = Table("headers that say two things")
SERIES = Table("series with strangers")
VALUES = Table("values that are no HU")
CASES: list[Any] = []


# --- lobes where no person has them --------------------------------------------------------------------------------


def _order(name: str, order: tuple[int, ...], *words: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        labels = np.array((0, *order), np.uint8)[world.labels]
        lobes = write(world.image(labels), folder / "odd_lobes.nii.gz")
        return Job(world.segment(world.ct_path, folder / "out", lobes=lobes), (lobes.name, *words))

    ANATOMY.add(name, make, short)


_order("sorted by abbreviation: LLL LUL RLL RML RUL", (2, 1, 5, 4, 3), "lies below", short=True)
_order("sorted as TotalSegmentator's files", (4, 1, 5, 3, 2), "lies")
_order("upper and lower exchanged on the left alone", (2, 1, 3, 4, 5), "left upper lobe lies below")
_order("middle and lower exchanged", (1, 2, 3, 5, 4), "lies behind")
_order("right lobes first", (4, 5, 1, 2, 3), "to the right of")


def _flipped(name: str, axis: int, word: str) -> None:
    def make(world: World, folder: Path) -> Job:
        lobes = write(world.image(np.flip(world.labels, axis)), folder / "odd_lobes.nrrd")
        return Job(world.segment(world.ct_path, folder / "out", lobes=lobes), (lobes.name, word))

    ANATOMY.add(name, make)


_flipped("upside down", 0, "upside down")
_flipped("back to front", 1, "behind")
_flipped("mirrored", 2, "mirrored")


# --- headers -------------------------------------------------------------------------------------------------------


def _nifti(world: World, path: Path, codes: tuple[int, int], change: Any) -> Path:
    """The CT with codes of qform and sform, and a changed sform (3 x 4)."""
    plain = write(world.ct, path.parent / "plain.nii")
    content = bytearray(plain.read_bytes())
    plain.unlink()
    matrix = np.frombuffer(bytes(content[280:328]), "<f4").reshape(3, 4).astype(float)
    content[280:328] = change(matrix).astype("<f4").tobytes()
    struct.pack_into("<hh", content, 252, *codes)
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else bytes(content))
    return path


def _reversed(axis: int) -> Any:
    def change(matrix: np.ndarray) -> np.ndarray:
        matrix[:, 3] += matrix[:, axis] * (47 if axis < 2 else 39)
        matrix[:, axis] *= -1
        return matrix

    return change


for _axis, _sides in enumerate(("left and right", "front and back", "top and bottom")):

    def _two(world: World, folder: Path, axis: int = _axis, sides: str = _sides) -> Job:
        source = _nifti(world, folder / "ct.nii.gz", (1, 1), _reversed(axis))
        return world.refuses(source, "two orientations", f"{sides} exchanged")

    HEADERS.add(f"qform and sform exchange {_sides}", _two, short=_axis == 0)


@HEADERS.case("sform shifted by half a metre")
def _(world: World, folder: Path) -> Job:
    far = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 500.0]])
    return world.refuses(_nifti(world, folder / "ct.nii", (1, 2), lambda m: m + far), "500 mm away")


@HEADERS.case("sform rounded to three digits")
def _(world: World, folder: Path) -> Job:
    source = _nifti(world, folder / "ct.nii", (1, 1), lambda m: np.round(m, 3))
    return world.accepts(source, world.ct)


@HEADERS.case("sform sheared by rounding")
def _(world: World, folder: Path) -> Job:
    shear = np.array([[0, 4e-3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    return world.accepts(_nifti(world, folder / "ct.nii", (0, 1), lambda m: m + shear), world.ct, same=True)


@HEADERS.case("a NIfTI pair of .hdr and .img", short=True)
def _(world: World, folder: Path) -> Job:
    write(world.ct, folder / "ct.hdr")
    return world.accepts(folder / "ct.hdr", world.ct)


@HEADERS.case("a pair in capitals, by its .IMG")
def _(world: World, folder: Path) -> Job:
    write(world.ct, folder / "ct.hdr")
    (folder / "ct.hdr").rename(folder / "CT.HDR")
    (folder / "ct.img").rename(folder / "CT.IMG")
    return world.accepts(folder / "CT.IMG", world.ct)


@HEADERS.case("an .hdr without its .img")
def _(world: World, folder: Path) -> Job:
    write(world.ct, folder / "ct.hdr")
    (folder / "ct.img").unlink()
    return world.refuses(folder / "ct.hdr", "ct.img")


for _name in ("ct.Nii.Gz", "CT.NII.GZ", "ct.Mha", "ct.NRRD"):

    def _cased(world: World, folder: Path, name: str = _name) -> Job:
        write(world.ct, folder / f"plain{name[2:].lower()}").rename(folder / name)
        return world.accepts(folder / name, world.ct)

    HEADERS.add(f"called {_name}", _cased)


@HEADERS.case("lobes named as segments in a plain NRRD, in another order of values", short=True)
def _(world: World, folder: Path) -> Job:
    order = (3, 5, 1, 4, 2)
    image = world.image(np.array((0, *order), np.uint8)[world.labels])
    for number, lobe in enumerate(LOBES):
        image.SetMetaData(f"Segment{number}_Name", lobe)
        image.SetMetaData(f"Segment{number}_LabelValue", str(order[number]))
    return world.accepts(write(world.ct, folder / "ct.nrrd"), lobes=write(image, folder / "lobes.nrrd"))


@HEADERS.case("segments of Slicer before 4.11")
def _(world: World, folder: Path) -> Job:
    image = sitk.Compose([world.image((world.labels == v).astype(np.uint8)) for v in range(1, 6)])
    for number, lobe in enumerate(LOBES):
        image.SetMetaData(f"Segment{number}_Name", lobe)
    lobes = write(image, folder / "lobes.seg.nrrd")
    return world.accepts(write(world.ct, folder / "ct.nrrd"), lobes=lobes)


@HEADERS.case("one layer of segments without values")
def _(world: World, folder: Path) -> Job:
    image = world.image(world.labels)
    for number, lobe in enumerate(LOBES):
        image.SetMetaData(f"Segment{number}_Name", lobe)
    lobes = write(image, folder / "lobes.seg.nrrd")
    return Job(world.segment(world.ct_path, folder / "out", lobes=lobes), (lobes.name, "which values"))


# --- series --------------------------------------------------------------------------------------------------------


def _stranger(name: str, change: Any, point: tuple[float, ...] = (0, 0, 400), short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        source = write_series(folder / "scan", world.hu)
        write_slice(source / "odd.dcm", world.hu[20], ORIGIN + np.array(point), change, 99)
        return world.refuses(source, "odd.dcm")

    SERIES.add(f"among the slices: {name}", make, short)


_stranger(
    "a localizer",
    setting(ImageOrientationPatient=[0, 1, 0, 0, 0, -1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    short=True,
)
_stranger("a dose page", setting(ImagePositionPatient=None, ImageType=["DERIVED", "SECONDARY", "OTHER"]))
_stranger("an oblique reformat", setting(ImageOrientationPatient=[1, 0, 0, 0, 0.8, 0.6]))
_stranger("a magnified slice", setting(PixelSpacing=[3.7, 3.7]), (0, 0, 296))
_stranger("a slice far away", None, (0, 0, 500))
_stranger("a slice between two others", None, (0, 0, 77.3))


def _noise(name: str, change: Any, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        return world.accepts(write_series(folder / "scan", world.hu, change), world.ct)

    SERIES.add(name, make, short)


_noise(
    "directions that differ in the seventh digit",
    lambda i, d: setting(ImageOrientationPatient=[f"{v:.9f}" for v in (1, 1e-7 * i, 0, -1e-7 * i, 1, 0)])(
        i, d
    ),
    short=True,
)
_noise(
    "pixel spacings with more and fewer digits",
    lambda i, d: setting(PixelSpacing=[f"{7.4:.{i % 5 + 1}f}"] * 2)(i, d),
)
_noise("a decimal comma in the spacing", lambda i, d: _texts(d, 0x00280030, "7,4\\7,4"))
_noise("a decimal comma in the intercept", lambda i, d: _texts(d, 0x00281052, "-1024,0"))


def _texts(data: FileDataset, tag: int, text: str) -> None:
    """Put a text where a number belongs, as it would stand in a file."""
    element = pydicom.DataElement(tag, "LO", text)
    data[tag] = element
    data[tag].VR = "DS"


@SERIES.case("results of an earlier run beside the slices")
def _(world: World, folder: Path) -> Job:
    source = write_series(folder / "scan", world.hu)
    more = setting(Modality="SEG", SeriesInstanceUID="1.2.3.77")
    write_slice(source / "results" / "lesion.dcm", world.hu[0], ORIGIN, more)
    return world.accepts(source, world.ct)


@SERIES.case("the same instance UID on all slices, with --dicom-seg")
def _(world: World, folder: Path) -> Job:
    source = write_series(folder / "scan", world.hu, setting(SOPInstanceUID="1.2.3.9"))
    return world.refuses(source, "same instance UID", more=("--dicom-seg",))


@SERIES.case("the same instance UID on all slices, without --dicom-seg")
def _(world: World, folder: Path) -> Job:
    return world.accepts(write_series(folder / "scan", world.hu, setting(SOPInstanceUID="1.2.3.9")), world.ct)


# --- values --------------------------------------------------------------------------------------------------------


def _round(shape: tuple[int, ...]) -> np.ndarray:
    """bool (z, y, x): beyond a round field of view."""
    y, x = np.ogrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    return np.broadcast_to(y**2 + x**2 > 1.2, shape)


def _padded(name: str, padding: int, change: dict[str, Any], short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        def write_words(index: int, data: FileDataset) -> None:
            intercept = change.get("RescaleIntercept", -1024)
            words = (world.hu[index].astype(np.int32) - intercept).astype(np.int16)
            words[_round(world.hu.shape)[index]] = padding
            setting(**change)(index, data)
            data.PixelData = words.tobytes()

        return world.accepts(write_series(folder / "scan", world.hu, write_words), world.ct)

    VALUES.add(f"padding: {name}", make, short)


_padded("-2000 without its sign", -2000, {}, short=True)
_padded(
    "-3024 in 12 bits",
    -3024,
    {"PixelRepresentation": 1, "RescaleIntercept": 0, "BitsStored": 12, "HighBit": 11},
)
_padded("-2000 with its tag", -2000, {"PixelPaddingValue": 63536})


def _refused(name: str, spoil: Any, *words: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        return world.refuses(write(world.image(spoil(world.hu)), folder / "odd.nii.gz"), *words)

    VALUES.add(name, make, short)


_refused(
    "1000 too high, signed", lambda hu: hu.astype(np.int16) + np.int16(1000), "subtract 1000", short=True
)
_refused("1000 too low", lambda hu: hu.astype(np.int16) - np.int16(1000), "add 1000")
_refused("1024 too low", lambda hu: hu.astype(np.int16) - np.int16(1024), "add 1024")
_refused("a soft-tissue window", lambda hu: np.clip(hu, -160, 240).astype(np.int16), "without a window")


@VALUES.case("padding of 62512 HU in a NIfTI file")
def _(world: World, folder: Path) -> Job:
    values = np.where(_round(world.hu.shape), 62512, world.hu).astype(np.int32)
    return world.accepts(write(world.image(values), folder / "ct.nii.gz"), world.ct)


CASES = [*ANATOMY.cases, *HEADERS.cases, *SERIES.cases, *VALUES.cases]
assert SPACING[0] == 7.4  # the texts of the cases above say so
