"""Numbers, colours and rows of a comparison, each for itself."""

from dataclasses import replace

import numpy as np
import pytest

from DRAMLesionLib.followup import words
from DRAMLesionLib.followup.changes import RegionChange, changes_between, flags_between, total_range
from DRAMLesionLib.followup.exam import Exam
from DRAMLesionLib.followup.figures import DIFFERENCE_COLORS, colored
from DRAMLesionLib.followup.levels import BOTH, NEW, RESOLVED
from DRAMLesionLib.lesions.quantify import Quantification, Region, severity_score
from DRAMLesionLib.lungs.lobes import LOBES

# G. M. Machado et al., A Physiologically-based Model for Simulation of Color Vision Deficiency, IEEE TVCG 2009;15.
EYES = {
    "normal": np.eye(3),
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.004, "0"), (-0.04, "−0.04"), (0.05, "+0.1"), (-12.34, "−12.3"), (None, "–")],
)
def test_a_change_has_its_sign_and_is_nothing_only_where_it_is(value, text):
    assert words.signed_text(value) == text


def test_changes_of_volumes_and_names_for_people():
    assert [words.signed_ml_text(value) for value in (-345.6, 3.21)] == ["−346", "+3.2"]
    assert [words.whole_text(value) for value in (0, 2, -1, None)] == ["0", "+2", "−1", "–"]
    names = [words.exam_name(days, number) for days, number in ((None, 0), (None, 1), (14.0, 1))]
    assert names == ["exam 1 (baseline)", "exam 2", "exam 2, day 14"]


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("grey", [0.25, 0.55, 0.85])
def test_the_three_differences_are_told_apart_on_any_grey_by_any_eyes(eye, grey):
    picture = np.full((1, 3, 3), grey, np.float32)
    seen = colored(picture, np.array([[BOTH, NEW, RESOLVED]], np.uint8))[0] @ np.array(EYES[eye]).T
    seen = np.concatenate([seen, [np.full(3, grey)]])
    gaps = [np.abs(seen[a] - seen[b]).max() for a in range(4) for b in range(a)]
    assert min(gaps) > 0.1
    assert set(DIFFERENCE_COLORS) == {BOTH, NEW, RESOLVED}


def region(
    key: str, percent: float, low: float | None = None, high: float | None = None, volume=1000.0
) -> Region:
    ml = volume * percent / 100
    score = severity_score(percent)
    return Region(key, key, volume, ml, percent, None, score, ml, 0.0, 0.0, -800.0, -500.0, low, high)


def exam(percent: float, volume: float = 1000.0, **others) -> Exam:
    keys = (*(lobe.abbreviation for lobe in LOBES), "left", "right", "total")
    table = Quantification(tuple(region(key, percent, volume=volume) for key in keys))
    return Exam("ct", table, False, **{"spacing_mm": (1.0, 1.0, 1.0), **others})


def test_changes_in_ml_points_score_and_volume_have_the_sign_of_what_came():
    change = changes_between(exam(4.0), exam(10.0, 900.0))[0]
    assert (change.change_ml, change.change_points) == pytest.approx((50.0, 6.0))
    assert (change.change_score, change.change_volume_ml) == (1, -100.0)


def test_a_lobe_without_voxels_has_no_points():
    gone = Region("LUL", "left upper lobe", 0.0, 0.0, None, None, 0, 0.0, 0.0, 0.0, None, None)
    assert RegionChange(region("LUL", 5.0), gone).change_points is None


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((4.0, 6.0), (8.0, 11.0), "more"),
        ((8.0, 11.0), (4.0, 6.0), "less"),
        ((2.0, 8.0), (4.0, 12.0), "no certain change"),
    ],
)
def test_a_change_is_certain_where_its_range_does_not_hold_0(before, after, verdict):
    percent = {(4.0, 6.0): 5.0, (8.0, 11.0): 9.0, (2.0, 8.0): 5.0, (4.0, 12.0): 9.0}
    dates = []
    for ends in (before, after):
        plain = exam(percent[ends])
        ranges = dict.fromkeys(range(1, 6), ends)
        dates.append(replace(plain, quantification=plain.quantification.with_ranges(ranges)))
    changes = changes_between(*dates)
    assert {change.verdict for change in changes[:5]} == {verdict}
    lobe = changes[0]
    if verdict == "more":  # 4 points, down by the root of 1 and 1, up by that of 2 and 1
        assert (lobe.points_low, lobe.points_high) == pytest.approx((4 - 2**0.5, 4 + 5**0.5))


def test_a_change_without_ranges_has_no_verdict():
    change = changes_between(exam(5.0), exam(9.0))[-1]
    assert change.verdict is change.points_low is None


def test_what_the_densities_confirm_is_the_difference_of_gain_and_loss():
    change = changes_between(exam(5.0), exam(9.0), {"LUL": (3.0, 1.0)})
    assert change[0].confirmed_ml == 2.0 and change[1].confirmed_ml is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"after": exam(4.0)}, None),
        ({"after": exam(4.0, 740.0)}, "lung-volume"),
        ({"after": exam(4.0, spacing_mm=(2.1, 1.0, 1.0))}, "slices"),
        ({"after": exam(4.0, made_by={"method": "dram"})}, "made-differently"),
        ({"correlation": 0.2}, "other-patient"),
        ({"inverse_error_mm": 4.1}, "registration"),
    ],
)
def test_each_flag_stands_alone(change, code):
    usual = {"before": exam(4.0), "after": exam(4.0), "correlation": 0.9, "inverse_error_mm": 1.0}
    codes = {flag.code for flag in flags_between(**{**usual, **change})}
    assert codes == ({code} if code else set())


def test_the_range_of_both_lungs_takes_the_lobes_errors_as_equal_ones():
    lobes = [region(lobe.abbreviation, 5.0, 4.0, 7.0) for lobe in LOBES]
    sums = [region(key, 5.0, volume=ml) for key, ml in (("left", 2e3), ("right", 3e3), ("total", 5e3))]
    assert total_range(Quantification((*lobes, *sums))) == pytest.approx((4.0, 7.0))
    assert total_range(Quantification((region("LUL", 5.0), *lobes[1:], *sums))) is None
