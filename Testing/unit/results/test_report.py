"""The table, the summary, the HTML report and its pictures."""

import base64
import csv
import dataclasses
import io
import itertools
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from DRAMLesionLib.images.volume import Geometry, Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results import figures, report, table
from DRAMLesionLib.results.report import bars, facts, views
from DRAMLesionLib.results.report.lobe_scheme import SCORE_COLORS, lobe_scheme, text_color

SHAPE = (20, 40, 50)
SPACING = (5.0, 2.0, 2.0)
RECORD = {
    "model": {"name": "tiny", "version": "1.2.3", "checksum": "sha256:0123abcd"},
    "settings": {"threshold": 0.5, "crf": {"iterations": 5, "enabled": False}, "spacing_mm": [2.5, 2.5, 2.5]},
    "versions": {"numpy": "2.0"},
    "seconds": {"read": 1.5, "total": 12.25},
    "warnings": ["slices 4 and 5 are missing"],
    "host": {"cores": 2},
}


def make_findings(
    *,
    approximate: bool = True,
    name: str = "case1.nii.gz",
    lesion_box: tuple[slice, ...] | None = (slice(4, 16), slice(6, 14), slice(6, 14)),
    record: dict | None = None,
    source: str = "built-in planes",
) -> Findings:
    """Two block lungs in soft tissue; by default one lesion, anterior in the patient's right lung."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2:11, 5:35, 5:23], labels[11:18, 5:35, 5:23] = 5, 3
    labels[2:11, 5:35, 27:45], labels[11:18, 5:35, 27:45] = 2, 1
    labels[2:11, 5:20, 5:23] = 4
    hu = np.where(labels > 0, -850, 40).astype(np.int16)
    lesion = np.zeros(SHAPE, dtype=np.uint8)
    if lesion_box is not None:
        lesion[lesion_box] = 1
        hu[lesion_box] = -500
    dram = lesion.astype(np.float32) * 0.9
    geometry = Geometry((50, 40, 20), (2.0, 2.0, 5.0), (0.0, 0.0, -30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    ct = Volume(hu, SPACING, geometry, "case1", Path("/secret/folder") / name, ("uneven slices",))
    lobes = LobeMap(labels, approximate, source)
    measured = quantify(hu, lobes, lesion, SPACING, dram)
    return Findings(ct, lobes, dram, lesion, measured, RECORD if record is None else record)


@pytest.fixture(scope="module")
def findings() -> Findings:
    return make_findings()


@pytest.fixture(scope="module")
def html(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write_report(findings, path)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def no_montages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures instead of the montages, for tests of the page around them."""
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


@pytest.mark.usefixtures("no_montages")
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


@pytest.mark.usefixtures("no_montages")
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


@pytest.mark.usefixtures("no_montages")
def test_what_the_user_gave_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    record = {"warnings": [evil], "settings": {evil: evil}, "model": {"name": f'"><img src=x>{evil}'}}
    hostile = make_findings(name="<script>alert(1)<&script>.nii.gz", record=record, source=evil)
    (tmp_path / "a.png").write_bytes(figures.lobe_chart(hostile.quantification, True))
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


@pytest.mark.usefixtures("no_montages")
def test_pictures_of_the_scene_are_embedded_unchanged(findings: Findings, tmp_path: Path) -> None:
    for name in ("view_axial.png", "view_3d.png"):
        Image.new("RGB", (8, 6), "navy").save(tmp_path / name)
    given = {name: tmp_path / name for name in ("view_axial.png", "view_3d.png")}
    report.write_report(findings, tmp_path / "r.html", given)
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert [file.read_bytes() for file in given.values()] == pictures_of(html)[-2:]
    assert "Lung and lesion surfaces from the scene" in Page(html).text


@pytest.mark.usefixtures("no_montages")
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


@pytest.mark.usefixtures("no_montages")
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


