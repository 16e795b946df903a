"""NIfTI files that were cut, damaged, or lie."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from harness import Job, Table
from world import SPACING, World, write

TABLE = Table("NIfTI")
_FIELDS = {
    "sizeof_hdr": (0, "i"),
    "dim": (40, "8h"),
    "intent_code": (68, "h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "B"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quatern": (256, "3f"),
    "qoffset": (268, "3f"),
    "srow": (280, "12f"),
    "magic": (344, "4s"),
}
_DIM = (3, 48, 48, 40, 1, 1, 1, 1)
_SROW = (-7.4, 0, 0, 170, 0, -7.4, 0, 170, 0, 0, 7.4, -140)


def plain(world: World, folder: Path, array: np.ndarray | None = None) -> bytearray:
    """The bytes of an uncompressed file, as ITK writes it."""
    path = folder / "plain.nii"
    image = world.ct if array is None else world.image(array)
    sitk.WriteImage(image, str(path))
    content = bytearray(path.read_bytes())
    path.unlink()
    return content


def patched(content: bytearray, **changes: object) -> bytes:
    """The same with other values in its header."""
    for name, value in changes.items():
        offset, kind = _FIELDS[name]
        values = value if isinstance(value, tuple) else (value,)
        struct.pack_into("<" + kind, content, offset, *values)
    return bytes(content)


def _pixdim(x: float, y: float, z: float, rest: float = 0.0) -> tuple[float, ...]:
    return (1.0, x, y, z, rest, 0.0, 0.0, 0.0)


def _refused(name: str, *words: str, short: bool = False, **changes: object) -> None:
    def make(world: World, folder: Path) -> Job:
        (folder / "odd.nii").write_bytes(patched(plain(world, folder), **changes))
        return world.refuses(folder / "odd.nii", *words)

    TABLE.add(name, make, short)


def _accepted(name: str, short: bool = False, **changes: object) -> None:
    def make(world: World, folder: Path) -> Job:
        (folder / "odd.nii").write_bytes(patched(plain(world, folder), **changes))
        return world.accepts(folder / "odd.nii", world.ct)

    TABLE.add(name, make, short)


for _share in (0, 0.001, 0.003, 0.02, 0.5, 0.99):

    def _cut(world: World, folder: Path, share: float = _share) -> Job:
        content = plain(world, folder)
        (folder / "odd.nii").write_bytes(content[: int(share * len(content))])
        return world.refuses(folder / "odd.nii")

    TABLE.add(f"cut off after {100 * _share:g} percent", _cut, short=_share == 0.5)

    def _cut_packed(world: World, folder: Path, share: float = _share) -> Job:
        content = world.ct_path.read_bytes()
        (folder / "odd.nii.gz").write_bytes(content[: int(share * len(content))])
        return world.refuses(folder / "odd.nii.gz")

    if _share:
        TABLE.add(f"compressed, cut off after {100 * _share:g} percent", _cut_packed, short=_share == 0.99)


@TABLE.case("cut off by one byte")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii").write_bytes(plain(world, folder)[:-1])
    return world.refuses(folder / "odd.nii", "truncated")


@TABLE.case("compressed, checksum cut off")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii.gz").write_bytes(world.ct_path.read_bytes()[:-8])
    return world.refuses(folder / "odd.nii.gz", "truncated")


for _place in (0.1, 0.5, 0.9):

    def _flip(world: World, folder: Path, place: float = _place) -> Job:
        content = bytearray(world.ct_path.read_bytes())
        content[int(place * len(content))] ^= 0x10
        (folder / "odd.nii.gz").write_bytes(content)
        return world.refuses(folder / "odd.nii.gz", "corrupt")

    TABLE.add(f"compressed, a bit flipped at {100 * _place:g} percent", _flip)


@TABLE.case("compressed, a bit of the checksum flipped")
def _(world: World, folder: Path) -> Job:
    content = bytearray(world.ct_path.read_bytes())
    content[-6] ^= 1
    (folder / "odd.nii.gz").write_bytes(content)
    return world.refuses(folder / "odd.nii.gz", "corrupt")


@TABLE.case("garbage after the compressed data")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii.gz").write_bytes(world.ct_path.read_bytes() + b"garbage that is no gzip")
    return world.refuses(folder / "odd.nii.gz", "corrupt")


@TABLE.case("zeros after the compressed data")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii.gz").write_bytes(world.ct_path.read_bytes() + bytes(512))
    return world.accepts(folder / "odd.nii.gz", world.ct)


@TABLE.case("compressed in several members")
def _(world: World, folder: Path) -> Job:
    content = bytes(plain(world, folder))
    (folder / "odd.nii.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    return world.accepts(folder / "odd.nii.gz", world.ct)


@TABLE.case("a gigabyte of zeros behind the voxels")
def _(world: World, folder: Path) -> Job:
    packer = zlib.compressobj(1, wbits=31)
    with (folder / "odd.nii.gz").open("wb") as file:
        file.write(packer.compress(bytes(plain(world, folder))))
        for _number in range(64):
            file.write(packer.compress(bytes(1 << 24)))
        file.write(packer.flush())
    return world.refuses(folder / "odd.nii.gz", "more")


@TABLE.case("named compressed but is not")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii.gz").write_bytes(plain(world, folder))
    return world.accepts(folder / "odd.nii.gz", world.ct)


@TABLE.case("compressed but not named so")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii").write_bytes(world.ct_path.read_bytes())
    return world.refuses(folder / "odd.nii", "gzip")


@TABLE.case("big-endian", short=True)
def _(world: World, folder: Path) -> Job:
    content = plain(world, folder)
    swapped = bytearray(content)
    for offset, kind in _FIELDS.values():
        if kind not in ("B", "4s"):
            values = struct.unpack_from("<" + kind, content, offset)
            struct.pack_into(">" + kind, swapped, offset, *values)
    swapped[352:] = np.frombuffer(bytes(content[352:]), "<i2").astype(">i2").tobytes()
    (folder / "odd.nii").write_bytes(swapped)
    return world.accepts(folder / "odd.nii", world.ct)


@TABLE.case("NIfTI-2", short=True)
def _(world: World, folder: Path) -> Job:
    header = bytearray(544)
    struct.pack_into("<i8s", header, 0, 540, b"n+2\0\r\n\x1a\n")
    struct.pack_into("<hh8q", header, 12, 4, 16, *_DIM)
    struct.pack_into("<8d", header, 104, *_pixdim(*SPACING))
    struct.pack_into("<q2d", header, 168, 544, 1.0, 0.0)
    struct.pack_into("<ii", header, 344, 0, 1)
    struct.pack_into("<12d", header, 400, *_SROW)
    struct.pack_into("<i", header, 500, 2)
    (folder / "odd.nii").write_bytes(bytes(header) + bytes(plain(world, folder)[352:]))
    return world.refuses(folder / "odd.nii", "NIfTI-2")


@TABLE.case("an extension before the voxels")
def _(world: World, folder: Path) -> Job:
    content = plain(world, folder)
    patched(content, vox_offset=352.0 + 32)
    content[348:352] = b"\1\0\0\0"
    extension = struct.pack("<ii", 32, 6) + b"a comment".ljust(24, b"\0")
    (folder / "odd.nii").write_bytes(bytes(content[:352]) + extension + bytes(content[352:]))
    return world.accepts(folder / "odd.nii", world.ct)


@TABLE.case("a pair's header without its voxels")
def _(world: World, folder: Path) -> Job:
    content = plain(world, folder)
    (folder / "odd.nii").write_bytes(patched(content, magic=b"ni1\0")[:352])
    return world.refuses(folder / "odd.nii")


@TABLE.case("text")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii").write_text("I am a scan. " * 100)
    return world.refuses(folder / "odd.nii", "not an image")


@TABLE.case("another format's content")
def _(world: World, folder: Path) -> Job:
    sitk.WriteImage(world.ct, str(folder / "real.nrrd"))
    (folder / "real.nrrd").rename(folder / "odd.nii")
    return world.refuses(folder / "odd.nii")


@TABLE.case("a zip archive")
def _(world: World, folder: Path) -> Job:
    import zipfile

    with zipfile.ZipFile(folder / "odd.nii.gz", "w") as archive:
        archive.write(world.ct_path, "ct.nii.gz")
    return world.refuses(folder / "odd.nii.gz")


# Size.
_refused("no dimensions", dim=(0, *_DIM[1:]))
_refused("9 dimensions", dim=(9, *_DIM[1:]))
_refused("a negative number of dimensions", dim=(-3, *_DIM[1:]))
_refused("2 dimensions for 3", "more than", dim=(2, *_DIM[1:]))
_refused("no slice", dim=(3, 48, 48, 0, 1, 1, 1, 1))
_refused("a negative number of slices", dim=(3, 48, 48, -40, 1, 1, 1, 1))
_refused("claims 32767 in all directions", dim=(3, 32767, 32767, 32767, 1, 1, 1, 1), short=True)
_refused("claims one slice more", "truncated", dim=(3, 48, 48, 41, 1, 1, 1, 1))
_refused("claims half the slices", dim=(3, 48, 48, 20, 1, 1, 1, 1))
_refused("claims one slice", dim=(3, 48, 48, 1, 1, 1, 1, 1))
_refused("4-D with two volumes", "4-D", dim=(4, 48, 48, 20, 2, 1, 1, 1), short=True)
_refused("5-D vectors", dim=(5, 48, 48, 20, 1, 2, 1, 1), intent_code=1007)
_accepted("4-D with one volume", dim=(4, 48, 48, 40, 1, 1, 1, 1))
_accepted("7-D with one volume", dim=(7, 48, 48, 40, 1, 1, 1, 1))


@TABLE.case("a single slice, 2-D", short=True)
def _(world: World, folder: Path) -> Job:
    return world.refuses(write(world.ct[:, :, 20], folder / "odd.nii"), "2-D")


# Types.
for _code, _bits, _words in (
    (1, 1, "binary"),
    (32, 64, "complex"),
    (128, 24, "RGB"),
    (1536, 128, "float128"),
    (7, 16, "unknown"),
):
    _refused(f"type {_words}", datatype=_code, bitpix=_bits)
_refused("type and bits disagree", "truncated", datatype=16, bitpix=16)
_accepted("bits too few for the type, which is what counts", datatype=4, bitpix=8)
_refused("float, but the voxels are integers", datatype=16, bitpix=32)
# Spacing.
for _wrong in (0.0, float("nan"), float("inf"), 1e6, 1e-7):
    _refused(f"spacing {_wrong:g}", "spacing", pixdim=_pixdim(7.4, 7.4, _wrong), sform_code=0)
_refused("spacing negative", "spacing", pixdim=_pixdim(7.4, -7.4, 7.4), sform_code=0, short=True)
_refused("two spacings", "two voxel spacings", pixdim=_pixdim(0.7, 0.7, 1.0))
_refused(
    "spacing without unit, in metres", "spacing", pixdim=_pixdim(*[0.0074] * 3), sform_code=0, xyzt_units=0
)
_accepted(
    "spacing in metres",
    pixdim=_pixdim(*[0.0074] * 3),
    srow=tuple(v / 1000 for v in _SROW),
    xyzt_units=1,
    qoffset=(0.17, 0.17, -0.14),
)
_accepted(
    "spacing in micrometres",
    pixdim=_pixdim(*[7400.0] * 3),
    srow=tuple(v * 1000 for v in _SROW),
    xyzt_units=3,
    qoffset=(170e3, 170e3, -140e3),
)
# Position and direction.
_refused("sform of zeros", srow=(0.0,) * 12)
_refused("sform with NaN", srow=(float("nan"), *_SROW[1:]))
_refused("sform singular", srow=(-7.4, 0, 0, 170, -7.4, 0, 0, 170, 0, 0, 7.4, -140), qform_code=0, short=True)
_refused(
    "sform sheared",
    "perpendicular",
    srow=(-7.4, 0, 0, 170, 0, -7.4, 2.2, 170, 0, 0, 7.065, -140),
    qform_code=0,
)
_refused("origin NaN", srow=(-7.4, 0, 0, float("nan"), *_SROW[4:]), qform_code=0)
_refused("qform with NaN", quatern=(float("nan"), 0.0, 0.0), sform_code=0)
_refused("qform that is no rotation", quatern=(5.0, 5.0, 5.0), sform_code=0)
# Scaling.
_accepted("scaled by NaN, which means not at all", scl_slope=float("nan"), scl_inter=float("nan"))
_refused("scaled by infinity", scl_slope=float("inf"))
_refused("shifted by 1024", scl_slope=1.0, scl_inter=1024.0)
_refused("scaled by 1000", scl_slope=1000.0)
_accepted("scaled by 0, which means not at all", scl_slope=0.0, scl_inter=0.0)
_refused("scaled by 0 and shifted by 50", "shifted by 50", scl_slope=0.0, scl_inter=50.0)
# Places in the file.
_refused("voxels begin beyond the file", "truncated", vox_offset=1e9)
_refused("voxels begin before the file", vox_offset=-4000.0)
_refused("voxels begin at NaN", vox_offset=float("nan"))
_refused("header's length wrong", sizeof_hdr=100)
_refused("magic wrong", magic=b"nope")


@TABLE.case("voxels begin inside the header")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii").write_bytes(patched(plain(world, folder), vox_offset=0.0))
    return world.refuses(folder / "odd.nii", "begin at byte 0")


@TABLE.case("unsigned and shifted by its header, which gives HU", short=True)
def _(world: World, folder: Path) -> Job:
    content = plain(world, folder, (world.hu + 1024).astype(np.uint16))
    (folder / "odd.nii").write_bytes(patched(content, scl_slope=1.0, scl_inter=-1024.0))
    return world.accepts(folder / "odd.nii", world.ct)


@TABLE.case("no orientation at all")
def _(world: World, folder: Path) -> Job:
    (folder / "odd.nii").write_bytes(patched(plain(world, folder), qform_code=0, sform_code=0))

    def warned(summary: dict, out: Path) -> None:
        assert any("orientation" in line for line in summary["record"]["warnings"])

    image = sitk.ReadImage(str(folder / "odd.nii"))
    lobes = world.image(world.labels)
    lobes.CopyInformation(image)
    return world.accepts(folder / "odd.nii", image, lobes=lobes, check=warned, same=False)
