"""The pictures of the report: slices, views and charts."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from report_case import SHAPE, SPACING, make_findings

from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results.report import canvas, drawing, slices, views


@pytest.fixture(scope="module")
def findings() -> Findings:
    return make_findings()


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


def test_axial_slices_run_from_superior_to_inferior_and_coronal_ones_from_the_front(
    findings: Findings,
) -> None:
    axial = [one.label for one in slices.slices_of(findings, 0, 3)]
    assert axial == ["axial 14/20, S 35 mm", "axial 10/20, S 15 mm", "axial 6/20, I 5 mm"]
    coronal = [one.label for one in slices.slices_of(findings, 1, 2)]
    assert coronal == ["coronal 8/40, P 14 mm", "coronal 12/40, P 22 mm"]


def test_coronal_views_have_superior_up() -> None:
    for box, up, left in (
        ((slice(14, 18), slice(6, 14), slice(28, 36)), True, False),
        ((slice(2, 6), slice(6, 14), slice(6, 14)), False, True),
    ):
        picture = image(views.three_views(make_findings(lesion_box=box))[1].png)
        row, column = outline_center(picture, 0, picture.shape[0], 1)
        assert (row < 0.4, row > 0.6) == (up, not up)
        assert (column < 0.5) == left


def test_views_keep_the_size_in_mm(findings: Findings) -> None:
    # The coronal one is 20 x 5 mm = 100 mm high, 50 x 2 mm = 100 mm wide (margins end at the CT's border).
    coronal = views.three_views(findings)[1]
    assert (coronal.height_mm, coronal.width_mm) == (100.0, 100.0)
    assert image(coronal.png).shape[:2] == pytest.approx((150, 150), abs=1)


def test_slices_spread_over_the_lesion_and_show_the_most_of_each_part() -> None:
    lesion = np.zeros((30, 4, 4), dtype=np.uint8)
    lesion[10:22, 0, 0] = 1
    lesion[12, 1], lesion[15, 1], lesion[20, 2] = 1, 1, 1
    lobes = np.ones_like(lesion)
    assert slices.spread_slices(lesion, lobes, axis=0, count=3) == [12, 15, 20]
    assert slices.spread_slices(lesion, lobes, axis=1, count=5) == [0, 1, 2]


def test_slices_at_the_border_of_two_parts_are_not_both_taken() -> None:
    lesion = np.zeros((16, 4, 4), dtype=np.uint8)
    lesion[:, 0, 0] = 1
    lesion[5, 1], lesion[7:9] = 1, 1
    assert slices.spread_slices(lesion, lesion, axis=0, count=2) == [5, 10]
    lesion[:] = 0
    lesion[0], lesion[15] = 1, 1
    assert slices.spread_slices(lesion, lesion, axis=0, count=3) == [0, 15]


def test_slices_without_lesion_or_lobes() -> None:
    empty = np.zeros((30, 4, 4), dtype=np.uint8)
    lobes = empty.copy()
    lobes[9:18] = 1
    assert slices.spread_slices(empty, lobes, axis=0, count=3) == [10, 13, 16]
    assert slices.spread_slices(empty, empty, axis=0, count=2) == [7, 22]
    assert slices.spread_slices(empty[:2], empty[:2], axis=0, count=6) == [0, 1]


def test_heatmap_leaves_the_ct_where_it_is_zero_and_grows_with_its_value() -> None:
    hu = np.full(6, -850.0)
    heat = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    plain, colored = drawing.blend(hu), drawing.blend(hu, heat)
    assert np.array_equal(colored[0], plain[0])
    change = np.abs(colored - plain).max(axis=1)
    assert (np.diff(change[2:]) > 0).all()
    # -850 HU is a third of the window; inferno ends in (0.988, 0.998, 0.645) and covers 0.65 there.
    assert colored[-1] == pytest.approx([0.7591, 0.7656, 0.5359], abs=2e-3)
    assert drawing.blend(np.array([-2000.0, 3000.0])).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_pictures_are_the_same_each_time(findings: Findings) -> None:
    assert views.axial_strip(findings) == views.axial_strip(findings)


def test_views_show_the_slices_with_most_lesion_in_the_usual_directions(findings: Findings) -> None:
    lesion, lobes = findings.lesion.copy(), findings.lobes.labels
    lesion[9, 5:20, 5:20] = 1
    assert [views.most_lesion(lesion, lobes, axis) for axis in range(3)] == [9, 10, 10]
    lesion[:] = 0
    assert [views.most_lesion(lesion, lobes, axis) for axis in range(3)] == [10, 20, 27]
    nothing = np.zeros_like(lobes)
    assert [views.most_lesion(lesion, nothing, axis) for axis in range(3)] == [10, 20, 25]
    # The lesion is anterior, below the middle of the lung: on the left of the sagittal picture.
    low = make_findings(lesion_box=(slice(3, 7), slice(6, 12), slice(6, 14)))
    sagittal = views.three_views(low)[2]
    assert sagittal.label == "sagittal 11/50, L 20 mm"
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
    pixels = (255 * drawing.blend(rng.uniform(-1000, 100, heat.shape), heat)).astype(np.uint8)
    small = canvas.few_colors(pixels)
    assert Image.open(io.BytesIO(small)).mode == "P"
    assert np.abs(image(small) - pixels).mean() < 4
    assert np.abs(image(small) - pixels).max() < 40
