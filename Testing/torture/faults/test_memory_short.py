"""Too little memory: smaller windows by itself, and where those don't do either one line with a setting that fits."""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from killing import SMALL, needs_fork, train_words

from DRAMLesionLib.case import segment_case
from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.images.volume import read_ct
from DRAMLesionLib.lesions.dram import predict_maps
from DRAMLesionLib.lesions.find import find_lesions
from DRAMLesionLib.lesions.networks.bundle import load_model
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.lesions.networks.final_description import (
    SegmentationDescription,
    SegmentationNetworkDescription,
)
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.lesions.networks.windows import smaller_windows
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.run_models import CaseModels
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.memory import NotEnoughMemory, is_out_of_memory, obtainable_gib, smaller_setting
from DRAMLesionLib.training.recipes.recipe import read_recipe
from DRAMLesionLib.training.smaller_recipe import smaller_recipe

CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
ERRORS = {
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "CPU": RuntimeError(CPU),
    "Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."),
    "oneDNN": RuntimeError("could not create a primitive"),
    "threads": RuntimeError("can't start new thread"),
    "C++": RuntimeError("std::bad_alloc"),
    "ITK": RuntimeError("Failed to allocate memory for image."),
    "numpy": MemoryError("Unable to allocate 7.00 GiB for an array"),
}
errors = pytest.mark.parametrize("error", ERRORS.values(), ids=list(ERRORS))
two = pytest.mark.parametrize("error", [ERRORS["CPU"], ERRORS["numpy"]], ids=["CPU", "numpy"])


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((64, 56, 40), (5.4, 6.0, 7.0), seed=0, severity=(12.0, 25.0, 8.0, 0.0, 30.0))


def limited(network: torch.nn.Module, most: int, error: BaseException) -> Callable[[], list[int]]:
    """Let a network fail for more than ``most`` voxels; gives the numbers that it was asked for."""
    seen: list[int] = []

    def check(_module, inputs):
        seen.append(inputs[0][0].numel())
        if seen[-1] > most:
            raise error

    network.register_forward_pre_hook(check)
    return lambda: seen


@errors
def test_every_library_is_understood(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape mismatch"),
        RuntimeError("could not create a primitive descriptor"),
        ValueError("out of memory"),
        OSError(28, "x"),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


def test_windows_get_smaller_to_the_end():
    assert list(smaller_windows((64, 64, 64), 16)) == [(32, 64, 64), (32, 32, 64), (32, 32, 32)]
    assert next(iter(smaller_windows((200, 33, 90), 16))) == (112, 33, 90)
    assert list(smaller_windows((30, 20, 10), 16)) == []


@two
def test_the_dram_falls_back_to_windows_of_a_lobe(phantom, error):
    torch.manual_seed(0)
    network = DenseNetwork(SMALL).eval()
    description = ModelDescription(spacing_mm=(5, 5, 5), network=SMALL)
    given = (phantom.ct.array, phantom.lobes.labels, phantom.ct.spacing_mm)
    whole = predict_maps(network, description, *given).dram
    seen = limited(network.unet.conv_0, 33000, error)
    notes: list[str] = []
    found = predict_maps(network, description, *given, notes=notes).dram
    assert min(seen()) <= 33000 < max(seen())
    assert len(notes) == 1 and "windows of" in notes[0]
    inside = phantom.lobes.labels > 0
    assert (found[~inside] == 0).all() and (found[inside] > 0).any()
    assert np.corrcoef(whole[inside], found[inside])[0, 1] > 0.8  # random weights


@two
def test_the_final_network_falls_back_to_smaller_patches(phantom, error):
    torch.manual_seed(0)
    small = SegmentationNetworkDescription((2, 2, 2))
    description = SegmentationDescription(spacing_mm=(6, 6, 6), patch=(32, 32, 32), network=small)
    network = SegmentationNetwork(small).eval()
    seen = limited(network, 16 * 32 * 32, error)
    notes: list[str] = []
    found = predict_lesion(
        network, description, phantom.ct.array, phantom.lobes.labels, phantom.ct.spacing_mm, notes=notes
    )
    assert found.max() > 0 and min(seen()) == 16 * 32 * 32
    assert notes == [
        "memory was short: a network saw the lungs in windows of 16 x 32 x 32 voxels: the map may differ a little at "
        "their borders"
    ]


def test_another_error_of_a_network_is_not_tried_again(phantom):
    network = DenseNetwork(SMALL).eval()
    seen = limited(network.unet.conv_0, 0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        predict_maps(
            network,
            ModelDescription(spacing_mm=(4, 4, 4), network=SMALL),
            phantom.ct.array,
            phantom.lobes.labels,
            phantom.ct.spacing_mm,
        )
    assert len(seen()) == 1


def test_windows_are_told_to_the_reader_of_the_results(phantom, models):
    model = load_model(models / "a")
    limited(model.network.unet.conv_0, 33000, ERRORS["CPU"])
    finer = replace(model, description=replace(model.description, spacing_mm=(5.0, 5.0, 5.0)))
    findings = find_lesions(phantom.ct, CaseModels(finer), Options(crf=False))
    assert any("memory was short" in warning for warning in findings.record["warnings"])


@errors
def test_where_nothing_helps_one_line_says_what_would_fit(phantoms, models, tmp_path, monkeypatch, error):
    def fail(*_arguments, **_named):
        raise error

    monkeypatch.setattr("DRAMLesionLib.lesions.find.find_lesions", fail)
    monkeypatch.setattr("DRAMLesionLib.system.memory.obtainable_gib", lambda: 0.9)
    path = phantoms / "0" / "ct.nii.gz"
    with pytest.raises(NotEnoughMemory) as caught:
        segment_case(path, tmp_path / "out", model=models / "a", device="cpu")
    line = str(caught.value)
    assert isinstance(caught.value, InputError) and "\n" not in line and not (tmp_path / "out").exists()
    assert line.startswith(f"{path}: not enough memory: a CT of 64 x 56 x 40 voxels needs about 1.")


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (8.0, "close other programs, or resample it to slices of 2 mm"),
        (1.5, "1.5 GiB are to be had: resample it to slices of 3 mm, which fits"),
        (0.5, "use a computer with more memory"),
        (None, "resample it to slices of 2 mm"),
    ],
)
def test_the_smaller_setting_fits(monkeypatch, here, said):
    monkeypatch.setattr("DRAMLesionLib.system.memory.obtainable_gib", lambda: here)
    assert said in smaller_setting((300, 512, 512), (1.0, 0.7, 0.7)), smaller_setting(
        (300, 512, 512), (1, 1, 1)
    )


