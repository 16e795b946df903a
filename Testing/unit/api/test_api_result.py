"""The public interface without a network: inputs, table, result object, saving and loading."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

import DRAMLesionLib as dl
from DRAMLesionLib.api import inputs
from DRAMLesionLib.api.table import Table
from DRAMLesionLib.correction.correct_results import correct_results
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quality import Flag, flags_for_record
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results.numbers import percent_text


@pytest.fixture(scope="module")
def phantom():
    return dl.make_phantom((64, 64, 48), (5.5, 5.5, 6.0), seed=1)


@pytest.fixture(scope="module")
def result(phantom) -> dl.Result:
    """What a perfect model would find in a CT from memory, with a flag."""
    ct = inputs.ct_of((phantom.ct.array, phantom.ct.spacing_mm))
    lobes = LobeMap(phantom.lobes.labels, True, "phantom")
    values = (0.1 + 0.8 * phantom.lesion * (lobes.labels > 0)).astype(np.float32)
    lesion = (values > 0.5).astype(np.uint8)
    record = {
        "settings": {"threshold": 0.5},
        "flags": flags_for_record((Flag("few-slices", "Lungs are in 40 slices", "use thin slices"),)),
    }
    return dl.Result(
        Findings(ct, lobes, values, lesion, quantify(ct.array, lobes, lesion, ct.spacing_mm, values), record)
    )


def test_what_is_no_folder_is_refused_in_one_line(result):
    for use in (result.save, dl.Result.load):
        with pytest.raises(dl.InputError, match="folder: is a int: give the path"):
            use(5)


def test_importing_the_package_and_asking_its_names_loads_nothing_heavy():
    code = (
        "import sys, DRAMLesionLib as dl; dir(dl); dl.InputError, dl.Cancelled;"
        "print([n for n in ('torch', 'monai', 'SimpleITK', 'numpy', 'scipy', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_public_name_is_there_and_others_are_not():
    assert {name for name in dl.__all__ if getattr(dl, name) is not None} == set(dl.__all__)
    assert set(dl.__all__) <= set(dir(dl))
    with pytest.raises(AttributeError, match="no attribute 'segmentation'"):
        _ = dl.segmentation


def test_an_array_and_an_image_of_it_are_the_same_ct(phantom):
    array, spacing = phantom.ct.array, phantom.ct.spacing_mm
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    one, two = inputs.ct_of((array, spacing)), inputs.ct_of(image)
    np.testing.assert_array_equal(one.array, array)
    np.testing.assert_array_equal(one.array, two.array)
    assert one.spacing_mm == two.spacing_mm == spacing
    assert one.geometry.difference(two.geometry, what="image") is None or not one.geometry.difference(
        two.geometry, what="image"
    )


def test_an_image_in_other_axes_becomes_canonical_and_results_go_back_to_its_own(phantom, result):
    turned = sitk.DICOMOrient(result.image("ct"), "RAI")
    ct = inputs.ct_of(turned)
    np.testing.assert_array_equal(ct.array, phantom.ct.array)
    back = dl.Result(
        Findings(ct, *(getattr(result.findings, n) for n in ("lobes", "dram", "lesion", "quantification")))
    )
    assert back.image("lesion").GetDirection() == turned.GetDirection()
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.DICOMOrient(back.image("lesion"), "LPS")), result.lesion
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((4, 4, 4), np.int16), "is a ndarray: give a path"),
        ((np.zeros((4, 4), np.int16), (1, 1, 1)), "has shape"),
        ((np.zeros((4, 4, 4), np.int16), (1, 1)), "three positive numbers"),
        ((np.zeros((4, 4, 4), np.int16), (1, 1, -1)), "three positive numbers"),
        ((np.zeros((4, 4, 4), np.int16), 1.5), "three positive numbers"),
        ((np.zeros((4, 4, 4), np.int16), "1.5 1.5"), "three positive numbers"),
        ((np.zeros((4, 4, 4), "U1"), (1, 1, 1)), "has values of type"),
        ((np.full((4, 4, 4), np.nan, np.float32), (1, 1, 1)), "NaN"),
        ("nowhere.nii.gz", "no such file"),
    ],
)
def test_what_is_no_ct_is_refused_in_one_line(given, said):
    with pytest.raises(dl.InputError, match=said) as caught:
        inputs.ct_of(given)
    assert "\n" not in str(caught.value)


def test_lobes_may_be_an_array_an_image_or_known_already(phantom, result):
    ct = result.findings.ct
    labels = phantom.lobes.labels
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(result.image("ct"))
    for given in (labels, image, LobeMap(labels, False, "mine")):
        lobes = inputs.lobes_of(given, ct)
        np.testing.assert_array_equal(lobes.labels, labels)
        assert not lobes.approximate
    assert inputs.lobes_of(None, ct) is None
    for other in (labels[1:], LobeMap(labels[1:], False, "mine")):
        with pytest.raises(dl.InputError, match="lobes: shape"):
            inputs.lobes_of(other, ct)
    with pytest.raises(dl.InputError, match="right middle lobe"):
        inputs.lobes_of(np.where(labels == 4, 0, labels), ct)
    image.SetOrigin((50.0, 0.0, 0.0))
    with pytest.raises(dl.InputError, match="give one made from this CT"):
        inputs.lobes_of(image, ct)


def test_numbers_are_five_or_named_by_lobe():
    assert inputs.numbers_of("score", {"LLL": 4, "RML": 0}) == (None, 4, None, 0, None)
    assert inputs.numbers_of("percent", [1, None, 3, 4, 5]) == (1, None, 3, 4, 5)
    with pytest.raises(dl.InputError, match="no lobe is called left"):
        inputs.numbers_of("score", {"left": 4})
    with pytest.raises(dl.InputError, match="give five numbers"):
        inputs.numbers_of("score", "2,4,2,1,4")


def test_a_table_is_plain_rows_that_can_be_read(result):
    table = result.table
    assert [row["region"] for row in table] == ["LUL", "LLL", "RUL", "RML", "RLL", "left", "right", "total"]
    assert table["LLL"] is not None and table["LLL"] == table[1] and len(table[:5]) == 5
    assert all(
        value is None or isinstance(value, str | int | float) for row in table for value in row.values()
    )
    with pytest.raises(KeyError):
        table["middle"]
    lines = repr(table).splitlines()
    assert len(lines) == 9 and lines[0].startswith("region") and max(map(len, lines)) <= 90
    assert percent_text(table["LLL"]["lesion_percent"]) in lines[2]
    assert table._repr_html_().count("<tr>") == 9


def test_what_a_table_shows_is_escaped():
    row = {
        "region": "<b>",
        "volume_ml": 1.0,
        "lesion_ml": 0.01,
        "lesion_percent": None,
        "lesion_percent_low": 1.0,
    }
    row |= {
        "lesion_percent_high": 2.0,
        "severity_score": 1,
        "ground_glass_ml": 0.0,
        "consolidation_ml": 200.0,
    }
    shown = Table([row])
    assert shown.cells()[1] == ["<b>", "1.0", "<0.1", "–", "1–2", "1", "0.0", "200"]
    assert "&lt;b&gt;" in shown._repr_html_()
    nearly = Table([{**row, "lesion_percent": 0.98, "severity_score": 0}])
    assert nearly.cells()[1][3] == "0.98", "1.0 would be score 1"


def test_without_pandas_one_line_says_what_to_install(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(dl.InputError, match="pip install pandas"):
        result.table.to_pandas()


def test_with_pandas_the_table_is_a_data_frame(result):
    pytest.importorskip("pandas")
    frame = result.table.to_pandas()
    assert frame.loc["total", "severity_score"] == result.score and len(frame) == 8


def test_a_result_says_in_one_line_what_it_is(result):
    line = repr(result)
    assert len(line) < 160 and "\n" not in line
    assert (
        f"{percent_text(result.percent)} % lesion" in line
        and "few-slices" in line
        and "approximate lobes" in line
    )
    assert result.flags[0].remedy == "use thin slices"


def test_a_result_shows_itself(result):
    picture = result.show()
    assert picture._repr_png_().startswith(b"\x89PNG") and len(picture.axes) == 5
    text = result._repr_html_()
    assert "data:image/png;base64," in text and "use thin slices" in text and "Research use only" in text


def test_images_have_names(result):
    assert result.image("map").GetSize() == result.lesion.shape[::-1]
    with pytest.raises(dl.InputError, match="use one of"):
        result.image("heat")
    with pytest.raises(dl.InputError, match="nothing was painted"):
        result.image("edits")


def test_steering_gives_a_new_result_and_leaves_the_old_one(result):
    before = result.lesion.copy()
    steered = result.steer(percent={"RUL": 40.0}, score={"LLL": 5}, who="A. Reader")
    np.testing.assert_array_equal(result.lesion, before)
    assert steered.table["RUL"]["lesion_percent"] == pytest.approx(40.0, abs=0.5)
    assert steered.table["LLL"]["severity_score"] == 5 and steered.table["LLL"]["wanted_by"] == "A. Reader"
    assert steered.table["LUL"]["lesion_ml"] == result.table["LUL"]["lesion_ml"]
    with pytest.raises(dl.InputError, match="give 0 to 100"):
        result.steer(percent={"RUL": 400.0})


def points(result, lobe: int, lesion: int) -> np.ndarray:
    return np.argwhere((result.lobes == lobe) & (result.lesion == lesion))


def test_what_was_painted_holds_in_later_strokes_and_steering(result):
    erased, added = points(result, 5, 1)[7], points(result, 1, 0)[7]
    first = result.refine([([erased], 2)])
    second = first.refine([([added], 1)])
    assert result.edits is None and first.lesion[tuple(erased)] == 0
    assert second.edits[tuple(erased)] == 2 and second.edits[tuple(added)] == 1
    filled = second.steer(percent=(0, None, None, None, 100))
    assert filled.lesion[tuple(erased)] == 0 and filled.lesion[tuple(added)] == 1
    near = erased + np.array([0, 0, 1])
    again = first.refine([([near], 1)])
    assert again.lesion[tuple(erased)] == 0 and again.lesion[tuple(near)] == 1


def test_a_stroke_takes_the_range_of_its_own_lobe_alone(result):
    """The range is that of the model's percentage: a lobe that keeps its mask keeps it, as it does in steering."""
    ranged = result.findings.quantification.with_ranges({1: (1.0, 9.0), 5: (2.0, 8.0)})
    before = dl.Result(replace(result.findings, quantification=ranged))
    after = before.refine([([points(result, 1, 0)[7]], 1)])
    assert after.table["LUL"]["lesion_percent_low"] is None
    assert (
        after.table["RLL"]["lesion_percent_low"] == 2.0 and after.table["RLL"]["lesion_percent_high"] == 8.0
    )


