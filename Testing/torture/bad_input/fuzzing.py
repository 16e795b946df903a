"""Contents that our own readers have never seen: strategies, and how they are tried.

Some for each reader at every test, for ten minutes in all by ``make torture`` (``DRAMLESION_FUZZ_SECONDS``).
"""

import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from DRAMLesionLib.system.errors import InputError

SECONDS = float(os.environ.get("DRAMLESION_FUZZ_SECONDS", "0"))
TARGETS = 18
"""Calls of :func:`fuzz`, which share the time."""
_ALWAYS = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
_few = settings(max_examples=20, derandomize=True, **_ALWAYS)
_many = settings(max_examples=60, **_ALWAYS)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["", "../x", "a\0b", "1e999", "0x1p9"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def mutated(good: Any) -> st.SearchStrategy[Any]:
    """``good`` with something at some depth replaced, dropped or added."""

    @st.composite
    def change(draw: Callable[..., Any]) -> Any:
        return _change(json.loads(json.dumps(good)), draw)

    return change()


def _change(value: Any, draw: Callable[..., Any]) -> Any:
    if isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        how = draw(st.integers(0, 5))
        if how == 0:
            del value[key]
        elif how == 1 and isinstance(value, dict):
            value[draw(st.text(max_size=8))] = draw(VALUES)
        else:
            value[key] = _change(value[key], draw)
        return value
    return draw(VALUES)


def texts(good: Any, as_text: Callable[[Any], str] = json.dumps) -> st.SearchStrategy[bytes]:
    """Files that are nearly ``good``: other values, other bytes, or anything."""
    text = as_text(good).encode()
    return st.one_of(
        mutated(good).map(lambda v: as_text(v).encode("utf-8", "replace")),
        damaged(text),
        VALUES.map(lambda v: as_text(v).encode("utf-8", "replace")),
        st.binary(max_size=200),
    )


@st.composite
def damaged(draw: Callable[..., Any], content: bytes) -> bytes:
    """Some bytes replaced, cut out or put in."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(changed)))
        how = draw(st.integers(0, 3))
        if how == 0 and at < len(changed):
            changed[at] ^= 1 << draw(st.integers(0, 7))
        elif how == 1:
            changed[at : at + draw(st.integers(0, 64))] = b""
        elif how == 2:
            changed[at:at] = draw(st.binary(max_size=16))
        else:
            changed[at : at + 4] = draw(
                st.sampled_from(
                    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"[[[[", b'"', b"\n", b"nan "]
                )
            )
    return bytes(changed)


def fuzz(contents: st.SearchStrategy[Any], read: Callable[[Any], Any]) -> None:
    """Read many contents; anything but a value or an InputError of one line is a fault."""
    end = time.monotonic() + SECONDS / TARGETS
    for number in itertools.count():
        attempt = given(contents)(lambda content: _attempt(content, read))
        (seed(number)(_many(attempt)) if SECONDS else _few(attempt))()
        if time.monotonic() >= end:
            return


def _attempt(content: Any, read: Callable[[Any], Any]) -> None:
    try:
        read(content)
    except InputError as error:
        assert len(str(error)) < 100_000


def reads(path: Path, read: Callable[[], Any]) -> Callable[[bytes], Any]:
    def one(content: bytes) -> Any:
        path.write_bytes(content)
        return read()

    return one
