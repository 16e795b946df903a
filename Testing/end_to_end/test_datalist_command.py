"""From a folder to a data list that a training reads, and what the command says of what is wrong."""

import json

import pytest

from DRAMLesionLib.phantom import make_phantom, save_phantom
from DRAMLesionLib.training.data.datalist import read_datalist

HEADER = "case,score_LUL,score_LLL,score_RUL,score_RML,score_RLL"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Three, each in a folder of its own, as the command phantom writes them."""
    folder = tmp_path_factory.mktemp("phantoms")
    made = {}
    for seed, name in enumerate(("ann", "bob", "cid")):
        made[name] = make_phantom((32, 28, 24), (11, 11, 12), seed=seed, severity=(5.0 + 20 * seed,) * 5)
        save_phantom(made[name], folder / name)
    return folder, made


def test_a_table_of_scores(run, phantoms, tmp_path):
    folder, _ = phantoms
    (tmp_path / "table.csv").write_text(f"{HEADER}\nann,0,1,2,3,\nbob,5,4,3,2,1\n")
    done = run(
        "datalist",
        folder,
        "--csv",
        tmp_path / "table.csv",
        "--out",
        tmp_path / "list.json",
        "--validation",
        "bob",
        "--json",
    )
    assert done.code == 0, done.err
    result = done.events[-1]
    assert (result["event"], result["training"], result["validation"]) == ("result", 1, 1)
    assert result["notes"] == ["1 CT(s) without a row in the table, left out: cid"]
    scans = read_datalist(tmp_path / "list.json")
    assert scans.training[0].score == (0, 1, 2, 3, None)
    assert scans.training[0].lobes.resolve() == (folder / "ann" / "lobes.nii.gz").resolve()
    assert scans.validation[0].name == "bob"


def test_percentages_from_masks(run, phantoms, tmp_path):
    folder, made = phantoms
    done = run("datalist", folder, "--from-labels", "--out", tmp_path / "list.json", "--validation", "0.34")
    assert done.code == 0, done.err
    assert "2 scan(s) to train on, 1 for validation" in done.out
    scans = read_datalist(tmp_path / "list.json")
    assert [scan.name for scan in scans.validation] == ["bob"]  # the middle one
    for scan in (*scans.training, *scans.validation):
        assert scan.percent == pytest.approx(made[scan.name].percent, abs=0.01)
        assert scan.label is not None


def test_what_is_wrong_is_one_line_and_nothing_is_written(run, phantoms, tmp_path):
    folder, _ = phantoms
    out = tmp_path / "list.json"
    (tmp_path / "bad.csv").write_text(f"{HEADER}\nann,0,1,2,3,9\nbob,x,4,3,2,1\n")
    (tmp_path / "gone.csv").write_text(f"{HEADER}\nann,0,1,2,3,1\ndan,0,1,2,3,1\n")
    for more, named in (
        (("--csv", tmp_path / "bad.csv"), "2 problem(s): line 2 (ann): score of RLL is '9'"),
        (("--csv", tmp_path / "gone.csv"), "dan: no image (called dan_ct or dan/ct)"),
        ((), "give either --csv TABLE, or --from-labels"),
        (("--csv", tmp_path / "bad.csv", "--from-labels"), "give either --csv TABLE, or --from-labels"),
        (("--from-labels", "--validation", "eve"), "no scan is called eve"),
        (("--from-labels", "--label", "{name}/painted"), "ann: no label (called ann/painted)"),
    ):
        done = run("datalist", folder, "--out", out, *more)
        assert done.code == 2
        assert named in done.err and "Traceback" not in done.err
        assert len([line for line in done.err.splitlines() if line.startswith("Error: ")]) == 1
        assert not out.exists()
    assert run("datalist", folder, "--from-labels", "--out", tmp_path / "list.txt").code == 2


def test_the_list_may_move_with_its_scans(run, phantoms, tmp_path):
    _, made = phantoms
    save_phantom(made["ann"], tmp_path / "old" / "ann")
    assert (
        run("datalist", tmp_path / "old", "--from-labels", "--out", tmp_path / "old" / "list.json").code == 0
    )
    (tmp_path / "old").rename(tmp_path / "new")
    (scan,) = read_datalist(tmp_path / "new" / "list.json").training
    assert scan.image.exists()
    row = json.loads((tmp_path / "new" / "list.json").read_text())["training"][0]
    assert row["image"] == "ann/ct.nii.gz"
