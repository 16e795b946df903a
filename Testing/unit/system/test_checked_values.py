"""Settings are checked against the dataclass that declares them; a wrong one is named."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from DRAMLesionLib.system.checked_values import json_values, read_settings
from DRAMLesionLib.system.errors import InputError


@dataclass(frozen=True)
class Inner:
    width: int = 3

    @classmethod
    def from_dict(cls, values, where):
        return read_settings(cls, values, where)


@dataclass(frozen=True)
class Outer:
    size: tuple[float, float] = (1.0, 2.0)
    layers: tuple[int, ...] = (8,)
    share: float = 0.5
    name: str | None = None
    rule: Literal["mean", "max"] = "mean"
    fast: bool = False
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None


def test_values_get_their_declared_types():
    values = {
        "size": [3, "1e-3"],
        "layers": [4.0, 2],
        "share": 1,
        "rule": "max",
        "inner": {"width": 5},
        "maybe": {},
    }
    read = read_settings(Outer, values, "here")
    assert read == Outer((3.0, 0.001), (4, 2), 1.0, None, "max", False, Inner(5), Inner())
    assert isinstance(read.size[0], float) and isinstance(read.layers[0], int)
    assert read_settings(Outer, {"name": None, "maybe": None}, "here") == Outer()


def test_json_values_are_read_back():
    made = Outer((3.0, 0.5), (4, 2), maybe=Inner(2))
    values = json_values(made)
    assert values["layers"] == [4, 2] and values["maybe"] == {"width": 2}
    assert read_settings(Outer, values, "here") == made


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1], "here: [1] is no table of settings: use size, layers"),
        ({"colour": 1}, "here.colour: unknown key: use one of size"),
        ({"size": [1]}, "here.size: [1] is not 2 numbers"),
        ({"size": 1}, "here.size: 1 is not 2 numbers"),
        ({"size": [1, True]}, "here.size: True is no number"),
        ({"size": [1, float("nan")]}, "here.size: nan is no number"),
        ({"size": [1, 11]}, "here.size: 11 is not between 0 and 10"),
        ({"layers": []}, "here.layers: [] is not some numbers"),
        ({"layers": [1.5]}, "here.layers: 1.5 is no whole number"),
        ({"share": float("inf")}, "here.share: inf is not between 0 and 1e+09"),
        ({"share": None}, "here.share: None is no number"),
        ({"name": ""}, "here.name: '' is no text"),
        ({"rule": "sum"}, "here.rule: 'sum' is unknown: use one of mean, max"),
        ({"fast": 1}, "here.fast: 1 is not true or false"),
        ({"inner": {"width": -1}}, "here.inner.width: -1 is not between"),
        ({"inner": None}, "here.inner: None is no table of settings"),
        ({"maybe": 3}, "here.maybe: 3 is no table of settings"),
    ],
)
def test_what_is_wrong_is_named(values, said):
    with pytest.raises(InputError) as error:
        read_settings(Outer, values, "here", {"size": (0, 10)})
    assert said in str(error.value)
