"""How many bytes an image file holds against what its header promises, and what is said where they differ."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from DRAMLesionLib.images.deflate import open_gzip, unpacking_errors
from DRAMLesionLib.system.errors import InputError

BLOCK = 1 << 20
"""Bytes that are read at once."""
_MOST_VALUES = 1 << 48


def damaged(path: Path, how: str) -> InputError:
    """The error of a file that is not whole."""
    return InputError(f"{path}: {how}: copy or export it again")


def bad_header(path: Path, how: str) -> InputError:
    """The error of a file whose header can't be used."""
    return InputError(f"{path}: {how}: repair its header or convert it again")


def check_size(path: Path, size: int, expected: int, most: int | None = None) -> None:
    """Compare a file's bytes with those that its header promises.

    Args:
        path: The file.
        size: The bytes that it holds, unpacked; counting may stop above ``most``.
        expected: What the header promises.
        most: What may be there: None for any number.
    """
    if size < expected:
        raise damaged(path, f"truncated: holds {size} of the {expected} bytes that its header promises")
    if most is not None and size > most:
        raise bad_header(path, f"holds more than the {expected} bytes that its header promises")


def count_voxels(path: Path, lengths: Iterable[int]) -> int:
    """How many values an image of these lengths has."""
    lengths = list(lengths)
    if not lengths or min(lengths) < 1 or math.prod(lengths) > _MOST_VALUES:
        raise bad_header(path, f"its size is {' x '.join(map(str, lengths)) or 'not given'}")
    return math.prod(lengths)


def slack(lengths: list[int], item: int) -> int:
    """Bytes that may stand behind the voxels: less than a slice, or a lie about the size would go unseen."""
    return math.prod(lengths[:2]) * item - 1


def blocks(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """The blocks of a gzip stream to its end, where the checksum is compared."""
    try:
        while block := stream.read(BLOCK):
            yield block
    except EOFError as error:
        raise damaged(path, "truncated: its compressed data ends early") from error
    except unpacking_errors() as error:
        raise damaged(path, "corrupt: its compressed data can't be unpacked") from error


def opened(path: Path) -> BinaryIO:
    """A file, unpacked where it is compressed."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    if packed and path.suffix.lower() != ".gz":
        raise InputError(f"{path}: is compressed by gzip: make its name end in .nii.gz")
    return open_gzip(path) if packed else path.open("rb")
