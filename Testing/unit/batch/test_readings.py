"""Readers' numbers join the cases of a batch by name."""

import pytest

from DRAMLesionLib.batch.listing import Case, Listing
from DRAMLesionLib.batch.readings import with_readings
from DRAMLesionLib.batch.work import Job, do_case, made_with
from DRAMLesionLib.system.errors import InputError

LOBES = ("LUL", "LLL", "RUL", "RML", "RLL")
HEADER = "name," + ",".join(f"percent_{lobe}" for lobe in LOBES) + "\n"


@pytest.fixture
def listing():
    return Listing(
        [Case("a", "/in/a_ct.nii.gz"), Case("case0001", "/in/series"), Case("b", "/in/b.nrrd")], ["note"]
    )


def write(folder, text):
    path = folder / "readings.csv"
    path.write_text(HEADER + text)
    return path


def test_a_case_is_named_as_its_folder_or_as_its_file(listing, tmp_path):
    joined = with_readings(listing, write(tmp_path, "a_ct,1,2,,4,5\ncase0001,0,0,0,0,0\n"), "R. Reader")
    assert [case.name for case in joined.cases] == ["a", "case0001", "b"]
    assert joined.cases[0].reading["percent"] == [1, 2, None, 4, 5]
    assert joined.cases[0].reading["who"] == ["R. Reader", "R. Reader", "", "R. Reader", "R. Reader"]
    assert joined.cases[1].reading["percent"] == [0] * 5 and joined.cases[2].reading is None
    assert joined.notes == ["note", "1 of 3 cases have no row in readings.csv: their masks are not steered"]


def test_a_row_that_no_case_has_is_refused(listing, tmp_path):
    with pytest.raises(InputError, match="no case is called c: "):
        with_readings(listing, write(tmp_path, "a,1,2,3,4,5\nc,1,2,3,4,5\n"))


def test_the_segmenter_gets_the_reading_and_another_reading_is_another_result(listing, tmp_path):
    (tmp_path / "a_ct.nii.gz").write_text("x")
    given = {}

    def segment(image, out, *, progress, **options):
        out.mkdir()
        given.update(options)

    case = Case("a", str(tmp_path / "a_ct.nii.gz"), reading={"percent": [1, 2, 3, 4, 5]})
    job = Job(str(tmp_path / "out"))
    assert do_case(case, job, segment).status == "done" and given["reading"] == case.reading
    assert made_with(case, job, "") != made_with(Case("a", case.image), job, "")
