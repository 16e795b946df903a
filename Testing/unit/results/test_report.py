"""The table, the summary and the report's page."""

import base64
import csv
import dataclasses
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_case import RECORD, SPACING, make_findings

from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results import report, table
from DRAMLesionLib.results.report import views


@pytest.fixture(scope="module")
def findings() -> Findings:
    return make_findings()


@pytest.fixture(scope="module")
def html(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write_report(findings, path)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures instead of slices, for tests of the page around them."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3)).save(buffer, "PNG")
    view = views.View(buffer.getvalue(), "axial 1/2, S 3 mm", 300.0, 200.0)
    monkeypatch.setattr(report.page, "draw", lambda findings: report.Drawings((view,) * 3, buffer.getvalue()))


class Page(HTMLParser):
    """What a browser would see: text, tags with attributes, and tables: that of the regions, then that of the lesions."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self._cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.append((tag, found))
        if tag == "table":
            self.tables.append([])
        if self.tables and tag == "tr":
            self.tables[-1].append([])
        if self.tables and tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._cell:
            self.tables[-1][-1][-1] += data.strip()

    @property
    def rows(self) -> list[list[str]]:
        return self.tables[0]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def pictures_of(html: str) -> list[bytes]:
    sources = [attributes["src"] for tag, attributes in Page(html).tags if tag == "img"]
    return [base64.b64decode((source or "").removeprefix("data:image/png;base64,")) for source in sources]


def test_report_loads_nothing_from_elsewhere(html: str) -> None:
    tags = Page(html).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "base"}
    for _, attributes in tags:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert not attributes.keys() & {"href", "srcset", "action", "background"}
    assert not re.search(r"https?://|//cdn|url\(|@import", html)
    assert "default-src 'none'" in html


def test_report_has_statement_headline_and_table(html: str, findings: Findings) -> None:
    page = Page(html)
    measured = findings.quantification
    assert page.text.count("Research use only, not for diagnosis") >= 2
    assert f"{measured.total.percent:.1f} %" in page.text
    assert f"{measured.total_score} / 25" in page.text
    assert "case1.nii.gz" in page.text and "20 slices, one every 5 mm" in page.text
    assert len(page.rows) == 9
    for row, region in zip(page.rows[1:], measured.regions, strict=True):
        assert row[0] == region.name
        assert row[3:5] == [f"{region.percent:.1f}", "–"]
    # 12 x 8 x 8 lesion voxels of 20 mm3 are 15.36 mL, all of ground glass.
    assert page.rows[-1][2] == page.rows[-1][7] == "15.4"
    assert page.rows[-1][8:] == ["0.0", "0.0", "−500"]
    assert page.rows[-1][5] == str(measured.total_score)
    assert page.rows[1][2] == "0.0"


def test_report_lists_the_lesions_and_explains_their_densities(html: str) -> None:
    page = Page(html)
    # Voxels 4 to 16 of z over the lobes' border at 11, 6 to 14 of y and x: the lung begins at 2, 5 and 5.
    assert page.tables[1][1:] == [["1 · RML, RUL", "15.4", "15.4", "0.0", "0.0", "−500", "2", "5"]]
    for words in ("−750 to below −300 HU", "Consolidation: −300 to 50 HU", "Other: lesion below −750 HU"):
        assert words in page.text, words


@pytest.mark.usefixtures("small_pictures")
def test_many_lesions_are_cut_and_the_rest_is_told(tmp_path: Path) -> None:
    many = make_findings(lesion_box=None)
    for number in range(14):
        # 2 x 2 x 2 voxels of 20 mm3 are .16 mL; the last two have one voxel.
        x, y = 6 + 4 * (number % 4), 6 + 5 * (number // 4)
        size = 2 if number < 12 else 1
        many.lesion[4 : 4 + size, y : y + size, x : x + size] = 1
    report.write_report(many, tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(page.tables[1]) == 1 + report.page.MOST_LESIONS
    assert "And 2 more with 0.3 mL together" in page.text
    assert "2 smaller than 0.1 mL, <0.1 mL together, are not listed" in page.text


def test_report_tells_how_it_was_made(html: str) -> None:
    text = Page(html).text
    for words in (
        "sha256:0123abcd",
        "threshold 0.5",
        "crf iterations 5",
        "crf enabled no",
        "spacing mm 2.5, 2.5, 2.5",
        "total 12.25 s",
        "cores 2",
        "By a person: No numbers and no strokes are on record.",
        "slices 4 and 5 are missing",
        "uneven slices",
        "50 × 40 × 20",
        "doi:10.1148/radiol.2020200370",
    ):
        assert words in text, words


def test_report_shows_no_folder(html: str) -> None:
    assert "secret" not in html


@pytest.mark.usefixtures("small_pictures")
def test_approximate_lobes_are_called_so_where_they_are_shown(html: str, tmp_path: Path) -> None:
    text = Page(html).text
    for words in (
        "Lobes (approximate) and lungs",
        "The lobes are approximate",
        "five approximate lobes",
        "white the approximate lobes",
    ):
        assert words in text, words
    report.write_report(make_findings(approximate=False, source="lobes.nii.gz"), tmp_path / "r.html")
    assert "approximate" not in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text


@pytest.mark.usefixtures("small_pictures")
def test_what_the_user_gave_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    record = {"warnings": [evil], "settings": {evil: evil}, "model": {"name": f'"><img src=x>{evil}'}}
    hostile = make_findings(name="<script>alert(1)<&script>.nii.gz", record=record, source=evil)
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    report.write_report(hostile, tmp_path / "r.html", {f'{evil}"': tmp_path / "a.png"})
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert all((found["src"] or "").startswith("data:") for tag, found in page.tags if tag == "img")
    assert "<script>alert(1)<&script>.nii.gz" in page.text
    assert html.count("&lt;script&gt;") >= 6


def test_report_without_record_lesion_or_path(tmp_path: Path) -> None:
    bare = make_findings(lesion_box=None, record={})
    bare = dataclasses.replace(bare, ct=dataclasses.replace(bare.ct, path=None, warnings=()))
    report.write_report(bare, tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    text = Page(html).text
    assert "0.0 %" in text
    assert "0 / 25" in text
    assert "Lesions None." in text
    assert len(pictures_of(html)) == 4


@pytest.mark.usefixtures("small_pictures")
def test_pictures_of_the_scene_are_embedded_unchanged(findings: Findings, tmp_path: Path) -> None:
    for name in ("view_axial.png", "view_3d.png"):
        Image.new("RGB", (8, 6), "navy").save(tmp_path / name)
    given = {name: tmp_path / name for name in ("view_axial.png", "view_3d.png")}
    report.write_report(findings, tmp_path / "r.html", given)
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert [file.read_bytes() for file in given.values()] == pictures_of(html)[-2:]
    assert "Lung and lesion surfaces from the scene" in Page(html).text


@pytest.mark.usefixtures("small_pictures")
def test_failed_report_leaves_nothing(findings: Findings, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        report.write_report(findings, tmp_path / "r.html", {"view_3d": tmp_path / "absent.png"})
    assert list(tmp_path.iterdir()) == []


def test_table_round_trip(findings: Findings, tmp_path: Path) -> None:
    table.write_table(findings, tmp_path / "lobes.csv")
    data = (tmp_path / "lobes.csv").read_bytes()
    assert data.startswith(b"region,name,volume_ml,lesion_ml,lesion_percent,dram_percent,severity_score,")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8"))))
    regions = findings.quantification.regions
    assert [row["region"] for row in rows] == [region.key for region in regions]
    for row, region in zip(rows, regions, strict=True):
        for column, attribute in table.COLUMNS.items():
            value = getattr(region, attribute)
            if value is None:
                assert row[column] == ""
            elif isinstance(value, float):
                assert float(row[column]) == pytest.approx(value, abs=5.1e-5)
            else:
                assert row[column] == str(value)
        assert row["lobes"] == "approximate"


@pytest.mark.usefixtures("small_pictures")
def test_table_of_a_missing_lobe_has_empty_fields(tmp_path: Path) -> None:
    found = make_findings(approximate=False)
    labels = np.where(found.lobes.labels == 4, 0, found.lobes.labels).astype(np.uint8)
    lobes = LobeMap(labels, False, "lobes.nii.gz")
    measured = quantify(found.ct.array, lobes, found.lesion, SPACING, found.dram)
    found = dataclasses.replace(found, lobes=lobes, quantification=measured)
    table.write_table(found, tmp_path / "lobes.csv")
    report.write_report(found, tmp_path / "r.html")
    row = list(csv.DictReader((tmp_path / "lobes.csv").open(encoding="utf-8")))[3]
    assert (row["volume_ml"], row["lesion_percent"], row["severity_score"]) == ("0.0000", "", "0")
    assert row["lobes"] == "given"
    assert Page((tmp_path / "r.html").read_text(encoding="utf-8")).rows[4][3:7] == ["–", "–", "0", ""]


def test_summary_is_json_that_says_the_same_as_the_table(findings: Findings, tmp_path: Path) -> None:
    table.write_summary(findings, tmp_path / "summary.json")
    read = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert read == table.summary(findings)
    assert read["record"] == RECORD
    assert read["total_severity_score"] == findings.quantification.total_score
    assert read["lobes"] == {"approximate": True, "source": "built-in planes"}
    assert read["warnings"] == ["uneven slices", "slices 4 and 5 are missing"]
    assert "not for diagnosis" in read["statement"]
    right = next(row for row in read["regions"] if row["region"] == "right")
    assert right["lesion_percent"] == findings.quantification["right"].percent
    assert right["severity_score"] is None


def test_summary_refuses_what_json_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        table.write_summary(make_findings(record={"seconds": {"read": float("nan")}}), tmp_path / "s.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("approximate", [True, False])
def test_terminal_table(approximate: bool) -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    shown = make_findings(approximate=approximate, name="[red]odd [name.nii.gz")
    table.print_table(shown, console)
    text = console.file.getvalue()
    measured = shown.quantification
    assert "[red]odd [name.nii.gz" in text
    assert ("approximate" in text) is approximate
    assert f"{measured.total_score}/25" in text
    assert "not for diagnosis" in text
    line = next(line for line in text.splitlines() if "right upper" in line)
    assert f"{measured['RUL'].percent:.1f}" in line
    assert f" {measured['RUL'].score} " in line
    assert "…" not in text


def test_matplotlib_comes_late_and_without_pyplot(tmp_path: Path) -> None:
    code = """
import sys
sys.path[:0] = sys.argv[1:3]
from DRAMLesionLib.results import report
assert "matplotlib" not in sys.modules
from report_case import make_findings
report.write_report(make_findings(), sys.argv[3])
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    folder = Path(__file__).resolve().parent
    arguments = [str(folder.parents[2]), str(folder), str(tmp_path / "r.html")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.real
def test_report_of_a_real_scan_is_small(covid_ct: Path, tmp_path: Path) -> None:
    from scipy.ndimage import gaussian_filter

    from DRAMLesionLib.images.volume import read_ct, read_on_grid

    ct = read_ct(covid_ct / "case02_ct.nii.gz")
    labels, lesion = (
        read_on_grid(covid_ct / f"case02_{kind}.nii.gz", ct, kind).astype(np.uint8)
        for kind in ("lobes", "lesion")
    )
    dram = gaussian_filter(lesion.astype(np.float32), 1.5)
    lobes = LobeMap(labels, True, "case02_lobes.nii.gz")
    measured = quantify(ct.array, lobes, lesion, ct.spacing_mm, dram)
    report.write_report(Findings(ct, lobes, dram, lesion, measured), tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size < 3_000_000
    assert "4.4 %" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text


@pytest.mark.usefixtures("small_pictures")
def test_what_a_person_did_is_said(tmp_path: Path) -> None:
    strokes = {"strokes": 3, "painted_voxels": 40, "changed_voxels": 512}
    record = {**RECORD, "correction": strokes, "ct_file": "../hospital/Doe.nii.gz"}
    reading = Reading((None, 65, None, None, None), (None, None, None, 2, None), "R. Reader")
    done = dataclasses.replace(make_findings(record=record), reading=reading)
    report.write_report(done, tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "R. Reader gave 65 % for the left lower lobe, score 2 for the right middle lobe" in page.text
    assert "3 strokes of 40 voxels; 512 voxels of the segmentation changed" in page.text
    assert page.rows[0][5] == "Reader" and [row[5] for row in page.rows[1:6]] == [
        "–",
        "65 %",
        "–",
        "score 2",
        "–",
    ]
    assert "Doe" not in page.text


@pytest.mark.usefixtures("small_pictures")
def test_what_was_found_in_a_phantom_stands_beside_the_truth(html: str, tmp_path: Path) -> None:
    truth = {"LUL": 0.0, "LLL": 0.98, "RUL": 12.34, "RML": 5.0, "RLL": 70.0}
    phantom = make_findings(record={"phantom": {"true_percent": truth}})
    report.write_report(phantom, tmp_path / "r.html")
    rows = Page((tmp_path / "r.html").read_text(encoding="utf-8")).rows
    assert rows[0][5] == "True %"
    assert [row[5] for row in rows[1:]] == ["0.0", "0.98", "12.3", "5.0", "70.0", "–", "–", "–"]
    assert "True %" not in Page(html).rows[0]
