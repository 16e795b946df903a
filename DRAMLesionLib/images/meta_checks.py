"""What a MetaImage header promises against what the file holds: https://itk.org/Wiki/ITK/MetaIO/Documentation."""

import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from DRAMLesionLib.images.file_size import BLOCK, bad_header, check_size, count_voxels, damaged, slack
from DRAMLesionLib.images.paths import check_file

_MOST_AXES = 10
"""A MetaImage has no more: MetaIO's own tables are as long, and it writes beyond them."""
_NUMBERS = ("Offset", "Position", "Origin", "TransformMatrix", "Orientation", "Rotation", "ElementSize")
_SAME = (("Offset", "Position", "Origin"), ("TransformMatrix", "Orientation", "Rotation"))
"""Names of one field: MetaIO believes the last that it reads."""
_LONGEST_WORDS = 255
"""A line in a MetaImage's header has no more characters, for the same reason."""

_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_meta(path: Path) -> None:
    """Unpack a compressed MetaImage, or take a plain one's size, and compare that with its header."""
    with path.open("rb") as raw:
        header = read_meta_header(path, raw)
        if "NDims" not in header:
            return  # ITK says so
        lengths = _meta_lengths(path, header)
        _check_one_place(path, header)
        data = header.get("ElementDataFile", "LOCAL")
        if data.upper() == "LOCAL":
            _check_meta_data(path, raw, header, lengths, inside=True)
            return
    if data.upper().startswith("LIST") or "%" in data:
        return
    with check_file(path.parent / data).open("rb") as raw:
        _check_meta_data(path.parent / data, raw, header, lengths, inside=False)


def read_meta_header(path: Path, raw: BinaryIO) -> dict[str, str]:
    """The fields of a MetaImage header; ``raw`` then stands at the voxels.

    Raises:
        InputError: A line is longer than MetaIO can take.
    """
    header: dict[str, str] = {}
    for line in iter(lambda: raw.readline(4096), b""):
        key, sign, value = line.decode("latin-1").partition("=")
        if not sign:
            break
        if len(line) > _LONGEST_WORDS:
            raise bad_header(path, f"a line of its header has more than {_LONGEST_WORDS} characters")
        header[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return header


def _meta_lengths(path: Path, header: Mapping[str, str]) -> list[int]:
    """The sizes, once the header is seen to be one that MetaIO can read: it writes beyond its tables otherwise."""
    try:
        axes = int(header["NDims"])
        lengths = [int(size) for size in header["DimSize"].split()]
        channels = int(header.get("ElementNumberOfChannels", "1"))
        spacing = [float(word) for word in header.get("ElementSpacing", "1").split()]
        for key in _NUMBERS:
            [float(word) for word in header.get(key, "").split()]
    except (ValueError, KeyError) as error:
        raise bad_header(
            path, "its header lacks a number, or has a word or a decimal comma for one"
        ) from error
    if not 1 <= axes <= _MOST_AXES or len(lengths) != axes:
        raise bad_header(path, f"it has {axes} dimensions and {len(lengths)} sizes")
    count_voxels(path, [*lengths, channels])
    if not all(math.isfinite(length) and length > 0 for length in spacing):
        text = ", ".join(f"{value:g}" for value in spacing)
        raise bad_header(path, f"its voxel spacing is ({text})")
    return lengths


def _check_one_place(path: Path, header: Mapping[str, str]) -> None:
    """That two names of one field, where both are there, hold the same numbers."""
    for names in _SAME:
        given = {name: tuple(map(float, header[name].split())) for name in names if name in header}
        if len(set(given.values())) > 1:
            raise bad_header(
                path, f"its header holds two places or orientations, by {' and by '.join(given)}"
            )


def contradicted_axes(header: Mapping[str, str]) -> str:
    """The axes that a MetaImage header names, where its matrix says others; empty where they agree.

    Args:
        header: The fields. ``AnatomicalOrientation`` names where each axis comes from; some programs write where it
            goes to, which is no contradiction.
    """
    named = header.get("AnatomicalOrientation", "").upper()
    matrix = header.get("TransformMatrix", "").split()
    if len(matrix) != 9 or len(named) != 3 or not all(set(named) & set(pair) for pair in _SIDES):
        return ""
    rows = [[float(word) for word in matrix[3 * axis : 3 * axis + 3]] for axis in range(3)]
    towards, comes_from = "", ""
    for row in rows:
        side = max(range(3), key=lambda axis: abs(row[axis]))
        towards += _SIDES[side][row[side] < 0]
        comes_from += _SIDES[side][row[side] >= 0]
    return "" if named in (towards, comes_from) else named


_SIDES = ("LR", "PA", "SI")
"""The sides that the patient's axes run toward, and come from (LPS)."""


def _check_meta_data(
    path: Path, raw: BinaryIO, header: Mapping[str, str], lengths: list[int], inside: bool
) -> None:
    item = _META_BYTES.get(re.sub(r"^MET_U?|_ARRAY$", "", header.get("ElementType", "")))
    if item is None or header.get("BinaryData", "True").lower() == "false":
        return
    item *= int(header.get("ElementNumberOfChannels", "1"))
    expected = count_voxels(path, lengths) * item
    most = expected + slack(lengths, item)
    if header.get("CompressedData", "False").lower() == "true":
        size, packed = _inflated_bytes(path, raw, most)
        given = header.get("CompressedDataSize", "")
        # MetaIO takes the length as it stands, and leaves the voxels that it does not reach as they were.
        if size <= most and (given != str(packed) if given or inside else False):
            raise bad_header(path, f"its compressed data has {packed} bytes, not {given or 'none'}")
    else:
        size = path.stat().st_size - raw.tell()
    check_size(path, size, expected, most)


def _inflated_bytes(path: Path, raw: BinaryIO, most: int) -> tuple[int, int]:
    """Lengths of compressed data, unpacked and packed; counting ends above ``most``."""
    inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, by the stream's own header
    total = taken = 0
    try:
        while not inflate.eof and total <= most and (block := raw.read(BLOCK)):
            taken += len(block)
            while block and total <= most:
                total += len(inflate.decompress(block, BLOCK))
                block = inflate.unconsumed_tail
    except zlib.error as error:
        raise damaged(path, "corrupt: its compressed data can't be unpacked") from error
    if total <= most and not inflate.eof:
        raise damaged(path, "truncated: its compressed data ends early")
    return total, taken - len(inflate.unused_data)