def test_a_gpu_points_to_the_cpu():
    assert "--device cpu" in smaller_setting((300, 512, 512), (1.0, 0.7, 0.7), "cuda:0")


@errors
def test_any_command_says_it_in_one_line(error, capsys):
    import typer

    with pytest.raises(typer.Exit), Reporter(as_json=False, debug=False):
        raise error
    said = capsys.readouterr().err
    assert said.startswith("Error: not enough memory: ") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [("dram", "model.spacing_mm to [3.12, 3.12, 3.12]"), ("final", "model.patch to [32, 64, 64]")],
)
def test_a_training_names_the_key_to_change(name, said, request):
    recipe = read_recipe(name)
    assert said in smaller_recipe(recipe)


@needs_fork
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")
@pytest.mark.torture
@pytest.mark.parametrize(
    ("name", "mib"),
    [
        *(("segment", mib) for mib in (10, 30, 50, 70, 90, 120, 200, 400)),
        # With less, threads fail to start in the C library, which then ends the process.
        *(("train", mib) for mib in (90, 120, 150, 200, 300)),
    ],
)
def test_a_process_that_gets_no_more(nursery, phantoms, models, training, tmp_path, name, mib):
    """Whatever memory there is, the command ends well or in one line."""
    ct = phantoms / "0" / "ct.nii.gz"
    segment = ["segment", str(ct), "--model", str(models / "a"), "--no-scene", "--device", "cpu"]
    words = segment if name == "segment" else train_words(training, tmp_path / "out")
    words = [*words, "--out", str(tmp_path / "out"), "--json"]  # without the thread that moves the bars
    done = nursery.run("starve", {"words": words, "mib": mib}, tmp_path)
    errors = [line for line in done.said.splitlines() if line.startswith("Error: ")]
    assert done.code == 0 or (done.code == 2 and len(errors) == 1 and "memory" in errors[0]), done.said
    assert done.code == 0 or not (tmp_path / "out").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks as Linux does")
def test_what_can_be_had_is_at_least_what_is_free():
    from DRAMLesionLib.system.memory import free_memory_gib

    free, here = free_memory_gib(), obtainable_gib()
    assert free is not None and here is not None and 0 < here < free + 64
    assert read_ct  # the reader is loaded: what it takes counts as this process's
