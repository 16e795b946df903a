"""Gzip streams by either library are the same format, and damage is found by either."""

import gzip
import io
import zlib

import numpy as np
import pytest

from DRAMLesionLib.images import deflate
from DRAMLesionLib.images.file_size import blocks, opened
from DRAMLesionLib.system.errors import InputError

VALUES = (np.random.default_rng(0).random(50_000) * 40).astype(np.int16).tobytes()
PARTS = [VALUES[:352], VALUES[352:60_000], VALUES[60_000:]]


@pytest.fixture(params=["zlib", "isal"])
def library(request, monkeypatch):
    """The library that packs and unpacks."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(deflate, "_isal", lambda module: None)
    return request.param


def packed(parts=PARTS):
    file = io.BytesIO()
    deflate.write_gzip(file, parts)
    return file.getvalue()


def test_a_stream_is_one_member_that_zlib_unpacks(library):
    stream = zlib.decompressobj(wbits=31)
    assert stream.decompress(packed()) == VALUES and stream.eof and not stream.unused_data
    assert len(packed()) < 0.7 * len(VALUES)
    assert packed() == packed()


def test_a_file_is_unpacked_whoever_packed_it(library, tmp_path):
    for name, content in (("own", packed()), ("other", gzip.compress(VALUES))):
        path = tmp_path / f"{name}.nii.gz"
        path.write_bytes(content)
        with opened(path) as stream:
            assert b"".join(blocks(path, stream)) == VALUES


def test_nothing_is_a_whole_stream_too(library):
    assert gzip.decompress(packed([])) == b""


@pytest.mark.parametrize("cut", [5, 2000])
def test_a_stream_that_ends_early_is_told(library, tmp_path, cut):
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(packed()[:-cut])
    with pytest.raises(InputError, match="ends early"), opened(path) as stream:
        list(blocks(path, stream))


def test_every_damage_is_told(library, tmp_path):
    whole, path = packed(), tmp_path / "ct.nii.gz"
    for at in (*range(20, len(whole) - 9, len(whole) // 40), len(whole) - 8, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 0x21
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"ends early|can't be unpacked"), opened(path) as stream:
            list(blocks(path, stream))
