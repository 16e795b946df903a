"""Gzip streams, packed by several threads: by ISA-L where the package isal is installed, else by zlib.

The format is the same, and either reads what the other wrote. ISA-L (Intel's Intelligent Storage Acceleration Library)
packs about eight times and unpacks about twice as fast as zlib.
"""

import gzip
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

ISAL_LEVEL = 2
"""ISA-L's levels go to 3. A CT gets 2 to 4 percent larger than by zlib's third, a map some percent smaller."""
LEVEL = 3
"""Level of zlib. The maps' noise hardly packs: level 6 takes 1.2 to 2.3 times as long for 3 to 12 percent."""
CHUNK = 1 << 22
"""Bytes that a thread packs at once."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""No name and no time: the same values give the same bytes."""
_END = b"\x03\x00"
"""An empty last block."""


def _isal(module: str) -> ModuleType | None:
    """A module of the package isal; None where it is not installed."""
    try:
        return import_module(f"isal.{module}")
    except ImportError:
        return None


def write_gzip(file: BinaryIO, parts: Iterable[bytes]) -> None:
    """Write a gzip stream of one member, since some readers stop after the first.

    Args:
        file: Where to write it.
        parts: The values in their order, in parts of about :data:`CHUNK` bytes.

    Raises:
        OSError: It can't be written whole.
    """
    library: Any = _isal("isal_zlib")
    level = LEVEL if library is None else ISAL_LEVEL
    library = library or zlib
    threads = min(4, os.cpu_count() or 1)
    checksum, size = 0, 0
    packed: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        file.write(_HEADER)
        for part in parts:
            checksum, size = library.crc32(part, checksum), size + len(part)
            packed.append(pool.submit(_pack, part, library.compressobj, level))
            while len(packed) > 2 * threads:
                file.write(packed.popleft().result())
        for one in packed:
            file.write(one.result())
        file.write(_END + checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))


def _pack(values: bytes, compressobj: Callable[..., Any], level: int) -> bytes:
    """Deflate blocks that end at a byte and refer to nothing before them, so that they can stand one after the other."""
    deflate = compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(values) + deflate.flush(zlib.Z_FULL_FLUSH)


def open_gzip(path: Path) -> BinaryIO:
    """A gzip file, unpacked; what is wrong with it is an ``EOFError`` or one of :func:`unpacking_errors`."""
    igzip: Any = _isal("igzip")
    return cast(BinaryIO, gzip.open(path) if igzip is None else igzip.open(path))


def unpacking_errors() -> tuple[type[Exception], ...]:
    """What reading a damaged gzip file raises, but for one that ends early."""
    isal_zlib: Any = _isal("isal_zlib")
    return (OSError, zlib.error, *(() if isal_zlib is None else (isal_zlib.error,)))
