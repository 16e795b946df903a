"""Evaluation: measures against numbers worked out by hand and MONAI's, files found by name, errors of one line."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.metrics import compute_dice, compute_iou
from rich.console import Console

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.evaluation.masks import (
    Evaluation,
    evaluate,
    quadratic_kappa,
    score_masks,
    summarize,
)
from DRAMLesionLib.training.evaluation.pairs import find_pairs
from DRAMLesionLib.training.evaluation.table import as_dict, print_evaluation, write_evaluation

SHAPE = (2, 5, 10)


def lobes() -> np.ndarray:
    """Five rows of twenty voxels, lobe by lobe."""
    return np.broadcast_to(np.arange(1, 6, dtype=np.uint8)[None, :, None], SHAPE).copy()


def mask(*counts: int) -> np.ndarray:
    """That many voxels of lesion in each lobe, from its first voxel on."""
    made = np.zeros(SHAPE, np.uint8)
    for lobe, count in enumerate(counts):
        rows = made[:, lobe, :].ravel()
        rows[:count] = 1
        made[:, lobe, :] = rows.reshape(2, 10)
    return made


# --- measures --------------------------------------------------------------------------------------------------------


def test_measures_by_hand():
    # lobes of 20 voxels: 4 and 8 lesion, 8 and 8, none, none, 20 and 15
    score = score_masks(mask(4, 8, 0, 0, 20), mask(8, 8, 0, 0, 15), lobes())
    assert score.iou == pytest.approx((4 + 8 + 15) / (8 + 8 + 20))
    assert score.dice == pytest.approx(2 * 27 / (32 + 31))
    assert score.percent == (20, 40, 0, 0, 100)
    assert score.reference_percent == (40, 40, 0, 0, 75)
    assert score.mae_points == pytest.approx((20 + 25) / 5)
    assert score.scores == (2, 3, 0, 0, 5) and score.reference_scores == (3, 3, 0, 0, 5)
    assert (score.total_score, score.reference_total_score) == (10, 11)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [((0,), (0,), 1), ((3,), (0,), 0), ((0,), (3,), 0), ((3,), (3,), 1)],
)
def test_empty_masks(prediction, reference, expected):
    for where in (lobes(), None):
        score = score_masks(mask(*prediction), mask(*reference), where)
        assert score.iou == score.dice == expected


def test_what_lies_outside_the_lobes_does_not_count():
    inside = lobes()
    inside[:, 0, :] = 0
    score = score_masks(mask(20, 4, 0, 0, 0), mask(0, 8, 0, 0, 0), inside)
    assert score.iou == pytest.approx(0.5)
    assert score.percent == (None, 20, 0, 0, 0)
    assert score.scores == (None, 2, 0, 0, 0)
    assert score.mae_points == pytest.approx(20 / 4)  # the absent lobe is no lobe
    assert score_masks(mask(20, 4, 0, 0, 0), mask(0, 8, 0, 0, 0)).iou == pytest.approx(4 / 28)


def test_without_lobes_there_are_no_percentages():
    score = score_masks(mask(4), mask(8))
    assert score.iou == pytest.approx(0.5)
    assert (score.percent, score.mae_points, score.total_score, score.kappa_lobes) == (None,) * 4
    summary = summarize([score, score], "all")
    assert (summary.mae_points, summary.kappa_lobes, summary.kappa_total) == (None,) * 3


def test_shapes_that_differ():
    with pytest.raises(InputError, match="one grid"):
        score_masks(mask(4), mask(4)[:1])


def test_overlap_is_that_of_monai():
    random = np.random.default_rng(0)
    for _ in range(5):
        one, other = random.random((2, 9, 8, 7)) < random.uniform(0.1, 0.9, (2, 1, 1, 1))
        score = score_masks(one, other, np.ones(one.shape, np.uint8))
        pair = [torch.from_numpy(a)[None, None].float() for a in (one, other)]
        assert score.iou == pytest.approx(compute_iou(*pair).item(), rel=1e-6)
        assert score.dice == pytest.approx(compute_dice(*pair).item(), rel=1e-6)
    empty = torch.zeros(1, 1, 2, 2, 2)
    assert compute_dice(empty, empty, ignore_empty=False).item() == 1  # as here


def test_large_volumes_are_counted_in_slabs(monkeypatch):
    random = np.random.default_rng(1)
    one, other = random.random((2, 9, 4, 5)) < 0.4
    where = random.integers(0, 6, one.shape).astype(np.uint8)
    whole = score_masks(one, other, where)
    monkeypatch.setattr("DRAMLesionLib.training.evaluation.masks._SLAB_VOXELS", 45)
    assert score_masks(one, other, where) == whole


# --- kappa -----------------------------------------------------------------------------------------------------------


def test_kappa_by_hand():
    # pairs (0,0) (1,1) (2,2) (0,2): observed sum of squares 4; expected: margins one (2,1,1), other (1,1,2) of 4,
    # sum of one_i other_j (i-j)^2 / 4 = [0-row: 2 * (1 + 2 * 4) + 1-row: (1 + 2) + 2-row: (4 + 1)] / 4 = 26 / 4
    assert quadratic_kappa([0, 1, 2, 0], [0, 1, 2, 2], 3) == pytest.approx(1 - 4 / 6.5)


def test_kappa_of_a_published_kind():
    """Two raters, two levels: there the weights do not matter, and Cohen's table of 20, 5, 10, 15 gives 0.4."""
    one = [0] * 25 + [1] * 25
    other = [0] * 20 + [1] * 5 + [0] * 10 + [1] * 15
    assert quadratic_kappa(one, other, 2) == pytest.approx(0.4)
    assert quadratic_kappa(one, other, 26) == pytest.approx(0.4)  # levels that nobody gave change nothing