def test_strokes_may_be_an_array_an_image_or_a_list(result):
    where = points(result, 1, 0)[7]
    edits = np.zeros(result.lesion.shape, np.uint8)
    edits[tuple(where)] = 1
    image = sitk.GetImageFromArray(edits)
    image.CopyInformation(result.image("ct"))
    wanted = result.refine(edits)
    assert wanted.lesion[tuple(where)] == 1
    for given in (image, [([where], 1)]):
        np.testing.assert_array_equal(result.refine(given).lesion, wanted.lesion)
    with pytest.raises(dl.InputError, match="edits: shape"):
        result.refine(edits[1:])
    with pytest.raises(dl.InputError, match=r"list of \(voxels, value\)"):
        result.refine([where.tolist()])


def test_a_saved_result_is_read_again_without_its_ct(result, tmp_path):
    changed = result.refine([([points(result, 1, 0)[7]], 1)]).steer(score={"LLL": 5}, who="A. Reader")
    again = dl.Result.load(changed.save(tmp_path / "saved"))
    for name in ("ct", "lesion", "lobes", "edits", "map"):
        np.testing.assert_array_equal(getattr(again, name), getattr(changed, name), err_msg=name)
    assert again.table[1] == changed.table[1] and again.flags == changed.flags
    assert "ct_file" not in result.findings.record, "saving leaves the result as it was"
    further = again.save(tmp_path / "saved")
    assert dl.Result.load(further).score == changed.score


