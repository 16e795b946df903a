"""What a command tells of its inputs and its surroundings: classes, models that are damaged, packages that can't load."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.commands import doctor
from DRAMLesionLib.lesions.networks import bundle


def write(path, array):
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return path


@pytest.fixture
def classes(tmp_path):
    """Left lung 1, right lung 2, lesion 3, as several data sets have it."""
    array = np.zeros((6, 8, 8), np.uint8)
    array[:, :, :3], array[:, :, 5:], array[2:4, 2:4, 1:3] = 1, 2, 3
    return array


@pytest.mark.parametrize(
    ("prediction", "reference", "told"),
    [
        (lambda a: a, lambda a: a == 3, ["has 3 classes (1, 2, 3)"]),
        (lambda a: a == 3, lambda a: a, ["has 3 classes (1, 2, 3)"]),
        (lambda a: np.where(a == 3, 2, a > 0), lambda a: a == 3, ["has 2 classes (1, 2)"]),
        (lambda a: (a == 3) * 255, lambda a: a == 3, []),
        (lambda a: (a == 3) * np.float32(0.99999), lambda a: a == 3, []),
    ],
)
def test_evaluate_tells_of_masks_with_classes(run, tmp_path, classes, prediction, reference, told):
    kinds = [np.asarray(make(classes)) for make in (prediction, reference)]
    paths = [
        write(tmp_path / name, kind if kind.dtype.kind == "f" else kind.astype(np.uint8))
        for name, kind in zip(("a.nii.gz", "b.nii.gz"), kinds, strict=True)
    ]
    done = run("evaluate", *paths, "--json")
    assert done.code == 0, done.err
    notes = done.events[-1]["scans"][0]["notes"]
    assert len(notes) == len(told) and all(text in note for text, note in zip(told, notes, strict=True))
    shown = run("evaluate", *paths).out
    assert ("all of which count as lesion" in " ".join(shown.split())) == bool(told)


def damaged(folder, how):
    weights = next(folder.rglob("*.safetensors"))
    metadata = next(folder.rglob("metadata.json"))
    if how == "weights cut off":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "weights changed":
        content = bytearray(weights.read_bytes())
        content[-5] ^= 1
        weights.write_bytes(content)
    elif how == "no weights":
        weights.unlink()
    elif how == "metadata cut off":
        metadata.write_text(metadata.read_text()[:40])
    else:
        metadata.write_text(json.dumps({"version": 3}))


@pytest.mark.parametrize(
    "how", ["weights cut off", "weights changed", "no weights", "metadata cut off", "other metadata"]
)
def test_doctor_ends_with_2_for_a_damaged_model_and_shows_the_rest(run, tmp_path, monkeypatch, how):
    models = bundle.list_models()
    copies = {name: tmp_path / name for name in models}
    for name, folder in copies.items():
        shutil.copytree(models[name], folder)
    damaged(copies["dram-covid"], how)
    monkeypatch.setattr(bundle, "list_models", lambda: copies)
    done = run("doctor", "--json")
    result = done.events[-1]
    assert done.code == 2
    assert len(result["problems"]) == 1 and "dram-covid" in result["problems"][0]
    assert "segmentation-covid" in result["models"] and "cpu" in result["devices"]
    shown = run("doctor")
    assert shown.code == 2 and "Problem:" in shown.out and "segmentation-covid" in shown.out


@pytest.mark.parametrize(
    ("package", "error"),
    [
        ("torch", OSError("libcudart.so.12: cannot open shared object file")),
        ("torch", ImportError("DLL load failed while importing _C")),
        ("monai", RuntimeError("operator torchvision::nms does not exist")),
        ("SimpleITK", AttributeError("module 'numpy' has no attribute 'bool8'")),
    ],
)
def test_doctor_shows_its_table_where_a_package_can_not_be_loaded(run, monkeypatch, package, error):
    real = doctor.import_module

    def load(name):
        if name == package:
            raise error
        return real(name)

    monkeypatch.setattr(doctor, "import_module", load)
    done = run("doctor")
    assert done.code == 2 and "fault of the program" not in done.out + done.err
    said = " ".join(done.out.split())
    assert f"{package} is installed and can't be loaded: {error}" in said
    assert f"pip install --force-reinstall '{package}>=" in said
    assert run("doctor", "--json").events[-1]["packages"][package]