def test_kappa_of_agreement_chance_and_nothing():
    assert quadratic_kappa([0, 3, 5], [0, 3, 5], 6) == 1
    assert quadratic_kappa([0, 5], [5, 0], 6) == -1
    assert quadratic_kappa([2, 2], [1, 3], 6) == 0
    assert quadratic_kappa([2, 2], [2, 2], 6) is None
    assert quadratic_kappa([], [], 6) is None


def test_means_and_pooled_kappas():
    scans = [
        score_masks(mask(4, 8, 0, 0, 20), mask(8, 8, 0, 0, 15), lobes(), name="a", part="training"),
        score_masks(mask(0), mask(0), lobes(), name="b", part="validation"),
    ]
    training, validation, everything = Evaluation(tuple(scans)).summaries
    assert (training.name, validation.name, everything.name) == ("training", "validation", "all")
    assert everything.iou == pytest.approx((27 / 36 + 1) / 2)
    assert everything.mae_points == pytest.approx(4.5)
    assert everything.kappa_lobes == pytest.approx(
        quadratic_kappa([2, 3, 0, 0, 5] + [0] * 5, [3, 3, 0, 0, 5] + [0] * 5, 6)
    )
    assert everything.kappa_total == pytest.approx(quadratic_kappa([10, 0], [11, 0], 26))
    assert validation.kappa_lobes is None and validation.iou == 1
    assert [s.name for s in Evaluation(tuple(scans[:1])).summaries] == ["all"]


# --- files -----------------------------------------------------------------------------------------------------------


