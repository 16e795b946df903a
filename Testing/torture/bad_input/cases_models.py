"""Models that are damaged, on purpose or not, or asked for in a wrong way."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Job, Table
from world import World

TABLE = Table("models")


def _model(name: str, damage: Callable[[Path], object], *words: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        shutil.copytree(world.model, folder / "tiny")
        damage(folder / "tiny")
        run = world.segment(world.ct_path, folder / "out", lobes=True)
        run = tuple(folder / "tiny" if word == world.model else word for word in run)
        return Job(run, words)

    TABLE.add(name, make, short)


_META, _WEIGHTS = "configs/metadata.json", "models/model.safetensors"


def _text(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / _META).write_text(text)


def _changed(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = json.loads((folder / _META).read_text())
        for key, value in changes.items():
            place = content if key in content else content["dram"]
            place[key] = value
        (folder / _META).write_text(json.dumps(content))

    return change


def _weights(make_state: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        save_file(make_state(load_file(folder / _WEIGHTS)), folder / _WEIGHTS)
        _sign(folder)

    return change


def _bytes(content: bytes) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / _WEIGHTS).write_bytes(content)
        _sign(folder)

    return change


def _sign(folder: Path) -> None:
    """Put the right checksum into the metadata: who damages on purpose does so, too."""
    import hashlib

    content = json.loads((folder / _META).read_text())
    content["checksum"] = {_WEIGHTS: hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()}
    (folder / _META).write_text(json.dumps(content))


def _pickle(folder: Path) -> None:
    import torch

    torch.save({"state": 1}, folder / _WEIGHTS)
    _sign(folder)


def _first(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def make(state: dict[str, Any]) -> dict[str, Any]:
        key = next(iter(state))
        return {**state, key: change(state[key]).contiguous()}

    return make


_model("metadata empty", _text(""), "metadata.json", short=True)
_model("metadata a list", _text("[]"), "metadata.json")
_model("metadata null", _text("null"), "metadata.json")
_model("metadata cut off", _text('{"dram": {'), "metadata.json")
_model("metadata nested 100000 deep", _text("[" * 100000), "metadata.json", short=True)
_model("metadata Latin-1", lambda f: (f / _META).write_bytes(b'{"name": "\xfc"}'), "metadata.json")
_model("metadata a folder", lambda f: ((f / _META).unlink(), (f / _META).mkdir()), "tiny")
_model("no kind", lambda f: (f / _META).write_text('{"checksum": {}}'), "metadata.json")
_model(
    "two kinds",
    lambda f: (f / _META).write_text('{"dram": {}, "segmentation": {}}'),
    "metadata.json",
)
_model("description null", _changed(dram=None), "dram")
_model("description a number", _changed(dram=5), "dram")
_model("description with an unknown key", _changed(dram={"magic": 1}), "magic")
_model("spacing of zero", _changed(spacing_mm=[0, 0, 0]), "spacing_mm")
_model("spacing a word", _changed(spacing_mm="fine"), "spacing_mm")
_model("network a number", _changed(network=5), "network")
_model("network's features a text", _changed(network={"features": "all"}), "features")
_model("network's features too large", _changed(network={"features": [10**9] * 6}), "features")
_model(
    "network of another size", _changed(network={"features": [4, 2, 4, 4, 4, 2]}), "model.safetensors", "fit"
)
_model("threshold NaN", _changed(threshold=float("nan")), "threshold")
_model("checksum missing", _changed(checksum={}), "model.safetensors", "SHA-256")
_model("checksum a list", _changed(checksum=[1]), "metadata.json")
_model("checksum a number", _changed(checksum={_WEIGHTS: 5}), "SHA-256")
_model("no weights", lambda f: (f / _WEIGHTS).unlink(), "model.safetensors")
_model(
    "weights a folder",
    lambda f: ((f / _WEIGHTS).unlink(), (f / _WEIGHTS).mkdir()),
    "model.safetensors",
)
_model(
    "weights cut off",
    lambda f: (f / _WEIGHTS).write_bytes((f / _WEIGHTS).read_bytes()[:-10]),
    "SHA-256",
)
_model(
    "weights cut off, signed",
    lambda f: _bytes((f / _WEIGHTS).read_bytes()[:-10])(f),
    "model.safetensors",
    short=True,
)
_model("weights empty, signed", _bytes(b""), "model.safetensors")
_model("weights text, signed", _bytes(b"I am a network" * 50), "model.safetensors")
_model(
    "weights with a header of 10^18 bytes, signed",
    _bytes(b"\0\0\x64\xa7\xb3\xb6\xe0\x0d" + b"{}"),
    "model.safetensors",
)
_model("weights pickled, signed", _pickle, "model.safetensors", short=True)
_model("weights NaN", _weights(_first(lambda t: t * float("nan"))), "not finite")
_model(
    "weights infinite in half precision",
    _weights(_first(lambda t: t.float() * 0 + float("inf"))),
    "not finite",
)
_model("a tensor of another shape", _weights(_first(lambda t: t.flatten()[:1])), "fit")
_model("a tensor missing", _weights(lambda s: dict(list(s.items())[1:])), "fit")
_model("a tensor too many", _weights(lambda s: {**s, "more": next(iter(s.values())).clone()}), "fit")


@TABLE.case("a file in place of a model")
def _(world: World, folder: Path) -> Job:
    return Job(
        ("segment", world.ct_path, "--model", world.ct_path, "--out", folder / "out"),
        ("ct.nii.gz", "no such model"),
    )


@TABLE.case("a name with dots and slashes")
def _(world: World, folder: Path) -> Job:
    return Job(("segment", world.ct_path, "--model", "../../etc", "--out", folder / "out"), ("../../etc",))


@TABLE.case("a dRAM model where a final network is asked for")
def _(world: World, folder: Path) -> Job:
    return Job(
        (*world.segment(world.ct_path, folder / "out"), "--method", "final"), ("tiny", "segmentation model")
    )


@TABLE.case("an unknown method")
def _(world: World, folder: Path) -> Job:
    return Job((*world.segment(world.ct_path, folder / "out"), "--method", "magic"), ("magic",))


@TABLE.case("an unknown device")
def _(world: World, folder: Path) -> Job:
    return Job((*world.segment(world.ct_path, folder / "out")[:-2], "--no-crf", "--device", "tpu"), ("tpu",))
