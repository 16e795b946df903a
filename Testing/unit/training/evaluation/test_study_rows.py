"""What a study trains on, scores and keeps; nothing is trained here."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from DRAMLesionLib.images.volume import read_ct, read_on_grid, write_volume
from DRAMLesionLib.lesions.mask import segment_lesion
from DRAMLesionLib.lesions.networks.bundle import WEIGHTS
from DRAMLesionLib.phantom import make_phantom, save_phantom
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.datalist import read_datalist
from DRAMLesionLib.training.engine import state_folder
from DRAMLesionLib.training.evaluation import study as study_module
from DRAMLesionLib.training.evaluation import study_picture
from DRAMLesionLib.training.evaluation.masks import ScanScore, score_masks
from DRAMLesionLib.training.evaluation.study import Run, load_scans, run_study
from DRAMLesionLib.training.evaluation.study_masks import threshold_map
from DRAMLesionLib.training.evaluation.study_recipe import Study, StudyRow, read_study
from DRAMLesionLib.training.evaluation.study_table import CSV_COLUMNS, study_markdown, write_study_table
from DRAMLesionLib.training.run_log import LOG

THRESHOLD = Study((StudyRow("plain threshold", "threshold"),), (4, 5))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two phantoms; the experts' masks hold voxels outside the lobes, too."""
    folder = tmp_path_factory.mktemp("study")
    rows = []
    for seed in (0, 1):
        made = make_phantom((48, 48, 40), (7.2, 7.2, 7.2), seed=seed)
        save_phantom(made, folder / str(seed))
        expert = made.lesion.copy()
        expert[:4][made.lobes.labels[:4] == 0] = 1
        write_volume(expert, made.ct, folder / str(seed) / "expert.nii.gz")
        write_volume(made.lesion, made.ct, folder / str(seed) / "edits.nii.gz")
        files = {"image": "ct", "lobes": "lobes", "label": "expert", "edits": "edits"}
        row = {key: f"{seed}/{name}.nii.gz" for key, name in files.items()}
        rows.append({**row, "percent": list(made.percent)})
    (folder / "list.json").write_text(json.dumps({"training": rows[:1], "validation": rows[1:]}))
    return folder / "list.json"


