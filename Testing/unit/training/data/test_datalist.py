"""Data lists: read and checked, written, and made from a folder with a table or with masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.case_table import collect, read_table, split
from DRAMLesionLib.training.data.datalist import DataList, Scan, read_datalist, spread, write_datalist
from DRAMLesionLib.training.data.weak_label import WeakLabel

HEADER = "name,percent_LUL,percent_LLL,percent_RUL,percent_RML,percent_RLL"


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("ct.nii.gz", "lobes.nii.gz", "label.nii.gz", "edits.nii.gz"):
        (tmp_path / name).touch()
    return tmp_path


def row(**changes) -> dict:
    values = {"image": "ct.nii.gz", "lobes": "lobes.nii.gz", "percent": [1, 2.5, None, 4, 100], **changes}
    return {key: value for key, value in values.items() if value != "absent"}


def read(folder: Path, *rows: dict, **more) -> DataList:
    (folder / "list.json").write_text(json.dumps({"training": rows, **more}), encoding="utf-8")
    return read_datalist(folder / "list.json")


# --- reading -------------------------------------------------------------------------------------------------------


def test_rows_may_have_percentages_or_scores_and_more(folder):
    scans = read(
        folder,
        row(),
        row(percent="absent", score=[0, 5, None, 2.0, 1]),
        row(score=[None, 1, 3, 4, 5], label="label.nii.gz", edits="edits.nii.gz"),
        made_by="somebody",
    ).training
    assert scans[0] == Scan(folder / "ct.nii.gz", folder / "lobes.nii.gz", (1.0, 2.5, None, 4.0, 100.0))
    assert scans[1].percent == (None,) * 5 and scans[1].score == (0, 5, None, 2, 1)
    assert (scans[2].label, scans[2].edits) == (folder / "label.nii.gz", folder / "edits.nii.gz")


def test_a_percentage_counts_more_than_a_score(folder):
    (scan,) = read(folder, row(score=[3, 3, 3, None, None])).training
    labels = [scan.weak_label(lobe) for lobe in range(1, 6)]
    assert labels[0] == WeakLabel.from_percent(1)
    assert labels[2] == WeakLabel.from_score(3)
    assert labels[4] == WeakLabel.from_percent(100)
    (unknown,) = read(folder, row(percent=[None] * 5)).training
    assert unknown.weak_label(1) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image": "gone.nii.gz"}, "image 'gone.nii.gz' does not exist"),
        ({"lobes": "absent"}, "lobes is missing"),
        ({"label": "gone.nrrd"}, "label 'gone.nrrd' does not exist"),
        ({"edits": 3}, "edits is 3, not a path"),
        ({"percent": "absent"}, "percent (or score) is missing"),
        ({"percent": [1, 2]}, "percent is not a list of 5"),
        ({"percent": [1, 2, 3, 4, 500]}, "percent of RLL is 500"),
        ({"percent": [True, 2, 3, 4, 5]}, "percent of LUL is True"),
        ({"percent": [float("nan"), 2, 3, 4, 5]}, "percent of LUL is nan"),
        ({"score": [0, 1, 2, 3, 6]}, "score of RLL is 6, not a whole number from 0 to 5"),
        ({"score": [0, 1.5, 2, 3, 5]}, "score of LLL is 1.5"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_what_is_wrong_with_a_row_is_named(folder, changes, named):
    with pytest.raises(InputError) as error:
        read(folder, row(), row(**changes))
    assert named in str(error.value)
    assert "training[1]" in str(error.value) and "training[0]" not in str(error.value)


def test_all_wrong_rows_are_named_at_once(folder):
    with pytest.raises(InputError) as error:
        read(folder, row(percent=3), row(), row(score=[9] * 5), validation=[row(image="gone"), 7])
    text = str(error.value)
    for part in (
        "8 problem(s)",
        "training[0]",
        "training[2]",
        "score of RML",
        "validation[0]",
        "validation[1]",
    ):
        assert part in text
    assert "training[1]" not in text and "\n" not in text


def test_scans_are_named_after_their_files():
    names = {"a/case1_ct.nii.gz": "case1", "b/p_2/ct.nrrd": "p_2", "c_0000.nii.gz": "c", "series": "series"}
    for path, name in names.items():
        assert Scan(Path(path), Path("lobes")).name == name


# --- writing -------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(folder):
    scans = read(
        folder, row(label="label.nii.gz"), row(percent="absent", score=[0, 1, 2, None, 5]), validation=[row()]
    )
    out = folder / "lists" / "new.json"
    write_datalist(out, scans, {"labels": "by hand"})
    content = json.loads(out.read_text())
    assert content["labels"] == "by hand"
    assert content["training"][0]["image"] == "../ct.nii.gz"  # so that the whole folder may move
    assert "percent" not in content["training"][1] and "score" not in content["training"][0]
    again = read_datalist(out)
    for old, new in zip(
        (*scans.training, *scans.validation), (*again.training, *again.validation), strict=True
    ):
        assert (old.percent, old.score, old.image) == (new.percent, new.score, new.image.resolve())
    assert again.training[0].label.resolve() == scans.training[0].label


# --- parts ---------------------------------------------------------------------------------------------------------


def test_mild_and_severe_scans_are_set_aside_alike():
    scans = [Scan(Path(f"{n}_ct.nii"), Path("l"), (float(n),) * 5) for n in (90, 10, 50, 20, 80, 30, 60, 40)]
    parts = spread(scans, 0.25)
    assert [scan.percent[0] for scan in parts.validation] == [
        80,
        30,
    ]  # the middle of the severe and of the mild half
    assert len(parts.training) == 6 and not set(parts.training) & set(parts.validation)
    assert spread(scans, 0.25) == parts


@pytest.mark.parametrize(("fraction", "aside"), [(0.01, 1), (0.99, 2), (0.5, 2)])
def test_either_part_has_a_scan(fraction, aside):
    scans = [Scan(Path(f"{n}_ct.nii"), Path("l"), (None,) * 5) for n in range(3)]
    assert len(spread(scans, fraction).validation) == aside


def test_parts_by_name():
    scans = {name: Scan(Path(f"{name}_ct.nii"), Path("l")) for name in "abc"}
    parts = split(scans, ["c", "a"])
    assert [scan.name for scan in parts.training] == ["b"]
    assert [scan.name for scan in parts.validation] == ["a", "c"]
    assert len(split(scans, ["0.4"]).validation) == 1
    assert split(scans, []).validation == ()
    for wrong, named in (
        (["x", "a"], "called x"),
        (["a", "b", "c"], "no scan is left"),
        (["1.5"], r"called 1\.5"),
    ):
        with pytest.raises(InputError, match=named):
            split(scans, wrong)
    with pytest.raises(InputError, match="one scan only"):
        split({"a": scans["a"]}, ["0.5"])


# --- tables --------------------------------------------------------------------------------------------------------


def table(tmp_path: Path, text: str, kind=None):
    (tmp_path / "table.csv").write_bytes(text.encode())
    return read_table(tmp_path / "table.csv", kind)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\na,5.7,0,NA,,100%\n",
        "\ufeff" + f"{HEADER}\r\na,5.7,0,NA,,100%\r\n\r\n",
        f"{HEADER.replace(',', ';')};age\na;5,7;0;-;?;100;63\n",
        "Age\tCASE\tPercent_RLL\tpercent_rml\tpercent_RUL\tpercent_LLL\tpercent_LUL\n63\ta\t100\t\tnan\t0\t5.7\n",
    ],
)
def test_tables_of_several_kinds(tmp_path, text):
    (found,) = table(tmp_path, text)
    assert (found.name, found.percent, found.score) == ("a", (5.7, 0.0, None, None, 100.0), None)


def test_plain_lobe_columns_need_a_kind(tmp_path):
    text = "name,LUL,LLL,RUL,RML,RLL\na,0,1,2,3,\n"
    assert table(tmp_path, text, "score")[0].score == (0, 1, 2, 3, None)
    assert table(tmp_path, text, "percent")[0].percent == (0, 1, 2, 3, None)
    with pytest.raises(InputError, match="--kind percent or score"):
        table(tmp_path, text)


def test_a_table_may_have_both(tmp_path):
    text = f"{HEADER},score_LUL,score_LLL,score_RUL,score_RML,score_RLL\na,1,2,3,4,,1,1,1,1,3\n"
    (found,) = table(tmp_path, text)
    assert found.percent[-1] is None and found.score == (1, 1, 1, 1, 3)


def test_all_wrong_cells_are_named_at_once(tmp_path):
    with pytest.raises(InputError) as error:
        table(tmp_path, f"{HEADER}\na,1,2,3,4,500\nb,much,2,3,4,5\n,1,2,3,4,5\na,1,2,3,4\n")
    for part in (
        "4 problem(s)",
        "line 2 (a): percent of RLL is '500'",
        "line 3 (b)",
        "'much'",
        "name is empty",
        "a has 2 rows",
    ):
        assert part in str(error.value)
    with pytest.raises(InputError, match=r"score of LUL is '1\.5', not a whole number from 0 to 5"):
        table(tmp_path, "name,LUL,LLL,RUL,RML,RLL\na,1.5,1,2,3,4\n", "score")


HEAD = "name," + ",".join(f"percent_{lobe.abbreviation}" for lobe in LOBES) + "\n"


@pytest.mark.parametrize(
    "rows",
    [
        "a,0.12,0.25,0.08,0,0.3\n",
        "a,0.5,,,,\nb,1,1,0,0,0\n",
        "a,0,0,0,0,0\nb,.001,0,0,0,0\n",
        'a,"0,12","0,25",0,0,1\n',
    ],
)
@pytest.mark.parametrize("head", [HEAD, HEAD.replace("percent_", "")])
def test_percentages_that_may_be_fractions_are_asked_about(tmp_path, rows, head):
    kind = "percent" if "percent" not in head else None
    with pytest.raises(InputError, match=r"are they fractions .*--kind fraction; .*percent sign"):
        table(tmp_path, head + rows, kind)


def test_fractions_are_taken_where_they_are_said_to_be(tmp_path):
    (row,) = table(tmp_path, HEAD + "a,0.12,0.255,,0,1\n", "fraction")
    assert row.percent == (12.0, 25.5, None, 0.0, 100.0)
    (bare,) = table(tmp_path, HEAD.replace("percent_", "") + "a,0.12,0.255,,0,1\n", "fraction")
    assert bare.percent == row.percent
    with pytest.raises(InputError, match="more than a whole lobe: leave out --kind fraction"):
        table(tmp_path, HEAD + "a,0.12,25,,0,1\n", "fraction")


@pytest.mark.parametrize(
    "rows", ["a,0.12%,0.25%,0.08%,0%,0.3%\n", "a,0,0,0,0,0\n", "a,1,0,1,0,0\n", "a,0.5,0.2,0,0,1.5\n"]
)
def test_small_percentages_with_a_sign_and_whole_ones_are_percentages(tmp_path, rows):
    (row,) = table(tmp_path, HEAD + rows)
    assert row.percent[0] == float(rows.split(",")[1].rstrip("%"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "name or case"),
        ("who,percent_LUL\n", "name or case"),
        ("name,percent_LUL,percent_LLL\na,1,2\n", "no column percent_RUL; no column percent_RML"),
        ("name,age\na,3\n", "no columns percent_LUL"),
        (HEADER + "\n", "no rows"),
        (HEADER + ",percent_LUL\na,1,2,3,4,5,6\n", "percent_LUL is there twice"),
    ],
)
def test_tables_that_are_none(tmp_path, text, named):
    with pytest.raises(InputError, match=named):
        table(tmp_path, text)


def test_tables_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv"):
        read_table(tmp_path / "absent.csv")
    (tmp_path / "old.csv").write_bytes("name,Größe".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_table(tmp_path / "old.csv")


# --- folders -------------------------------------------------------------------------------------------------------


def image(path: Path, size=(4, 5, 6), spacing=(1.0, 1.0, 1.0)) -> None:
    path.parent.mkdir(exist_ok=True)
    made = sitk.Image(size, sitk.sitkUInt8)
    made.SetSpacing(spacing)
    sitk.WriteImage(made, str(path))


@pytest.fixture
def scans(tmp_path) -> Path:
    """Two cases by files, one in a folder of its own, and what belongs to none."""
    for name in ("a_ct.nii.gz", "a_lobes.nrrd", "a_lesion.nii.gz", "b_ct.mha", "b_lobes.mha", "c/ct.nrrd"):
        image(tmp_path / name)
    (tmp_path / "c" / "lobes").mkdir()
    image(tmp_path / "c" / "edits.nrrd")
    (tmp_path / "a_lesion.seg.nrrd").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def rows(tmp_path: Path, *names: str):
    return table(tmp_path, "\n".join([HEADER, *(f"{name},1,2,3,4,5" for name in names)]))


def test_files_are_matched_by_name(scans):
    found, notes = collect(scans, rows(scans, "b", "a_ct.nii.gz", "c"))
    assert list(found) == ["b", "a", "c"] and not notes
    assert found["a"] == Scan(
        scans / "a_ct.nii.gz", scans / "a_lobes.nrrd", (1, 2, 3, 4, 5), None, scans / "a_lesion.nii.gz"
    )
    assert found["c"].lobes == scans / "c" / "lobes" and found["c"].edits == scans / "c" / "edits.nrrd"
    assert found["b"].label is None


def test_scans_without_a_row_are_left_out_and_noted(scans):
    found, notes = collect(scans, rows(scans, "b"))
    assert list(found) == ["b"]
    assert notes == ["2 CT(s) without a row in the table, left out: a, c"]


def test_other_names_can_be_given(scans):
    image(scans / "x_0000.nii.gz")
    image(scans / "x.nii.gz")
    patterns = {"image": ["{name}_0000"], "lobes": ["{name}"]}
    (scan,) = collect(scans, rows(scans, "x"), patterns=patterns)[0].values()
    assert (scan.image.name, scan.lobes.name) == ("x_0000.nii.gz", "x.nii.gz")
    with pytest.raises(InputError, match="has not one"):
        collect(scans, rows(scans, "x"), patterns={"image": ["ct"]})


def test_all_problems_of_a_folder_are_named_at_once(scans):
    (scans / "a_lobes.nrrd").unlink()
    image(scans / "b_lobes.mha", spacing=(1.0, 1.0, 2.0))
    (scans / "c" / "edits.nrrd").write_bytes(b"NRRD0004\nhalf")
    with pytest.raises(InputError) as error:
        collect(scans, rows(scans, "a", "b", "c", "d"))
    for part in (
        "a: no lobes (called a_lobes or a/lobes)",
        "b: b_lobes.mha has spacing (1, 1, 2) mm, b_ct.mha",
        "edits.nrrd",
        "d: no image",
        "d: no lobes",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_two_files_of_one_name_are_refused(scans):
    image(scans / "a_ct.nrrd")
    with pytest.raises(InputError, match=r"a_ct\.nii\.gz and a_ct\.nrrd both fit"):
        collect(scans, rows(scans, "a"))


def test_a_folder_without_scans(tmp_path):
    with pytest.raises(InputError, match="no CT called"):
        collect(tmp_path, [])
    with pytest.raises(InputError, match="no such folder"):
        collect(tmp_path / "absent", [])


def test_percentages_and_scores_from_masks(tmp_path):
    made = make_phantom((32, 28, 24), (11, 11, 12), seed=1, severity=(10.0, 30.0, 3.0, 0.0, 60.0))
    lobes = np.where(made.lobes.labels == 3, 0, made.lobes.labels)  # one lobe is absent
    for name, array in (("ct", made.ct.array), ("lobes", lobes), ("lesion", made.lesion)):
        write_volume(array, made.ct, tmp_path / f"p_{name}.nii.gz")
    expected = [
        100 * float(made.lesion[lobes == lobe].mean()) if (lobes == lobe).any() else None
        for lobe in range(1, 6)
    ]
    ((name, scan),) = collect(tmp_path)[0].items()
    assert name == "p" and scan.score is None
    assert scan.percent[2] is None and expected[1] > 5
    assert [p for p in scan.percent if p is not None] == pytest.approx(
        [e for e in expected if e is not None], abs=1e-4
    )
    (scored,) = collect(tmp_path, kind="score")[0].values()
    assert scored.percent == (None,) * 5
    assert scored.score == tuple(
        None if e is None else int(np.digitize(e, (1, 5, 25, 50, 75))) for e in expected
    )
    (tmp_path / "p_lesion.nii.gz").unlink()
    with pytest.raises(InputError, match="p: no label"):
        collect(tmp_path)
