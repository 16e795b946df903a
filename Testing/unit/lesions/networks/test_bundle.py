"""Bundles: whole, checked, without pickle, and usable by MONAI's own tools."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from DRAMLesionLib.lesions.networks.bundle import (
    CARD,
    METADATA,
    WEIGHTS,
    list_models,
    load_any_model,
    load_model,
    save_model,
)
from DRAMLesionLib.lesions.networks.description import CRFSettings, ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.system.errors import InputError

SMALL = NetworkDescription((2, 2, 2, 2, 2, 2))
SCHEMA = Path(__file__).parents[2] / "data" / "bundle_metadata_schema.json"


@pytest.fixture(autouse=True)
def shipped_models_alone(monkeypatch):
    """Whatever other tests of this process made known."""
    monkeypatch.delenv("DRAMLESION_MODELS", raising=False)


@pytest.fixture
def bundle(tmp_path) -> Path:
    torch.manual_seed(0)
    description = ModelDescription(spacing_mm=(3, 2, 2), candidate_hu=-700, threshold=0.3, network=SMALL)
    return save_model(
        tmp_path / "small",
        DenseNetwork(SMALL),
        description,
        name="small",
        version="0.0.1",
        card="# small",
        summary="for tests",
        data="nothing",
        licence="MIT",
    )


def test_what_is_saved_is_loaded(bundle):
    torch.manual_seed(0)
    original = DenseNetwork(SMALL).eval()
    model = load_model(bundle)
    assert model.description == ModelDescription(
        spacing_mm=(3, 2, 2), candidate_hu=-700, threshold=0.3, crf=CRFSettings(), network=SMALL
    )
    assert (model.name, model.version) == ("small", "0.0.1") and len(model.checksum) == 64
    image = torch.rand(1, 1, 20, 20, 20)
    with torch.inference_mode():
        torch.testing.assert_close(
            model.network(image), original(image), atol=0.05, rtol=0.05
        )  # half precision
    assert not model.network.training
    assert (bundle / CARD).read_text() == "# small" and (bundle / "LICENSE").read_text() == "MIT\n"


def test_a_bundle_is_replaced_whole_and_no_staging_stays(bundle, tmp_path):
    (bundle / "old.txt").touch()
    save_model(
        bundle,
        DenseNetwork(SMALL),
        ModelDescription(network=SMALL),
        name="n",
        version="0.0.2",
        card="",
        summary="s",
        data="d",
        licence="MIT",
    )
    assert load_model(bundle).version == "0.0.2" and not (bundle / "old.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


class Hostile:
    """Would run a command when unpickled."""

    def __reduce__(self):
        return (open, ("/tmp/dramlesion-pwned", "w"))


@pytest.mark.parametrize("hide", [False, True])
def test_pickled_weights_are_refused_even_with_the_right_checksum(bundle, hide):
    import hashlib

    content = pickle.dumps(Hostile())
    (bundle / WEIGHTS).write_bytes(content)
    if hide:
        metadata = json.loads((bundle / METADATA).read_text())
        metadata["checksum"][WEIGHTS.as_posix()] = hashlib.sha256(content).hexdigest()
        (bundle / METADATA).write_text(json.dumps(metadata))
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(bundle)
    assert not Path("/tmp/dramlesion-pwned").exists()


def test_weights_of_another_size_are_refused(bundle, tmp_path):
    other = NetworkDescription((3, 3, 3, 3, 3, 3))
    metadata = json.loads((bundle / METADATA).read_text())
    metadata["dram"]["network"] = other.to_dict()
    (bundle / METADATA).write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="do not fit"):
        load_model(bundle)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("hu_window", [0, -1000], "hu_window"),
        ("spacing_mm", [0, 1, 1], "spacing_mm"),
        ("threshold", 2, "threshold"),
        ("crf", {"iterations": 0}, "crf.iterations"),
        ("crf", {"sigma": 1}, "crf.sigma"),
        ("margin_mm", float("nan"), "margin_mm"),
    ],
)
def test_a_wrong_description_is_named(bundle, key, value, named):
    metadata = json.loads((bundle / METADATA).read_text())
    metadata["dram"][key] = value
    (bundle / METADATA).write_text(json.dumps(metadata))
    with pytest.raises(InputError) as error:
        load_model(bundle)
    assert named in str(error.value) and "metadata.json" in str(error.value)


def test_models_of_the_environment_are_listed(bundle, monkeypatch):
    monkeypatch.setenv("DRAMLESION_MODELS", str(bundle.parent))
    assert list_models()["small"] == bundle
    assert load_model("small").name == "small"


def test_every_shipped_model_loads_and_is_documented():
    shipped = list_models()
    assert "dram-covid" in shipped
    for name, folder in shipped.items():
        model = load_any_model(folder)
        assert model.name == name
        card = (folder / CARD).read_text()
        for part in ("esearch use only", "Training data", "Limits", "Licence"):
            assert part in card
        assert "CC BY-NC-SA" in (folder / "LICENSE").read_text()
        assert (folder / WEIGHTS).stat().st_size < 8_000_000


def test_monai_verifies_the_metadata_of_each_shipped_model(tmp_path):
    """MONAI downloads its schema unless the file is there; here it holds what the bundle specification asks for."""
    for folder in list_models().values():
        schema = tmp_path / "schema.json"
        shutil.copy(SCHEMA, schema)
        command = [sys.executable, "-m", "monai.bundle", "verify_metadata"]
        arguments = ["--meta_file", str(folder / METADATA), "--filepath", str(schema)]
        done = subprocess.run(command + arguments, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "verified with no error" in done.stderr + done.stdout


def test_the_schema_refuses_metadata_that_lacks_something():
    import jsonschema

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": "1"}, json.loads(SCHEMA.read_text()))


@pytest.mark.slow
def test_monai_runs_a_bundle(bundle, tmp_path):
    from DRAMLesionLib.phantom import make_phantom, save_phantom

    save_phantom(make_phantom((64, 64, 48), (5.4, 5.4, 6.0)), tmp_path / "phantom")
    command = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        "--config_file",
        str(bundle / "configs/inference.json"),
    ]
    arguments = {
        "bundle_root": bundle,
        "image": tmp_path / "phantom" / "ct.nii.gz",
        "lobes": tmp_path / "phantom" / "lobes.nii.gz",
        "output_dir": tmp_path / "out",
        "device": "cpu",
    }
    for key, value in arguments.items():
        command += [f"--{key}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[4])
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "summary.json").is_file()