def image(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def outline_center(picture: np.ndarray, top: float, bottom: float, columns: int) -> tuple[float, float]:
    """Where the outline lies in the first panel of a row, as fractions (row, column) of the panel."""
    rows = slice(round(top), round(bottom))
    panel = picture[rows, : picture.shape[1] // columns]
    violet = (panel[..., 2] > 180) & (panel[..., 1] < 80) & (panel[..., 0] > 130)
    assert violet.any()
    where = np.argwhere(violet).mean(axis=0) / panel.shape[:2]
    return float(where[0]), float(where[1])


def panel_height(findings: Findings, axis: int) -> float:
    """A panel's height in pixels, from the size in mm of the lungs' box with its margin."""
    axes = (1, 2) if axis == 0 else (0, 2)
    size = []
    for one in axes:
        inside = np.flatnonzero(findings.lobes.labels.any(axis=tuple(i for i in range(3) if i != one)))
        margin = round(12.0 / SPACING[one])
        low, high = max(0, inside[0] - margin), min(SHAPE[one], inside[-1] + 1 + margin)
        size.append((high - low) * SPACING[one])
    return 2.3 * 150 * size[0] / size[1]


def test_axial_slices_have_the_patients_right_on_the_left_and_anterior_up(findings: Findings) -> None:
    picture = image(figures.axial_montage(findings))
    height = panel_height(findings, 0)
    # Each row of the montage is a plain panel with the overlay below it.
    row, column = outline_center(picture, height, 2 * height, 3)
    assert row < 0.4
    assert column < 0.4


def test_axial_slices_run_from_superior_to_inferior_and_coronal_ones_from_the_front(
    findings: Findings,
) -> None:
    axial = [one.label for one in figures._slices(findings, 0, 3)]
    assert axial == ["axial 14/20, S 35 mm", "axial 10/20, S 15 mm", "axial 6/20, I 5 mm"]
    coronal = [one.label for one in figures._slices(findings, 1, 2)]
    assert coronal == ["coronal 8/40, P 14 mm", "coronal 12/40, P 22 mm"]


def test_coronal_slices_have_superior_up(findings: Findings) -> None:
    height = panel_height(findings, 1)
    high = make_findings(lesion_box=(slice(14, 18), slice(6, 14), slice(28, 36)))
    row, column = outline_center(image(figures.coronal_montage(high)), height, 2 * height, 3)
    assert row < 0.4
    assert column > 0.5
    low = make_findings(lesion_box=(slice(2, 6), slice(6, 14), slice(6, 14)))
    row, column = outline_center(image(figures.coronal_montage(low)), height, 2 * height, 3)
    assert row > 0.6
    assert column < 0.5


def test_panels_keep_the_size_in_mm(findings: Findings) -> None:
    # Coronal panels are 20 x 5 mm = 100 mm high, 50 x 2 mm = 100 mm wide (margins end at the CT's border).
    picture = image(figures.coronal_montage(findings))
    assert picture.shape[1] == pytest.approx((3 * 2.3 + 2 * 0.035) * 150, abs=2)
    assert picture.shape[0] == pytest.approx((2 * 2.3 * 1.0 + 0.035 + 0.42) * 150, abs=4)


def test_slices_spread_over_the_lesion_and_show_the_most_of_each_part() -> None:
    lesion = np.zeros((30, 4, 4), dtype=np.uint8)
    lesion[10:22, 0, 0] = 1
    lesion[12, 1], lesion[15, 1], lesion[20, 2] = 1, 1, 1
    lobes = np.ones_like(lesion)
    assert figures.spread_slices(lesion, lobes, axis=0, count=3) == [12, 15, 20]
    assert figures.spread_slices(lesion, lobes, axis=1, count=5) == [0, 1, 2]


def test_slices_at_the_border_of_two_parts_are_not_both_taken() -> None:
    lesion = np.zeros((16, 4, 4), dtype=np.uint8)
    lesion[:, 0, 0] = 1
    lesion[5, 1], lesion[7:9] = 1, 1
    assert figures.spread_slices(lesion, lesion, axis=0, count=2) == [5, 10]
    lesion[:] = 0
    lesion[0], lesion[15] = 1, 1
    assert figures.spread_slices(lesion, lesion, axis=0, count=3) == [0, 15]


def test_slices_without_lesion_or_lobes() -> None:
    empty = np.zeros((30, 4, 4), dtype=np.uint8)
    lobes = empty.copy()
    lobes[9:18] = 1
    assert figures.spread_slices(empty, lobes, axis=0, count=3) == [10, 13, 16]
    assert figures.spread_slices(empty, empty, axis=0, count=2) == [7, 22]
    assert figures.spread_slices(empty[:2], empty[:2], axis=0, count=6) == [0, 1]


def test_heatmap_leaves_the_ct_where_it_is_zero_and_grows_with_its_value() -> None:
    hu = np.full(6, -850.0)
    heat = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    plain, colored = figures.blend(hu), figures.blend(hu, heat)
    assert np.array_equal(colored[0], plain[0])
    change = np.abs(colored - plain).max(axis=1)
    assert (np.diff(change[2:]) > 0).all()
    # -850 HU is a third of the window; inferno ends in (0.988, 0.998, 0.645) and covers 0.65 there.
    assert colored[-1] == pytest.approx([0.7591, 0.7656, 0.5359], abs=2e-3)
    assert figures.blend(np.array([-2000.0, 3000.0])).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_pictures_are_the_same_each_time(findings: Findings) -> None:
    assert figures.coronal_montage(findings) == figures.coronal_montage(findings)


def test_chart_draws_both_bars_in_proportion() -> None:
    found = make_findings()
    region = dataclasses.replace(
        found.quantification.regions[0],
        percent=40.0,
        dram_percent=20.0,
        volume_ml=50.0,
        ground_glass_ml=20.0,
    )
    empty = [
        dataclasses.replace(one, percent=0.0, dram_percent=0.0, ground_glass_ml=0.0)
        for one in found.quantification.regions[1:]
    ]
    measured = dataclasses.replace(found.quantification, regions=(region, *empty))
    picture = image(figures.lobe_chart(measured, approximate=False))[60:]
    heights = []
    for color in (figures.GROUND_GLASS_COLOR, figures.DRAM_COLOR):
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        rows = (np.abs(picture - wanted).max(axis=-1) < 8).sum(axis=1) > 20
        heights.append(int(rows.sum()))
    assert heights[0] / heights[1] == pytest.approx(2.0, abs=0.08)


def test_matplotlib_comes_late_and_without_pyplot(tmp_path: Path) -> None:
    code = """
import sys
sys.path[:0] = sys.argv[1:3]
from DRAMLesionLib.results import report
assert "matplotlib" not in sys.modules
from test_report import make_findings
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


@pytest.mark.usefixtures("no_montages")
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


@pytest.mark.usefixtures("no_montages")
def test_what_was_found_in_a_phantom_stands_beside_the_truth(html: str, tmp_path: Path) -> None:
    truth = {"LUL": 0.0, "LLL": 0.98, "RUL": 12.34, "RML": 5.0, "RLL": 70.0}
    phantom = make_findings(record={"phantom": {"true_percent": truth}})
    report.write_report(phantom, tmp_path / "r.html")
    rows = Page((tmp_path / "r.html").read_text(encoding="utf-8")).rows
    assert rows[0][5] == "True %"
    assert [row[5] for row in rows[1:]] == ["0.0", "0.98", "12.3", "5.0", "70.0", "–", "–", "–"]
    assert "True %" not in Page(html).rows[0]


def test_a_ct_without_identifiers_has_a_number_of_its_own() -> None:
    one = make_findings()
    neutral = dataclasses.replace(one, ct=dataclasses.replace(one.ct, name="ct", path=None))
    title = facts.title_of(neutral)
    assert re.fullmatch(r"Case \d{3} \d{3}", title) and title == facts.title_of(neutral)
    other = dataclasses.replace(neutral.ct, array=neutral.ct.array + np.int16(1))
    assert facts.title_of(dataclasses.replace(neutral, ct=other)) != title
    assert facts.title_of(one) == "case1.nii.gz"
    named = dataclasses.replace(one, record={"name": "Course, day 3"})
    assert facts.title_of(named) == "Course, day 3"


def test_study_date_and_thickness_are_shown_where_the_record_has_them() -> None:
    record = {"study": {"date": "2020-03-12", "slice_thickness_mm": 1.25}}
    words = facts.study_facts(make_findings(record=record))
    assert words == ["study of 2020-03-12", "slices 1.25 mm thick", "20 slices, one every 5 mm"]
    assert facts.study_facts(make_findings()) == words[2:]


def test_the_lobe_scheme_colours_by_score_and_writes_the_numbers() -> None:
    svg = lobe_scheme({"LUL": "0.98 %", "RLL": "<80 %"}, {"LUL": 0, "RLL": 5})
    fills = dict(re.findall(r'data-lobe="(\w+)"[^>]*fill="(#\w+)"', svg))
    assert fills == {
        "LUL": SCORE_COLORS[0],
        "RLL": SCORE_COLORS[5],
        **dict.fromkeys(("LLL", "RUL", "RML"), "#dfe3e8"),
    }
    assert ">0.98 %<" in svg and ">&lt;80 %<" in svg
    places = {name: float(x) for x, name in re.findall(r'<text x="(\d+)"[^>]*>([LR][UML]L)<', svg)}
    # Seen from the front: the patient's right on the left.
    assert max(places[name] for name in ("RUL", "RML", "RLL")) < min(places["LUL"], places["LLL"])


def test_scores_are_told_apart_by_lightness_alone_and_their_numbers_can_be_read() -> None:
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lights = [luminance(color) for color in SCORE_COLORS]
    assert all((one + 0.05) / (next_ + 0.05) > 1.2 for one, next_ in itertools.pairwise(lights))
    for color, light in zip(SCORE_COLORS, lights, strict=True):
        ends = sorted((light, luminance(text_color(color))))
        assert (ends[1] + 0.05) / (ends[0] + 0.05) > 4.5


def test_bars_show_density_in_proportion_and_the_range() -> None:
    region = dataclasses.replace(
        make_findings().quantification["LUL"],
        percent=8.0,
        volume_ml=1000.0,
        ground_glass_ml=50.0,
        consolidation_ml=20.0,
        other_ml=10.0,
        percent_low=6.0,
        percent_high=18.0,
    )
    assert bars.bar_end([region]) == 20
    svg = bars.density_bar(region, 20)
    drawn = re.findall(r'<rect x="([\d.]+)" y="1" width="([\d.]+)" height="8" fill="(#\w+)"', svg)[1:]
    assert [(float(x), float(width)) for x, width, _ in drawn] == [(0, 25), (25, 10), (35, 5)]
    assert [color for _, _, color in drawn] == [color for color, _ in bars.DENSITIES]
    assert "M30.00 11 H90.00" in svg
    assert bars.density_bar(dataclasses.replace(region, percent=None), 20) == ""


def test_views_show_the_slices_with_most_lesion_in_the_usual_directions(findings: Findings) -> None:
    lesion, lobes = findings.lesion.copy(), findings.lobes.labels
    lesion[9, 5:20, 5:20] = 1
    assert [views.most_lesion(lesion, lobes, axis) for axis in range(3)] == [9, 6, 6]
    lesion[:] = 0
    assert [views.most_lesion(lesion, lobes, axis) for axis in range(3)] == [10, 20, 25]
    # The lesion is anterior, below the middle of the lung: on the left of the sagittal picture.
    low = make_findings(lesion_box=(slice(3, 7), slice(6, 12), slice(6, 14)))
    sagittal = views.three_views(low)[2]
    assert sagittal.label == "sagittal 7/50, L 12 mm"
    row, column = outline_center(image(sagittal.png), 0, image(sagittal.png).shape[0], 1)
    assert row > 0.6 and column < 0.4


def test_views_draw_lobe_lines(findings: Findings) -> None:
    without = dataclasses.replace(
        findings, lobes=LobeMap(np.where(findings.lobes.labels > 0, 5, 0).astype(np.uint8), False, "one")
    )
    lines = [image(views.three_views(one)[1].png) for one in (findings, without)]
    # The border of upper and lower lobe crosses both lungs.
    middle = [picture[picture.shape[0] // 3 : picture.shape[0] // 2] for picture in lines]
    white = [np.count_nonzero((rows.min(axis=-1) > 200).sum(axis=1) > rows.shape[1] * 0.5) for rows in middle]
    assert white[0] > white[1]


def test_axial_slices_of_the_strip_run_three_in_a_row(findings: Findings) -> None:
    picture = image(views.axial_strip(findings, 6))
    panel = panel_height(findings, 0)
    assert picture.shape[1] == pytest.approx((3 * 2.3 + 2 * 0.035) * 150, abs=2)
    assert picture.shape[0] == pytest.approx(2 * panel + (0.035 + 0.42) * 150, abs=4)
    row, column = outline_center(picture, 0, panel, 3)
    assert row < 0.4 and column < 0.4


def test_fewer_colors_look_the_same() -> None:
    rng = np.random.default_rng(0)
    heat = np.linspace(0, 1, 80)[None].repeat(60, axis=0)
    pixels = (255 * figures.blend(rng.uniform(-1000, 100, heat.shape), heat)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    small = figures._few_colors(buffer.getvalue())
    assert Image.open(io.BytesIO(small)).mode == "P"
    assert np.abs(image(small) - pixels).mean() < 4
    assert np.abs(image(small) - pixels).max() < 40
