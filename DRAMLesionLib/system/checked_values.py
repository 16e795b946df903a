"""Settings that people or files give, checked against the dataclass that declares them."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from DRAMLesionLib.system.errors import InputError

Settings = TypeVar("Settings")
Bounds = Mapping[str, tuple[float, float]]
Choices = Mapping[str, tuple[str, ...]]
Readers = Mapping[str, Callable[[Any, str], Any]]

ANY_NUMBER = (-1e12, 1e12)
"""Bounds of a number that may be negative: beyond them float32 has no finite numbers left to calculate with."""
_AMOUNT = (0.0, 1e9)


def read_settings(
    cls: type[Settings],
    values: Any,
    where: str,
    bounds: Bounds | None = None,
    choices: Choices | None = None,
    readers: Readers | None = None,
) -> Settings:
    """A dataclass of texts, numbers, truth values, tuples of numbers and other such dataclasses.

    Args:
        cls: The dataclass; what ``values`` does not name has its default. A field that is a dataclass itself is read by
            its ``from_dict(value, where)``.
        values: Keys and values, as JSON or YAML gives them.
        where: What errors name, for instance ``"dram.yaml: dram"``.
        bounds: Lowest and highest value of a number, or of each number of a tuple; 0 to 1e9 where a key has none.
        choices: The allowed texts of a key.
        readers: A function ``(value, where)`` for each key whose type does not say enough.

    Raises:
        InputError: A key is unknown or its value is wrong: it is named as ``where.key``.
    """
    known = get_type_hints(cls)
    if not isinstance(values, dict):
        raise InputError(f"{where}: {values!r} is no table of settings: use {', '.join(known)}")
    for key in values:
        if key not in known:
            raise InputError(f"{where}.{key}: unknown key: use one of {', '.join(known)}")
    return cls(**checked_values(cls, values, f"{where}.", bounds, choices, readers))


def checked_values(
    cls: type,
    values: Mapping[str, Any],
    where: str,
    bounds: Bounds | None = None,
    choices: Choices | None = None,
    readers: Readers | None = None,
) -> dict[str, Any]:
    """Values of some keys of a dataclass, with the types that it declares for them.

    Args:
        cls: The dataclass.
        values: Known keys and their values.
        where: What errors name before the key.
        bounds: See :func:`read_settings`.
        choices: See :func:`read_settings`.
        readers: See :func:`read_settings`.

    Raises:
        InputError: A value is wrong: its key is named.
    """
    kinds, checked = get_type_hints(cls), {}
    for key, value in values.items():
        name, limits = f"{where}{key}", (bounds or {}).get(key, _AMOUNT)
        if readers and key in readers:
            checked[key] = readers[key](value, name)
        else:
            checked[key] = _checked(value, kinds[key], name, limits, (choices or {}).get(key))
    return checked


def json_values(settings: Any) -> dict[str, Any]:
    """The values of a dataclass, and of the dataclasses inside it, with lists in place of tuples."""
    return {key: _with_lists(value) for key, value in asdict(settings).items()}


def _with_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_lists(part) for key, part in value.items()}
    return [_with_lists(part) for part in value] if isinstance(value, tuple) else value


def _checked(
    value: Any, kind: Any, where: str, bounds: tuple[float, float], choices: tuple[str, ...] | None
) -> Any:
    if isinstance(kind, UnionType):
        if value is None and NoneType in get_args(kind):
            return None
        kind = next(option for option in get_args(kind) if option is not NoneType)
    if hasattr(kind, "from_dict"):
        return kind.from_dict(value, where)
    if get_origin(kind) is Literal:
        kind, choices = str, get_args(kind)
    if get_origin(kind) is tuple:
        return _numbers(value, get_args(kind), where, bounds)
    if kind is str:
        return _text(value, where, choices)
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(f"{where}: {value!r} is not true or false")
        return value
    return _number(value, kind, where, bounds)


def _text(value: Any, where: str, choices: tuple[str, ...] | None) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {value!r} is no text")
    if choices and value not in choices:
        raise InputError(f"{where}: {value!r} is unknown: use one of {', '.join(choices)}")
    return value


def _numbers(
    value: Any, kinds: tuple[Any, ...], where: str, bounds: tuple[float, float]
) -> tuple[float, ...]:
    """A tuple of numbers; one that is declared as ``tuple[int, ...]`` has any length but 0."""
    any_length = kinds[-1] is Ellipsis
    if not isinstance(value, list | tuple) or not value or (not any_length and len(value) != len(kinds)):
        raise InputError(f"{where}: {value!r} is not {'some' if any_length else len(kinds)} numbers")
    return tuple(_number(part, kinds[0], where, bounds) for part in value)


def _number(value: Any, kind: Any, where: str, bounds: tuple[float, float]) -> float:
    if kind is float and isinstance(value, str):  # YAML reads 1e-3 as a text
        with contextlib.suppress(ValueError):
            value = float(value)
    number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    if not number or (kind is int and value not in (float("inf"), -float("inf")) and value != int(value)):
        raise InputError(f"{where}: {value!r} is no {'whole ' if kind is int else ''}number")
    low, high = bounds
    if not low <= value <= high:
        raise InputError(f"{where}: {value!r} is not between {low:g} and {high:g}")
    return int(value) if kind is int else float(value)
