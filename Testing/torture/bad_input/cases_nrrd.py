"""NRRD and MetaImage files that were cut, damaged, or lie."""

import bz2
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import Job, Table
from world import World, write

TABLE = Table("NRRD and MetaImage")
_HEADER = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 48 48 40
space directions: (7.4,0,0) (0,7.4,0) (0,0,7.4)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (-170,-170,-140)
"""
_META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = -170 -170 -140
CenterOfRotation = 0 0 0
ElementSpacing = 7.4 7.4 7.4
DimSize = 48 48 40
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""


def _changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def _nrrd(
    name: str,
    *changes: tuple[str, str],
    refused: tuple[str, ...] | None = None,
    pack: Callable[[bytes], bytes] = bytes,
    cut: Callable[[bytes], bytes] = bytes,
    short: bool = False,
) -> None:
    def make(world: World, folder: Path) -> Job:
        path = folder / "odd.nrrd"
        data = cut(pack(world.hu.astype("<i2").tobytes()))
        path.write_bytes(_changed(_HEADER, *changes).encode() + b"\n" + data)
        return world.accepts(path, world.ct) if refused is None else world.refuses(path, *refused)

    TABLE.add(f"NRRD: {name}", make, short)


def _meta(
    name: str,
    *changes: tuple[str, str],
    refused: tuple[str, ...] | None = None,
    pack: Callable[[bytes], bytes] = bytes,
    cut: Callable[[bytes], bytes] = bytes,
    short: bool = False,
) -> None:
    def make(world: World, folder: Path) -> Job:
        path = folder / "odd.mha"
        data = cut(pack(world.hu.astype("<i2").tobytes()))
        path.write_bytes(_changed(_META, *changes).encode() + data)
        return world.accepts(path, world.ct) if refused is None else world.refuses(path, *refused)

    TABLE.add(f"MetaImage: {name}", make, short)


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def _hex(data: bytes) -> bytes:
    return data.hex().encode()


def _text(data: bytes) -> bytes:
    return b"\n".join(b" ".join(b"%d" % v for v in row) for row in np.frombuffer(data, "<i2").reshape(-1, 48))


def _flipped(data: bytes) -> bytes:
    content = bytearray(data)
    content[len(content) // 2] ^= 0x20
    return bytes(content)


_RAW_TO_GZIP = ("encoding: raw", "encoding: gzip")
_nrrd("as it should be")
_nrrd("gzip", _RAW_TO_GZIP, pack=_gzip)
_nrrd("bzip2", ("encoding: raw", "encoding: bzip2"), pack=bz2.compress, refused=())
_nrrd("hexadecimal", ("encoding: raw", "encoding: hex"), pack=_hex)
_nrrd("as text", ("encoding: raw", "encoding: ascii"), pack=_text)
_nrrd("Windows' line ends", ("\n", "\r\n"))
_nrrd("half of it", cut=lambda data: data[: len(data) // 2], refused=("truncated",), short=True)
_nrrd("one byte less", cut=lambda data: data[:-1], refused=("truncated",))
_nrrd("twice as much", cut=lambda data: data * 2, refused=())
_nrrd("gzip, half of it", _RAW_TO_GZIP, pack=_gzip, cut=lambda d: d[: len(d) // 2], refused=("truncated",))
_nrrd("gzip, a bit flipped", _RAW_TO_GZIP, pack=_gzip, cut=_flipped, refused=("corrupt",), short=True)
_nrrd("claims gzip, is not", _RAW_TO_GZIP, refused=("corrupt",))
_nrrd("claims one slice more", ("48 48 40", "48 48 41"), refused=("truncated",))
_nrrd("claims half the slices", ("48 48 40", "48 48 20"), refused=())
_nrrd("gzip, claims half the slices", _RAW_TO_GZIP, ("48 48 40", "48 48 20"), pack=_gzip, refused=())
_nrrd("claims 100000 in all directions", ("48 48 40", "100000 100000 100000"), refused=(), short=True)
_nrrd(
    "gzip, claims 4000 in all directions",
    _RAW_TO_GZIP,
    ("48 48 40", "4000 4000 4000"),
    pack=_gzip,
    refused=(),
)
_nrrd("claims more than a number can hold", ("48 48 40", "4294967296 4294967296 4294967296"), refused=())
_nrrd("size zero", ("48 48 40", "48 48 0"), refused=())
_nrrd("size negative", ("48 48 40", "48 48 -40"), refused=())
_nrrd("size no number", ("48 48 40", "48 48 many"), refused=())
_nrrd("2-D", ("dimension: 3", "dimension: 2"), refused=())
_nrrd("no sizes", ("sizes: 48 48 40\n", ""), refused=())
_nrrd("no type", ("type: short\n", ""), refused=())
_nrrd("type block", ("type: short", "type: block"), refused=())
_nrrd("no endian", ("endian: little\n", ""), refused=())
_nrrd("unknown encoding", ("encoding: raw", "encoding: zstd"), refused=())
_nrrd("no magic", ("NRRD0004\n", ""), refused=())
_nrrd("direction of zeros", ("(0,0,7.4)", "(0,0,0)"), refused=())
_nrrd("direction NaN", ("(0,0,7.4)", "(0,0,nan)"), refused=())
_nrrd("direction none", ("(0,0,7.4)", "none"), refused=())
_nrrd("directions singular", ("(0,0,7.4)", "(0,7.4,0)"), refused=(), short=True)
_nrrd(
    "directions sheared (gantry tilt)", ("(0,0,7.4)", "(0,2.2,7.06)"), refused=("perpendicular",), short=True
)
_nrrd("directions missing", ("space directions: (7.4,0,0) (0,7.4,0) (0,0,7.4)\n", ""), refused=())
_nrrd("origin NaN", ("(-170,-170,-140)", "(nan,-170,-140)"), refused=())
_nrrd("unknown space", ("left-posterior-superior", "over-the-rainbow"), refused=())
_nrrd("spacing huge", ("(0,0,7.4)", "(0,0,7400)"), refused=("spacing",))
_nrrd("four directions", ("(0,0,7.4)", "(0,0,7.4) (1,0,0)"), refused=())
_nrrd(
    "RGB",
    ("type: short", "type: uchar"),
    ("dimension: 3", "dimension: 4"),
    ("sizes: ", "sizes: 3 "),
    ("space directions: ", "space directions: none "),
    ("kinds: ", "kinds: RGB-color "),
    cut=lambda d: (d * 2)[: 3 * 48 * 48 * 40],
    refused=("colour",),
    short=True,
)
_nrrd(
    "two values per voxel",
    ("type: short", "type: uchar"),
    ("dimension: 3", "dimension: 4"),
    ("sizes: ", "sizes: 2 "),
    ("space directions: ", "space directions: none "),
    ("kinds: ", "kinds: vector "),
    refused=("2 values",),
)
_nrrd(
    "4-D, a series in time",
    ("type: short", "type: uchar"),
    ("dimension: 3", "dimension: 4"),
    ("48 48 40", "48 48 40 2"),
    ("(0,0,7.4)", "(0,0,7.4) none"),
    ("domain domain domain", "domain domain domain list"),
    refused=(),
)


@TABLE.case("NRRD: right-anterior-superior space, its own axes")
def _(world: World, folder: Path) -> Job:
    path = folder / "odd.nrrd"
    text = _changed(
        _HEADER,
        ("left-posterior-superior", "right-anterior-superior"),
        ("(-170,-170,-140)", "(170,170,-140)"),
        ("(7.4,0,0) (0,7.4,0)", "(-7.4,0,0) (0,-7.4,0)"),
    )
    path.write_bytes(text.encode() + b"\n" + world.hu.astype("<i2").tobytes())
    return world.accepts(path, world.ct)


@TABLE.case("NRRD: floats with a NaN")
def _(world: World, folder: Path) -> Job:
    values = world.hu.astype(np.float32)
    values[3, 4, 5] = np.nan
    return world.refuses(write(world.image(values), folder / "odd.nrrd"), "NaN")


@TABLE.case("NRRD: header without its data file")
def _(world: World, folder: Path) -> Job:
    write(world.ct, folder / "odd.nhdr")
    (folder / "odd.raw").unlink()
    job = world.refuses(folder / "odd.nhdr")
    return Job(job.run, ("odd.raw", "no such file"))


@TABLE.case("NRRD: header with its data file")
def _(world: World, folder: Path) -> Job:
    return world.accepts(write(world.ct, folder / "odd.nhdr"), world.ct)


@TABLE.case("NRRD: data file that is a folder")
def _(world: World, folder: Path) -> Job:
    write(world.ct, folder / "odd.nhdr")
    (folder / "odd.raw").unlink()
    (folder / "odd.raw").mkdir()
    job = world.refuses(folder / "odd.nhdr")
    return Job(job.run, ("odd",))


@TABLE.case("NRRD: data file named after a device that never ends")
def _(world: World, folder: Path) -> Job:
    text = _changed(_HEADER, ("encoding: raw", "encoding: gzip")) + "data file: /dev/zero\n\n"
    (folder / "odd.nhdr").write_text(text)
    job = world.refuses(folder / "odd.nhdr")
    return Job(job.run, ())


@TABLE.case("NRRD: a segmentation given as CT", short=True)
def _(world: World, folder: Path) -> Job:
    return world.refuses(write(world.image(world.labels), folder / "odd.seg.nrrd"), "segmentation")


_LENGTH = ("CompressedData = True", "CompressedData = True\nCompressedDataSize = 1000")
_ZLIB = (("CompressedData = False", "CompressedData = True"),)
_meta("as it should be")


@TABLE.case("MetaImage: zlib, as ITK writes it")
def _(world: World, folder: Path) -> Job:
    import SimpleITK as sitk

    sitk.WriteImage(world.ct, str(folder / "odd.mha"), useCompression=True)
    return world.accepts(folder / "odd.mha", world.ct)


_meta("zlib, its length not given", *_ZLIB, pack=zlib.compress, refused=("compressed data has",))
_meta(
    "zlib, its length too short",
    *_ZLIB,
    _LENGTH,
    pack=zlib.compress,
    refused=("compressed data has",),
    short=True,
)
_meta("half of it", cut=lambda data: data[: len(data) // 2], refused=("truncated",), short=True)
_meta("twice as much", cut=lambda data: data * 2, refused=())
_meta("zlib, half of it", *_ZLIB, pack=zlib.compress, cut=lambda d: d[: len(d) // 2], refused=("truncated",))
_meta("zlib, a bit flipped", *_ZLIB, pack=zlib.compress, cut=_flipped, refused=("corrupt",))
_meta("claims zlib, is not", *_ZLIB, refused=("corrupt",))
_meta("claims half the slices", ("48 48 40", "48 48 20"), refused=())
_meta("claims one slice more", ("48 48 40", "48 48 41"), refused=("truncated",))
_meta("claims 100000 in all directions", ("48 48 40", "100000 100000 100000"), refused=("its size is",))
_meta("size zero", ("48 48 40", "48 48 0"), refused=())
_meta("size negative", ("48 48 40", "48 -48 -40"), refused=())
_meta("size no number", ("48 48 40", "48 48 x"), refused=())
_meta("two sizes for three dimensions", ("48 48 40", "48 48"), refused=())
_meta("spacing zero", ("7.4 7.4 7.4", "7.4 7.4 0"), refused=("spacing",))
_meta("spacing negative", ("7.4 7.4 7.4", "7.4 7.4 -7.4"), refused=("spacing",))
_meta("matrix singular", ("1 0 0 0 1 0 0 0 1", "1 0 0 1 0 0 0 0 1"), refused=())
_meta("matrix of zeros", ("1 0 0 0 1 0 0 0 1", "0 0 0 0 0 0 0 0 0"), refused=())
_meta("matrix with NaN", ("1 0 0 0 1 0 0 0 1", "nan 0 0 0 1 0 0 0 1"), refused=())
_meta("type unknown", ("MET_SHORT", "MET_FANCY"), refused=())
_meta("8 bits claimed for 16", ("MET_SHORT", "MET_UCHAR"), refused=())
_meta("no type", ("ElementType = MET_SHORT\n", ""), refused=())
_meta("text claimed, binary given", ("BinaryData = True", "BinaryData = False"), refused=())
_meta("99 dimensions", ("NDims = 3", "NDims = 99"), refused=("99 dimensions",), short=True)
_meta("99 sizes", ("48 48 40", "2 " * 99), refused=("99 sizes",))
_meta("no dimensions", ("NDims = 3", "NDims = 0"), refused=())
_meta(
    "a comment of 3000 characters",
    ("CenterOfRotation", "Comment = " + "x" * 3000 + "\nCenterOfRotation"),
    refused=("characters",),
)
_meta(
    "a thousand million channels",
    ("ElementType", "ElementNumberOfChannels = 1000000000\nElementType"),
    refused=(),
)


@TABLE.case("MetaImage: header without its data file")
def _(world: World, folder: Path) -> Job:
    write(world.ct, folder / "odd.mhd")
    (folder / "odd.raw").unlink()
    job = world.refuses(folder / "odd.mhd")
    return Job(job.run, ("odd",))


@TABLE.case("MetaImage: one file per slice, one of them gone")
def _(world: World, folder: Path) -> Job:
    text = _META.replace("ElementDataFile = LOCAL", "ElementDataFile = s%02d.raw 0 39 1")
    for index, plane in enumerate(world.hu):
        if index != 20:
            (folder / f"s{index:02d}.raw").write_bytes(plane.astype("<i2").tobytes())
    (folder / "odd.mhd").write_text(text)
    return world.refuses(folder / "odd.mhd")
