"""Numbers, colours and rows of a comparison, each for itself."""

import numpy as np
import pytest

from DRAMLesionLib.followup import words
from DRAMLesionLib.followup.changes import RegionChange, changes_between, flags_between
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
    ("before", "after", "beyond"),
    [
        ((2, 6), (7, 12), True),
        ((7, 12), (2, 6), True),
        ((2, 6), (5, 12), False),
        ((2, 6), (None, None), None),
    ],
)
def test_ranges_that_touch_are_no_sure_change(before, after, beyond):
    assert RegionChange(region("LUL", 5, *before), region("LUL", 9, *after)).beyond_ranges is beyond


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