def write(path: Path, array: np.ndarray, spacing=(1.0, 1.0, 1.0), flipped: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    if flipped:  # the same voxels, stored from right to left as from left to right
        image = sitk.Flip(image, (True, False, False))
    sitk.WriteImage(image, str(path))
    return path


def test_two_files(tmp_path):
    one = write(tmp_path / "one.nii.gz", mask(4, 8, 0, 0, 20))
    other = write(tmp_path / "other.nrrd", mask(8, 8, 0, 0, 15) * 7)
    (score,) = evaluate(one, other, write(tmp_path / "lobes.mha", lobes())).scans
    assert score.name == "one"
    assert score.iou == pytest.approx(27 / 36) and score.mae_points == pytest.approx(9)


def test_another_axis_order_is_the_same_grid(tmp_path):
    one = write(tmp_path / "one.nii.gz", mask(4, 8, 0, 0, 20))
    turned = write(tmp_path / "turned.nii.gz", mask(4, 8, 0, 0, 20), flipped=True)
    assert evaluate(one, turned).summary.iou == 1


def test_folders_are_matched_by_case(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "ref" / f"{name}_lesion.nii.gz", mask(8))
        write(tmp_path / "ref" / f"{name}_lobes.nii.gz", lobes())
        write(tmp_path / "out" / name / "lesion.nii.gz", mask(4))
        write(tmp_path / "out" / name / "dram.nii.gz", mask(4))
    write(tmp_path / "out" / "extra" / "lesion.nii.gz", mask(4))
    found = evaluate(tmp_path / "out", tmp_path / "ref", tmp_path / "ref")
    assert [scan.name for scan in found.scans] == ["a", "b"]
    assert found.summary.iou == pytest.approx(0.5) and found.summary.mae_points == pytest.approx(4)


def test_masks_may_be_called_just_after_their_cases(tmp_path):
    write(tmp_path / "out" / "a.nii.gz", mask(4))
    write(tmp_path / "ref" / "a.nrrd", mask(8))
    (pair,) = find_pairs(tmp_path / "out", tmp_path / "ref")
    assert (pair.name, pair.prediction.name, pair.reference.name) == ("a", "a.nii.gz", "a.nrrd")


def datalist(folder: Path, **labels: np.ndarray) -> Path:
    rows = []
    for name, label in labels.items():
        write(folder / f"{name}_lobes.nii.gz", lobes())
        write(folder / f"{name}_label.nii.gz", label)
        (folder / f"{name}_ct.nii.gz").touch()
        files = {
            key: f"{name}_{end}.nii.gz"
            for key, end in (("image", "ct"), ("lobes", "lobes"), ("label", "label"))
        }
        rows.append({**files, "percent": [None] * 5})
    path = folder / "list.json"
    path.write_text(json.dumps({"training": rows[:1], "validation": rows[1:]}))
    return path


def test_data_lists_bring_their_lobes_and_parts(tmp_path):
    reference = datalist(tmp_path / "ref", a=mask(8), b=mask(0, 8))
    pseudo = datalist(tmp_path / "pseudo", a=mask(4), b=mask(0, 8))
    found = evaluate(pseudo, reference)
    assert [(scan.name, scan.part, scan.iou) for scan in found.scans] == [
        ("a", "training", 0.5),
        ("b", "validation", 1),
    ]
    assert [summary.name for summary in found.summaries] == ["training", "validation", "all"]
    assert found.summary.mae_points == pytest.approx(2)


def test_all_cases_without_a_mask_are_named(tmp_path):
    reference = datalist(tmp_path / "ref", a=mask(8), b=mask(8), c=mask(8))
    write(tmp_path / "out" / "b_lesion.nii.gz", mask(4))
    with pytest.raises(InputError, match=r"no mask of case a; no mask of case c \(it has b\)"):
        evaluate(tmp_path / "out", reference)
    content = json.loads(reference.read_text())
    del content["validation"][0]["label"]
    reference.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no label of b"):
        evaluate(tmp_path / "out", reference)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"array": mask(4)[:1]}, "prediction has size (10, 5, 1), reference has (10, 5, 2)"),
        ({"spacing": (1, 1, 2.0)}, "prediction has spacing (1, 1, 2) mm, reference has (1, 1, 1) mm"),
        ({"array": mask(4) * np.float32(0.3)}, "fractional values"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, change, named):
    reference = write(tmp_path / "ref.nii.gz", mask(8))
    wrong = write(tmp_path / "wrong.nii.gz", **{"array": mask(4), **change})
    with pytest.raises(InputError) as error:
        evaluate(wrong, reference)
    assert named in str(error.value) and "wrong.nii.gz" in str(error.value) and "\n" not in str(error.value)