def test_a_ct_that_was_saved_along_keeps_its_name_and_travels_on(result, tmp_path):
    again = dl.Result.load(result.save(tmp_path / "first"))
    assert again.summary["ct"] == result.summary["ct"] == "ct"
    again.save(tmp_path / "second")
    pages = [(tmp_path / name / "report.html").read_text(encoding="utf-8") for name in ("first", "second")]
    case = re.search(r"Case \d{3} \d{3}", pages[0])
    assert case and case.group() in pages[1]
    shutil.rmtree(tmp_path / "first")
    assert dl.Result.load(tmp_path / "second").score == result.score


def test_identifiers_that_a_run_was_allowed_to_show_are_left_behind_on_loading(result, tmp_path):
    record = {**result.findings.record, "study": {"date": "2020-03-12"}}
    shown = dl.Result(replace(result.findings, record=record)).save(tmp_path / "shown")
    assert "2020-03-12" in (shown / "report.html").read_text(encoding="utf-8")
    again = dl.Result.load(shown).save(tmp_path / "again")
    assert not any("2020-03-12" in (again / n).read_text("utf-8") for n in ("report.html", "summary.json"))


def test_another_ct_is_not_corrected(result, tmp_path):
    """It lies on the same grid, but the map and the mask were not made from it."""
    folder = result.save(tmp_path / "saved")
    image = result.image("ct") + 40
    sitk.WriteImage(image, str(tmp_path / "other.nii.gz"))
    with pytest.raises(dl.InputError, match="not the CT of"):
        correct_results(folder, tmp_path / "out", ct=tmp_path / "other.nii.gz")
    assert not (tmp_path / "out").exists()


def test_another_ct_is_refused_on_loading(result, tmp_path):
    folder = result.save(tmp_path / "saved", ct=False)
    with pytest.raises(dl.InputError, match="name it with --ct"):
        dl.Result.load(folder)
    assert dl.Result.load(folder, (result.ct, result.spacing_mm)).score == result.score
    with pytest.raises(dl.InputError, match="give the CT that was segmented"):
        dl.Result.load(folder, (result.ct + np.int16(40), result.spacing_mm))


def test_edits_of_an_older_correction_beside_newer_results_do_not_count(result, tmp_path):
    folder = result.refine([([points(result, 1, 0)[7]], 1)]).save(tmp_path / "saved")
    assert dl.Result.load(folder).edits is not None
    result.save(folder)
    assert (folder / "edits.nii.gz").exists() and dl.Result.load(folder).edits is None
