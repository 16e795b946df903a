"""How much of the whole is done and how long the rest takes, with a clock of our own."""

import pytest

from DRAMLesionLib.system.progress import Estimate, duration


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


USUAL = {"Reading": 2.0, "Finding": 10.0, "Writing": 8.0}


def test_the_time_left_is_told_from_the_first_moment(clock):
    estimate = Estimate(USUAL, clock)
    assert estimate.fraction == 0 and estimate.remaining_s == pytest.approx(20.0)


def test_stages_make_up_the_whole_in_their_order(clock):
    estimate = Estimate(USUAL, clock)
    estimate.report("Reading", 0.5)
    assert estimate.fraction == pytest.approx(0.05)
    estimate.report("Finding", 0.0)
    assert estimate.fraction == pytest.approx(0.1)
    estimate.report("Finding: lobe 3", 0.5)
    assert (estimate.fraction, estimate.stage) == (pytest.approx(0.35), "Finding: lobe 3")
    estimate.report("Writing", 1.0)
    assert estimate.fraction == 1.0


def test_the_whole_never_goes_back(clock):
    estimate = Estimate(USUAL, clock)
    estimate.report("Finding", 0.5)
    for stage, fraction in (("Reading", 1.0), ("Finding", 0.1), ("Something else", 0.0), ("Finding", -3.0)):
        clock.now += 20
        before = estimate.fraction
        estimate.report(stage, fraction)
        assert estimate.fraction >= before
    estimate.report("Finding", 7.0)
    assert estimate.fraction == pytest.approx(0.6, abs=0.001)


def test_an_earlier_stage_that_is_told_again_leaves_no_more_time(clock):
    estimate = Estimate(USUAL, clock)
    clock.now += 7
    estimate.report("Finding", 0.5)
    left = estimate.remaining_s
    estimate.report("Reading", 0.5)
    assert estimate.remaining_s == pytest.approx(left)


def test_a_stage_that_tells_nothing_moves_but_never_ends_by_itself(clock):
    estimate = Estimate(USUAL, clock)
    clock.now += 2
    estimate.report("Finding", 0.0)
    seen = []
    for _ in range(50):
        clock.now += 1
        seen.append(estimate.fraction)
    assert seen == sorted(seen) and seen[0] > 0.1 and seen[5] > 0.3 and seen[-1] < 0.6


def test_the_time_left_follows_the_pace_of_this_run(clock):
    """Three times as slow as usual: after half the work about as much time is left as it took."""
    estimate = Estimate(USUAL, clock)
    for stage, length in USUAL.items():
        for part in range(10):
            estimate.report(stage, part / 10)
            clock.now += 3 * length / 10
            if estimate.stage == "Finding" and part == 7:
                assert estimate.remaining_s == pytest.approx(30.0, rel=0.35)
    estimate.report("Writing", 1.0)
    assert estimate.remaining_s == 1.0


def test_a_stage_that_hangs_makes_the_time_left_longer_not_shorter(clock):
    estimate = Estimate(USUAL, clock)
    clock.now += 2
    estimate.report("Finding", 0.0)
    clock.now += 60
    assert estimate.remaining_s > 25


def test_where_nothing_is_usual_each_stage_is_a_whole(clock):
    estimate = Estimate(None, clock)
    estimate.report("Training", 0.0)
    assert estimate.remaining_s is None and not estimate.knows_the_whole
    clock.now += 10
    estimate.report("Training", 0.25)
    assert (estimate.fraction, estimate.remaining_s) == (0.25, pytest.approx(30.0))
    estimate.report("Writing", 0.0)
    assert (estimate.fraction, estimate.remaining_s, estimate.elapsed_s) == (0.0, None, 0.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text