def test_lobes_that_do_not_fit(tmp_path):
    one = write(tmp_path / "one.nii.gz", mask(4))
    small = write(tmp_path / "small.nii.gz", lobes()[:1])
    with pytest.raises(InputError, match=r"small\.nii\.gz: lobe mask has size"):
        evaluate(one, one, small)
    write(tmp_path / "out" / "a.nii.gz", mask(4))
    with pytest.raises(InputError, match="give a folder of lobe maps"):
        evaluate(tmp_path / "out", tmp_path / "out", small)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no lobes of case a"):
        evaluate(tmp_path / "out", tmp_path / "out", tmp_path / "none")


def test_what_is_no_pair(tmp_path):
    one = write(tmp_path / "out" / "a.nii.gz", mask(4))
    (tmp_path / "none").mkdir()
    for prediction, reference, named in (
        (one, tmp_path / "absent.nii.gz", "no such file"),
        (one, tmp_path / "out", "is one file"),
        (tmp_path / "none", tmp_path / "out", "no masks in this folder"),
        (tmp_path / "out", tmp_path / "none", "no masks in this folder"),
    ):
        with pytest.raises(InputError, match=named):
            evaluate(prediction, reference)


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def found(tmp_path) -> Evaluation:
    return evaluate(
        datalist(tmp_path / "p", a=mask(4), b=mask(0, 8)), datalist(tmp_path / "r", a=mask(8), b=mask(0, 8))
    )


def test_the_json_has_everything(tmp_path, found):
    write_evaluation(found, tmp_path / "scores.json")
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content == json.loads(json.dumps(as_dict(found)))
    first = content["scans"][0]
    assert (first["name"], first["iou"], first["reference_percent"]) == ("a", 0.5, [40, 0, 0, 0, 0])
    assert [summary["name"] for summary in content["summaries"]] == ["training", "validation", "all"]


def test_the_csv_has_a_row_per_scan_and_summary(tmp_path, found):
    write_evaluation(found, tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "b", "training", "validation", "all"]
    assert (rows[0]["iou"], rows[0]["percent_LUL"], rows[0]["scores_LUL"]) == ("0.5", "20", "2")
    assert (rows[4]["iou"], rows[4]["percent_LUL"], rows[1]["kappa_lobes"]) == ("0.75", "", "1")


def test_another_format_is_refused(tmp_path, found):
    with pytest.raises(InputError, match=r"\.csv or \.json"):
        write_evaluation(found, tmp_path / "scores.xlsx")


def test_the_printed_table_fits_a_terminal(found):
    console = Console(width=80, record=True, file=io.StringIO())
    print_evaluation(found, console)
    text = console.export_text()
    for part in ("IoU", "0.500", "validation, mean of 1", "all, mean of 2", "0.750"):
        assert part in text


@pytest.mark.real
def test_a_threshold_scores_as_documented(covid_ct):
    """Smoothed HU above -600 inside the lobes of case 02: IoU 0.181, as the data set's description says."""
    from scipy import ndimage

    from DRAMLesionLib.images.volume import read_ct, read_on_grid
    from DRAMLesionLib.lungs.read_lobes import read_lobes

    ct = read_ct(covid_ct / "case02_ct.nii.gz")
    labels = read_lobes(covid_ct / "case02_lobes.nii.gz", ct).labels
    bright = (ndimage.gaussian_filter(ct.array.astype(np.float32), 1.5) > -600) & (labels > 0)
    reference = read_on_grid(covid_ct / "case02_lesion.nii.gz", ct)
    score = score_masks(bright, reference, labels)
    assert score.iou == pytest.approx(0.181, abs=0.001)
    assert score.reference_percent == pytest.approx((2.47, 3.92, 7.95, 4.83, 3.73), abs=0.005)
