"""Pseudo labels for a data list: what is known of a lobe decides, what a person drew stays, and a stopped run goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import DRAMLesionLib.training.data.pseudo_labels as folder_module
from DRAMLesionLib.lesions.networks.bundle import save_model
from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Cancelled
from DRAMLesionLib.training.data.datalist import read_datalist
from DRAMLesionLib.training.data.pseudo_label import pseudo_label, smooth_inside
from DRAMLesionLib.training.data.pseudo_labels import PROVENANCE, PseudoLabelSettings, write_pseudo_labels

NETWORK = NetworkDescription((2, 2, 2, 2, 2, 2))
PLAIN = PseudoLabelSettings(crf=False)


def lobes() -> np.ndarray:
    return np.repeat(np.arange(6, dtype=np.uint8), 100).reshape(6, 10, 10)


def test_a_score_bounds_what_the_threshold_gives():
    lesion_map = np.tile(np.linspace(0, 1, 100, dtype=np.float32).reshape(1, 10, 10), (6, 1, 1))
    bounds = [(0, 100), (1, 5), (75, 100), (25, 75), None]
    label = pseudo_label(lesion_map, lobes(), bounds=bounds)  # at 0.5 it is half of each lobe
    assert label.reshape(6, -1).sum(1).tolist() == [0, 50, 5, 75, 50, 50]
    assert lesion_map[3][label[3] > 0].min() > lesion_map[3][label[3] == 0].max()
    assert not pseudo_label(lesion_map, lobes(), [0.0] * 5, bounds=bounds).any()


@pytest.mark.parametrize("bounds", [[(0, 1)], [(5, 1)] + [None] * 4, [(0, 101)] + [None] * 4])
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(InputError, match="bounds"):
        pseudo_label(np.zeros((6, 10, 10), np.float32), lobes(), bounds=bounds)


def test_smoothing_stays_inside_and_keeps_a_flat_map():
    mask = np.zeros((12, 14, 16), bool)
    mask[2:9, 3:11, 4:12] = True
    flat = np.where(mask, np.float32(0.4), np.float32(0.9))
    smooth = smooth_inside(flat, mask, (2.0, 1.0, 1.0), 3.0)
    np.testing.assert_allclose(smooth[mask], 0.4, rtol=1e-4)
    assert smooth.dtype == np.float32 and not smooth[~mask].any()
    point = np.zeros((17, 29, 29), np.float32)
    point[8, 14, 14] = 1
    spread = smooth_inside(point, np.ones(point.shape, bool), (2.0, 1.0, 1.0), 2.0)
    # Voxels are twice as long along z: one there is as far as two along y.
    assert spread[9, 14, 14] == pytest.approx(spread[8, 16, 14], rel=0.01)
    assert spread[8, 16, 14] / spread[8, 14, 14] == pytest.approx(np.exp(-0.5), rel=0.01)
    np.testing.assert_array_equal(smooth_inside(point, point >= 0, (2.0, 1.0, 1.0), 0), point)


@pytest.fixture
def data(tmp_path) -> Path:
    """Scans of two lobes with noise for a CT, in folders whose CTs have the same name; the labels each row has differ."""
    labels = np.zeros((20, 24, 24), np.uint8)
    labels[2:18, 3:21, 13:22], labels[2:18, 3:21, 2:11] = 1, 3
    edits = np.zeros(labels.shape, np.uint8)
    edits[4:6, 5:8, 4:6], edits[10:13, 10:12, 4:8] = 1, 2
    edits[0, 0, 0] = 1  # outside the lobes
    random = np.random.default_rng(0)
    arrays = {"lobes": labels, "edits": edits, "label": (labels == 3).astype(np.uint8)}
    for name in "abcd":
        hu = np.where(labels > 0, random.integers(-950, -300, labels.shape), 40).astype(np.int16)
        (tmp_path / name).mkdir()
        for key, array in {"ct": hu, **arrays}.items():
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((2.0, 2.0, 2.0))
            sitk.WriteImage(image, str(tmp_path / name / f"{key}.nii.gz"))
    weak = [
        {"percent": [20, None, 0, None, None]},
        {"score": [2, None, 0, None, 3]},
        {"percent": [10, None, 10, None, None], "edits": "c/edits.nii.gz"},
        {"percent": [10, None, 10, None, None], "label": "d/label.nii.gz", "edits": "d/edits.nii.gz"},
    ]
    rows = [
        {"image": f"{name}/ct.nii.gz", "lobes": f"{name}/lobes.nii.gz", **known}
        for name, known in zip("abcd", weak, strict=True)
    ]
    (tmp_path / "list.json").write_text(json.dumps({"training": rows, "validation": rows[:1]}))
    return tmp_path / "list.json"


@pytest.fixture
def model(tmp_path) -> Path:
    torch.manual_seed(1)
    description = ModelDescription(spacing_mm=(4, 4, 4), threshold=0.1, network=NETWORK)
    texts = {"card": "", "summary": "s", "data": "d", "licence": "MIT"}
    return save_model(
        tmp_path / "m", DenseNetwork(NETWORK), description, name="tiny", version="0.0.1", **texts
    )


def read(path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def share(mask: np.ndarray, where: np.ndarray) -> float:
    return 100 * float(mask[where].mean())


def test_labels_obey_what_is_known_and_what_was_painted(data, model, tmp_path):
    made = write_pseudo_labels(data, model, tmp_path / "out", PLAIN, device="cpu")
    scans = read_datalist(made)
    assert [scan.label.name for scan in scans.training] == [
        *(f"{name}_pseudo.nii.gz" for name in "abc"),
        "label.nii.gz",
    ]
    labels = read(data.parent / "a" / "lobes.nii.gz")
    a, b, c = (read(scan.label) for scan in scans.training[:3])
    assert share(a, labels == 1) == pytest.approx(20, abs=0.1) and not a[labels == 3].any()
    assert 5 <= share(b, labels == 1) <= 25 and not b[labels == 3].any()
    edits = read(data.parent / "c" / "edits.nii.gz")
    assert c[(edits == 1) & (labels > 0)].all() and not c[edits == 2].any()
    assert share(c, labels == 1) > 9 and not c[labels == 0].any()
    # The accepted label is the file that the list had; edits, weak labels and the validation rows come along.
    assert scans.training[3].label.samefile(data.parent / "d" / "label.nii.gz")
    assert scans.training[3].edits.samefile(data.parent / "d" / "edits.nii.gz")
    assert scans.training[1].score == (2, None, 0, None, 3)
    assert scans.validation[0].label is None and scans.validation[0].percent[0] == 20


def test_the_provenance_says_how_each_label_was_made(data, model, tmp_path):
    settings = PseudoLabelSettings("otsu", crf=True, smooth_mm=2.0)
    write_pseudo_labels(data, model, tmp_path / "out", settings, device="cpu")
    told = json.loads((tmp_path / "out" / PROVENANCE).read_text())
    assert told["model"]["name"] == "tiny" and len(told["model"]["checksum"]) == 64
    assert told["settings"] == {
        "rule": "otsu",
        "crf": True,
        "smooth_mm": 2.0,
        "dram_share": None,
        "threshold": 0.1,
    }
    assert "torch" in told["versions"]
    kinds = [told["scans"][name]["label"] for name in "abcd"]
    assert kinds == ["guessed", "guessed", "guessed, with painted voxels", "given"]
    for name in "abc":
        facts = told["scans"][name]
        labels, label = (
            read(data.parent / name / "lobes.nii.gz"),
            read(tmp_path / "out" / f"{name}_pseudo.nii.gz"),
        )
        expected = [
            share(label, labels == value) if (labels == value).any() else None for value in range(1, 6)
        ]
        assert facts["percent_label"] == pytest.approx(expected, abs=1e-3)
        assert facts["percent_map"][0] is not None and facts["percent_map"][1] is None
    assert told["scans"]["c"]["painted_voxels"] == {"lesion": 13, "not_lesion": 24}


def test_a_stopped_run_goes_on_and_repeats_only_what_changed(data, model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    guessed: list[str] = []
    stops = [Cancelled()]
    real = folder_module.guess_label

    def watched(ct, lobes, scan, *rest, **named):
        if scan.name == "c" and stops:
            raise stops.pop()
        guessed.append(scan.name)
        return real(ct, lobes, scan, *rest, **named)

    monkeypatch.setattr(folder_module, "guess_label", watched)
    with pytest.raises(Cancelled):
        write_pseudo_labels(data, model, out, PLAIN, device="cpu")
    assert not (out / "datalist.json").exists() and (out / "b_pseudo.nii.gz").exists()
    write_pseudo_labels(data, model, out, PLAIN, resume=True, device="cpu")
    assert guessed == ["a", "b", "c"]
    whole = read(out / "a_pseudo.nii.gz")

    guessed.clear()
    (out / "a_pseudo.nii.gz").write_bytes(b"cut off")
    content = json.loads(data.read_text())
    content["training"][1]["score"][0] = 3
    data.write_text(json.dumps(content))
    write_pseudo_labels(data, model, out, PLAIN, resume=True, device="cpu")
    assert guessed == ["a", "b"]
    np.testing.assert_array_equal(read(out / "a_pseudo.nii.gz"), whole)

    guessed.clear()
    write_pseudo_labels(data, model, out, PseudoLabelSettings("fixed", crf=False), resume=True, device="cpu")
    assert guessed == ["a", "b", "c"]


def test_scans_of_one_name_get_files_of_their_own(data, model, tmp_path):
    content = json.loads(data.read_text())
    content["training"] = [content["training"][0], content["training"][0]]
    data.write_text(json.dumps(content))
    scans = read_datalist(write_pseudo_labels(data, model, tmp_path / "out", PLAIN, device="cpu"))
    assert [scan.label.name for scan in scans.training] == ["a_pseudo.nii.gz", "a_2_pseudo.nii.gz"]


def test_a_folder_does_not_label_its_own_list(data, model, tmp_path):
    made = write_pseudo_labels(data, model, tmp_path / "out", PLAIN, device="cpu")
    with pytest.raises(InputError, match="another folder"):
        write_pseudo_labels(made, model, tmp_path / "out", PLAIN, device="cpu")
    assert made.is_file()


def test_the_guess_is_cut_from_the_map_that_the_crf_has_refined(data, model):
    from DRAMLesionLib.images.volume import read_ct, read_on_grid
    from DRAMLesionLib.lesions.dram import predict_dram
    from DRAMLesionLib.lesions.networks.bundle import load_model
    from DRAMLesionLib.lesions.refined_dram import refine_dram
    from DRAMLesionLib.lesions.run_models import CaseModels

    scan, loaded = read_datalist(data).training[0], load_model(model)
    ct = read_ct(scan.image)
    labels = read_on_grid(scan.lobes, ct, "lobes")
    wanted = loaded.description
    dram = predict_dram(loaded.network, wanted, ct.array, labels, ct.spacing_mm)
    refined = refine_dram(dram, ct.array, ct.spacing_mm, labels, wanted)
    assert np.abs(refined - dram).max() > 0.01
    for crf, source in ((True, refined), (False, dram)):
        settings = PseudoLabelSettings(crf=crf, smooth_mm=2.0)
        label, cut_from = folder_module.guess_label(ct, labels, scan, CaseModels(loaded), settings)
        smooth = smooth_inside(source, labels > 0, ct.spacing_mm, 2.0)
        np.testing.assert_array_equal(cut_from, smooth)
        np.testing.assert_array_equal(
            label, pseudo_label(smooth, labels, [20, None, 0, None, None], rule=settings.rule, threshold=0.1)
        )
