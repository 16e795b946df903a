"""DICOM folders: cut, damaged, mixed, compressed."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from dicom_writer import ORIGIN, Change, setting, write_series
from harness import Job, Table
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from world import SPACING, World

TABLE = Table("DICOM")


def _series(
    name: str,
    change: Change | None = None,
    *,
    refused: tuple[str, ...] | None = None,
    short: bool = False,
    **more: Any,
) -> None:
    def make(world: World, folder: Path) -> Job:
        source = write_series(folder / "scan", world.hu, change, **more)
        return world.accepts(source, world.ct) if refused is None else world.refuses(source, *refused)

    TABLE.add(name, make, short)


def _at(place: int, change: Change) -> Change:
    return lambda index, data: change(index, data) if index == place else None


_series("as it should be", short=True)


def _implicit(index: int, data: FileDataset) -> None:
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def _deflated(index: int, data: FileDataset) -> None:
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def _rle(index: int, data: FileDataset) -> None:
    data.compress(RLELossless)


_series("implicit VR", _implicit)
_series("deflated", _deflated)
_series("run-length encoded", _rle, short=True)
_series("syntaxes mixed", lambda index, data: [_implicit, _rle, lambda *_: None][index % 3](index, data))


def _encoded(index: int, data: FileDataset) -> None:
    """Bytes that are no JPEG, under the syntax of JPEG 2000."""
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(500)])
    data["PixelData"].is_undefined_length = True


_series("JPEG 2000 that can't be decoded", _at(7, _encoded), refused=("s007.dcm",), short=True)


def _recompressed(compressor: str) -> None:
    def change(index: int, data: FileDataset) -> None:
        """Let GDCM compress the pixels, without loss."""
        pixels = np.frombuffer(data.PixelData, np.uint16).reshape(1, data.Rows, data.Columns)
        path = Path(data.filename).with_suffix(".packed")
        path.parent.mkdir(exist_ok=True)
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.SetFileName(str(path))
        writer.Execute(sitk.GetImageFromArray(pixels))
        packed = pydicom.dcmread(path)
        path.unlink()
        assert packed.file_meta.TransferSyntaxUID.is_compressed
        data.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        data["PixelData"] = packed["PixelData"]

    _series(f"compressed: {compressor}", change, short=compressor == "JPEG")


_recompressed("JPEG")
_recompressed("JPEG2000")

# Damage.
for _keep in (0.9, 0.5, 0.1, 0.0):

    def _cut(world: World, folder: Path, keep: float = _keep) -> Job:
        source = write_series(folder / "scan", world.hu)
        victim = source / "s020.dcm"
        content = victim.read_bytes()
        victim.write_bytes(content[: int(keep * len(content))])
        return (
            world.refuses(source, "s020.dcm") if keep < 0.5 else Job(world.refuses(source).run, ("s020.dcm",))
        )

    TABLE.add(f"one slice cut off at {100 * _keep:g} percent", _cut, short=_keep == 0.5)


@TABLE.case("all slices cut off")
def _(world: World, folder: Path) -> Job:
    source = write_series(folder / "scan", world.hu)
    for path in source.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    return Job(world.refuses(source).run, ("s000.dcm", "truncated"))


for _place in ("VR of the position", "rows", "preamble"):

    def _flip(world: World, folder: Path, place: str = _place) -> Job:
        source = write_series(folder / "scan", world.hu)
        victim = source / "s020.dcm"
        content = bytearray(victim.read_bytes())
        at = {
            "VR of the position": content.find(b"\x20\x00\x32\x00DS") + 4,
            "rows": content.find(b"\x28\x00\x10\x00US") + 8,
            "preamble": 128,
        }[place]
        content[at] ^= 0x11
        victim.write_bytes(content)
        return Job(world.refuses(source).run, ("scan",))

    TABLE.add(f"a bit flipped in one slice: {_place}", _flip, short=_place == "rows")

_series("no pixels in one slice", _at(3, setting(PixelData=None)), refused=("s003.dcm",))
_series(
    "pixels of half the size in one slice",
    _at(3, lambda i, d: setattr(d, "PixelData", d.PixelData[:2304])),
    refused=(),
)
_series("claims 60000 rows", _at(3, setting(Rows=60000)), refused=())
_series("no rows", setting(Rows=0), refused=())
_series("12 bits", setting(BitsStored=12, HighBit=11))
_series(
    "8 bits",
    lambda i, d: setting(
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=d.PixelData[::2], RescaleIntercept=0
    )(i, d),
    refused=("expected HU",),
)
_series(
    "signed",
    lambda i, d: setting(
        PixelRepresentation=1,
        RescaleIntercept=0,
        PixelData=(np.frombuffer(d.PixelData, np.uint16).astype(np.int16) - 1024).tobytes(),
    )(i, d),
)
_series(
    "colour",
    lambda i, d: setting(
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=(d.PixelData * 2)[: 48 * 48 * 3],
    )(i, d),
    refused=("colour",),
)
# How a picture is shown does not change its HU.
_series("white is low (MONOCHROME1)", setting(PhotometricInterpretation="MONOCHROME1"))

# Rescale.
_series(
    "no rescale", setting(RescaleSlope=None, RescaleIntercept=None), refused=("subtract 1024",), short=True
)
_series(
    "no rescale in one slice",
    _at(5, setting(RescaleSlope=None, RescaleIntercept=None)),
    refused=("s005.dcm", "rescale"),
    short=True,
)
_series("rescale slope 0", setting(RescaleSlope=0), refused=("rescale slope",))
_series(
    "another slope in one slice",
    _at(
        5,
        lambda i, d: setting(
            RescaleSlope=2, PixelData=(np.frombuffer(d.PixelData, np.uint16) // 2).tobytes()
        )(i, d),
    ),
)
_series("intercept -2048: HU 1024 too low", setting(RescaleIntercept=-2048), refused=("HU",))

# Places.
_series("one slice missing", keep=lambda i: i != 20, refused=("1 slice is missing",), short=True)
_series("every third slice missing", keep=lambda i: i % 3 != 1, refused=("unevenly",))
_series(
    "one slice twice",
    points=np.array([ORIGIN + np.array([0, 0, max(0, i - 1) * SPACING[2]]) for i in range(40)]),
    refused=("same place",),
    short=True,
)
_series("no positions", setting(ImagePositionPatient=None), refused=("no usable position",))
_series("no position in one slice", _at(4, setting(ImagePositionPatient=None)), refused=("position",))
_series("no orientation", setting(ImageOrientationPatient=None), refused=("direction",))
_series("orientation of zeros", setting(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]), refused=("direction",))
_series(
    "orientation not perpendicular",
    setting(ImageOrientationPatient=[1, 0, 0, 0.5, 0.866025, 0]),
    refused=("direction",),
)
_series("all slices at one place", points=np.tile(ORIGIN, (40, 1)), refused=("same place",))
_series("pixel spacing 0", setting(PixelSpacing=[0, 0]), refused=("spacing",))
_series("no pixel spacing", setting(PixelSpacing=None), refused=("spacing",))
_series("pixel spacing negative", setting(PixelSpacing=[-7.4, 7.4]), refused=("spacing",))
_series(
    "in reverse order",
    points=np.array([ORIGIN + np.array([0, 0, i * SPACING[2]]) for i in range(40)]),
    prefix="z",
)
_series(
    "one slice shifted sideways",
    points=np.array([ORIGIN + np.array([20.0 * (i == 9), 0, i * SPACING[2]]) for i in range(40)]),
    refused=("sideways",),
)
_series(
    "positions rounded to 0.1 mm",
    points=np.array([ORIGIN + np.array([0, 0, round(i * SPACING[2], 1)]) for i in range(40)]),
)
_series(
    "position with a word",
    _at(3, lambda i, d: d.__setitem__(0x00200032, pydicom.DataElement(0x00200032, "LO", "here"))),
    refused=(),
)

# Series.
_series("another modality", setting(Modality="MR"), refused=("modality is MR",))
_series("no modality", setting(Modality=None))
_series("no series UID", setting(SeriesInstanceUID=None))
_series(
    "two series",
    lambda i, d: setting(SeriesInstanceUID="1.2.3.5" if i % 2 else "1.2.3.4")(i, d),
    refused=("2 series", "--series"),
    short=True,
)
_series(
    "sizes mixed",
    _at(39, lambda i, d: setting(Rows=24, PixelData=d.PixelData[: 48 * 24 * 2])(i, d)),
    refused=("s039.dcm", "48 x 24 pixels, not 48 x 48"),
)
_series(
    "each slice a series of its own",
    lambda i, d: setting(SeriesInstanceUID=f"1.2.3.{i}")(i, d),
    refused=("40 series",),
)
_series(
    "a description in Japanese without character set",
    lambda i, d: d.__setitem__(0x0008103E, pydicom.DataElement(0x0008103E, "UN", "胸部".encode("shift_jis"))),
)
_series(
    "a description with control characters, two series",
    lambda i, d: setting(SeriesDescription="a\nb\x07\x1b[31m", SeriesInstanceUID=f"1.2.3.{i % 2}")(i, d),
    refused=("2 series",),
)


@TABLE.case("one of two series chosen")
def _(world: World, folder: Path) -> Job:
    write_series(folder / "scan", world.hu)
    write_series(folder / "scan", world.hu[:3], setting(SeriesInstanceUID="1.2.3.99"), prefix="scout")
    return world.accepts(folder / "scan", world.ct, more=("--series", "1.2.3.4"))


@TABLE.case("one of its files")
def _(world: World, folder: Path) -> Job:
    write_series(folder / "scan", world.hu)
    return world.accepts(folder / "scan" / "s011.dcm", world.ct, out=folder / "results")


@TABLE.case("other files among the slices")
def _(world: World, folder: Path) -> Job:
    source = write_series(folder / "scan", world.hu)
    (source / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(4000))
    (source / "report.pdf").write_bytes(b"%PDF-1.4")
    (source / "._s000.dcm").write_bytes(b"\0\5\x16\7" + bytes(200))
    (source / "DICOMDIR").write_bytes(bytes(300))
    return world.accepts(source, world.ct)


@TABLE.case("a folder of text")
def _(world: World, folder: Path) -> Job:
    (folder / "scan").mkdir()
    (folder / "scan" / "a.dcm").write_text("I am a slice")
    return world.refuses(folder / "scan", "a.dcm")


@TABLE.case("an empty folder", short=True)
def _(world: World, folder: Path) -> Job:
    (folder / "scan").mkdir()
    return world.refuses(folder / "scan", "no DICOM image")


@TABLE.case("a pipe among the slices")
def _(world: World, folder: Path) -> Job:
    import os

    source = write_series(folder / "scan", world.hu)
    os.mkfifo(source / "s999.dcm")
    return world.accepts(source, world.ct)


@TABLE.case("a link that leads nowhere among the slices")
def _(world: World, folder: Path) -> Job:
    source = write_series(folder / "scan", world.hu)
    (source / "s999.dcm").symlink_to(folder / "gone.dcm")
    return world.accepts(source, world.ct)


@TABLE.case("a link that leads to its own folder")
def _(world: World, folder: Path) -> Job:
    source = write_series(folder / "scan", world.hu)
    (source / "again").symlink_to(source)
    return world.accepts(source, world.ct)