@pytest.fixture(scope="module")
def ran(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, run_study(THRESHOLD, data, out, device="cpu")


def test_the_weak_list_has_neither_masks_nor_edits_and_the_experts_has_both(ran):
    out, _ = ran
    for name, has in (("weak.json", False), ("expert.json", True)):
        scans = read_datalist(out / name)
        assert len(scans.training) == len(scans.validation) == 1
        for scan in (*scans.training, *scans.validation):
            assert (scan.label is not None) == has and (scan.edits is not None) == has
            assert all(value is not None for value in scan.percent)


def test_masks_are_cut_without_speckle_and_scored_inside_the_lobes(data, tmp_path, monkeypatch):
    """What is called speckle here is all that lies in the left upper lobe."""

    def take_off(lesion_map, labels, threshold, spacing_mm):
        assert threshold == 0.5 and spacing_mm == pytest.approx((7.2, 7.2, 7.2))
        lesion_map[labels == 1] = 0

    monkeypatch.setattr(study_module, "take_speckle_off", take_off)
    (run,) = run_study(THRESHOLD, data, tmp_path, device="cpu")  # a threshold has no seeds
    assert (run.seed, run.minutes) == (4, None)
    scans = read_datalist(data)
    for part, (scan,) in (("training", scans.training), ("validation", scans.validation)):
        ct = read_ct(scan.image)
        lobes = read_on_grid(scan.lobes, ct, "lobes")
        expert = (read_on_grid(scan.label, ct, "label") > 0) & (lobes > 0)
        cut = segment_lesion(threshold_map(ct.array), lobes, 0.5)
        mask = np.where(lobes == 1, np.uint8(0), cut)
        assert (cut != mask).any()
        written = read_on_grid(tmp_path / "plain-threshold" / "seed-4" / f"{scan.name}.nii.gz", ct, "mask")
        np.testing.assert_array_equal(written, mask)
        wanted = score_masks(mask, expert.astype(np.uint8), lobes, name=scan.name, part=part)
        assert next(score for score in run.scores if score.part == part) == wanted


def test_the_experts_masks_are_read_inside_the_lobes_alone(data):
    for one in load_scans(read_datalist(data), lambda stage, fraction: None):
        assert one.expert.any() and not one.expert[one.lobes == 0].any()


def test_scores_are_kept_only_for_the_weights_that_they_were_made_with(tmp_path, data):
    recipe = read_study("study").row("dRAM").recipe
    study = Study(
        (StudyRow("dRAM", "dram", recipe), StudyRow("attended", "attention", model_of="dRAM")), (0,)
    )
    weights = tmp_path / "dram" / "seed-0" / "model" / WEIGHTS
    weights.parent.mkdir(parents=True)
    scans = read_datalist(data)
    for row in study.rows:
        weights.write_bytes(b"one")
        facts = study_module._facts(row, study, 0, tmp_path, scans)
        score = ScanScore("a", "training", 0.5, 0.6, None, None, None, None)
        kept = {**facts, "scores": [study_module.asdict(score)]}
        (tmp_path / "scores.json").write_text(json.dumps(kept))
        assert study_module._kept_scores(tmp_path / "scores.json", facts) == (score,)
        weights.write_bytes(b"other")
        other = study_module._facts(row, study, 0, tmp_path, scans)
        assert study_module._kept_scores(tmp_path / "scores.json", other) is None


@pytest.mark.parametrize("teacher", [{"model": Path("ships")}, {"model_of": "other"}])
def test_labels_come_from_the_model_that_a_row_reads_wherever_that_is(tmp_path, monkeypatch, teacher):
    recipe = read_study("study").row("dRAM").recipe
    taught = StudyRow("final", "final", recipe, labels_of="dRAM")
    study = Study((StudyRow("other", "dram", recipe), StudyRow("dRAM", "crf", **teacher), taught), (3,))
    teachers = []

    def labels(_data, folder, *_given, **_how):
        teachers.append(folder)
        raise InterruptedError

    monkeypatch.setattr(study_module, "write_pseudo_labels", labels)
    with pytest.raises(InterruptedError):
        study_module._train(taught, study, 3, tmp_path, tmp_path / "final", None, "cpu", None, None, None)
    assert teachers == [teacher.get("model", tmp_path / "other" / "seed-3" / "model")]


def test_labels_of_a_row_without_a_model_are_refused(tmp_path):
    taught = StudyRow("final", "final", read_study("study").row("dRAM").recipe, labels_of="plain threshold")
    study = Study((*THRESHOLD.rows, taught), (3,))
    with pytest.raises(InputError, match="plain threshold has no model"):
        study_module._train(taught, study, 3, tmp_path, tmp_path, None, "cpu", None, None, None)


def test_minutes_are_those_of_the_training_s_log(tmp_path):
    row = StudyRow("dRAM", "dram", read_study("study").row("dRAM").recipe)
    folder = state_folder(tmp_path / "model")
    folder.mkdir()
    events = [
        {"event": "step", "step": 1},
        *({"event": "epoch", "step": n, "seconds": 45.0 * n} for n in (1, 2)),
    ]
    (folder / LOG).write_text("".join(json.dumps(event) + "\n" for event in events))
    assert study_module._minutes(row, tmp_path) == 1.5


def score(name, part, iou, kappa=1.0):
    percent, expert = (10.0, 0.0, 30.0, None, 60.0), (12.0, 1.0, 33.0, None, 64.0)
    return ScanScore(name, part, iou, iou, 2.0, percent, expert, kappa)


def test_the_csv_tells_prediction_and_expert_apart_and_leaves_out_what_is_not_known(tmp_path):
    run = Run(THRESHOLD.rows[0], 4, (score("a", "validation", 0.5, None),), None)
    write_study_table([run], tmp_path)
    with (tmp_path / "study.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["method"], row["seed"], row["scan"], row["iou"]) == ("plain threshold", "4", "a", "0.500000")
    assert (row["LUL_percent"], row["LUL_expert_percent"]) == ("10.000000", "12.000000")
    assert (row["RLL_percent"], row["RLL_expert_percent"]) == ("60.000000", "64.000000")
    assert row["RML_percent"] == row["kappa_lobes"] == row["minutes"] == ""


def test_the_published_table_has_the_columns_of_a_study_and_where_its_figures_come_from():
    published = Path(__file__).parents[4] / "Training" / "study.csv"
    with published.open(newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert set(header) - set(CSV_COLUMNS) == {"learned_from", "measured", "weights"}
    assert set(CSV_COLUMNS) - set(header) == {"minutes"}


def test_a_mean_leaves_out_what_is_not_known():
    row = StudyRow("dRAM", "dram", read_study("study").row("dRAM").recipe)
    without_lobes = ScanScore("a", "validation", 0.5, 0.5, None, None, None, None)
    runs = [Run(row, 0, (without_lobes,), None), Run(row, 1, (score("a", "validation", 0.5),), 3.0)]
    alone = study_markdown(runs[1:]).splitlines()[2].split("|")[-5:]
    together = study_markdown(runs).splitlines()[2].split("|")[-5:]
    assert together == alone and alone[-2].strip() == "3.0" and "" not in alone[:-1]


def test_the_picture_shows_the_slice_with_most_lesion(data, tmp_path, monkeypatch):
    one = next(load_scans(read_datalist(data), lambda stage, fraction: None))
    drawn = []
    monkeypatch.setattr(study_picture, "_draw", lambda panels, scan, z, path: drawn.append((panels, z)))
    study_picture.draw_stages(THRESHOLD, one, tmp_path)
    study_picture.draw_stages(THRESHOLD, one, tmp_path, z=12)
    most = int(np.argmax([plane.sum() for plane in one.expert]))
    assert [z for _, z in drawn] == [most, 12] and one.expert[most].any()
    titles = [title for title, _, _ in drawn[0][0]]
    assert titles == ["CT", "plain threshold", "expert"]
    np.testing.assert_array_equal(drawn[0][0][-1][2], one.expert[most])
