"""ONNX export: the same numbers as torch at every grid size, and what a stranger needs in the file.

Random voxels, many of them on the steep flank of the candidate prior, amplify rounding: maps agree to 1e-4 there.
"""

import json
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.lesions.networks import attention
from DRAMLesionLib.lesions.networks.bundle import save_model
from DRAMLesionLib.lesions.networks.candidates import dram_and_refined, dram_logits
from DRAMLesionLib.lesions.networks.description import AttentionSettings, ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import build_network
from DRAMLesionLib.lesions.networks.final_description import (
    SegmentationDescription,
    SegmentationNetworkDescription,
)
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.system.errors import InputError

TEXTS = {"name": "small", "version": "1", "card": "", "summary": "", "data": "", "licence": "MIT"}
SIZES = ((33, 40, 27), (48, 32, 50))


def dram_bundle(folder, attention=None):
    torch.manual_seed(0)
    description = ModelDescription(
        candidate_hu=-700, network=NetworkDescription((2,) * 6), attention=attention
    )
    network = build_network(description).eval()
    return save_model(folder, network, description, half=False, **TEXTS), network, description


def test_without_onnx_one_line_says_what_to_install(tmp_path, monkeypatch):
    from DRAMLesionLib.lesions.networks.onnx_export import export_onnx

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'onnx>=1.17' 'onnxscript>=0.5'"):
        export_onnx(None, tmp_path / "m.onnx")


def test_the_dram_network_gives_torchs_map_on_grids_of_any_size(tmp_path):
    pytest.importorskip("onnxscript")
    ort = pytest.importorskip("onnxruntime")
    from DRAMLesionLib.lesions.networks.onnx_export import run_onnx

    folder, network, description = dram_bundle(tmp_path / "small")
    path = tmp_path / "small.onnx"
    done = CliRunner().invoke(app, ["export-onnx", "--model", str(folder), "--out", str(path), "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["difference"] < 1e-4
    for size in SIZES:
        image = np.random.default_rng(1).random(size, np.float32)
        with torch.inference_mode():
            wanted = torch.sigmoid(dram_logits(network, torch.from_numpy(image)[None, None], description))
        found = run_onnx(path, image)["dram"]
        assert found.shape == size and np.ptp(found) > 0.01
        np.testing.assert_allclose(found, wanted[0, 0].numpy(), atol=1e-4)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["dramlesion"])
    assert facts["description"]["candidate_hu"] == -700 and facts["step"] == 16
    assert len(facts["checksum"]) == 64 and "not for diagnosis" in facts["statement"]


def test_the_attention_comes_with_it(tmp_path, monkeypatch):
    """With 4 neighbours in place of 18: the exporter takes a minute for those, and each is the same few operators."""
    monkeypatch.setattr(attention, "OFFSETS", attention.OFFSETS[::5])
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from DRAMLesionLib.lesions.networks.onnx_export import export_onnx, run_onnx

    folder, network, description = dram_bundle(tmp_path / "small", AttentionSettings(channels=3))
    export_onnx(folder, tmp_path / "small.onnx")
    for size in SIZES:
        random = np.random.default_rng(1)
        image, mask = random.random(size, np.float32), random.random(size) < 0.7
        with torch.inference_mode():
            logits, refined = dram_and_refined(
                network, *(torch.from_numpy(a)[None, None] for a in (image, mask)), description
            )
        found = run_onnx(tmp_path / "small.onnx", image, mask.astype(np.float32))
        np.testing.assert_allclose(found["dram"], torch.sigmoid(logits)[0, 0].numpy(), atol=1e-4)
        np.testing.assert_allclose(found["refined"], refined[0, 0].numpy(), atol=1e-4)
    with pytest.raises(InputError, match="give the lobe as mask"):
        run_onnx(tmp_path / "small.onnx", image)


def test_the_final_network_gives_torchs_probability_on_patches_and_batches(tmp_path):
    pytest.importorskip("onnxscript")
    ort = pytest.importorskip("onnxruntime")
    from DRAMLesionLib.lesions.networks.onnx_export import export_onnx

    torch.manual_seed(0)
    description = SegmentationDescription(
        network=SegmentationNetworkDescription((2, 3, 4)), patch=(16, 16, 16)
    )
    network = SegmentationNetwork(description.network).eval()
    folder = save_model(tmp_path / "final", network, description, half=False, **TEXTS)
    done = export_onnx(folder, tmp_path / "final.onnx")
    assert done["kind"] == "segmentation" and done["step"] == 4
    session = ort.InferenceSession(str(tmp_path / "final.onnx"), providers=["CPUExecutionProvider"])
    for size in ((3, 1, 16, 20, 24), (1, 1, 32, 16, 12)):
        image = np.random.default_rng(1).random(size, np.float32)
        with torch.inference_mode():
            wanted = torch.sigmoid(network(torch.from_numpy(image))).numpy()
        np.testing.assert_allclose(session.run(None, {"image": image})[0], wanted, atol=1e-4)


def test_a_file_that_is_no_export_is_named(tmp_path):
    pytest.importorskip("onnxruntime")
    from DRAMLesionLib.lesions.networks.onnx_export import run_onnx

    (tmp_path / "no.onnx").write_bytes(b"text")
    with pytest.raises(InputError, match=r"no\.onnx: can't be read as ONNX"):
        run_onnx(tmp_path / "no.onnx", np.zeros((32, 32, 32), np.float32))
