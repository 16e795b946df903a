"""Work in threads gives what it would give one after the other."""

import threading

import pytest

from DRAMLesionLib.lungs.at_once import at_once


def test_all_run_at_the_same_time_and_answer_in_their_order():
    meeting = threading.Barrier(3)

    def meet(answer):
        meeting.wait(timeout=10)  # breaks where one waits for another
        return answer

    assert at_once(lambda: meet("a"), lambda: meet("b"), lambda: meet("c")) == ["a", "b", "c"]
    assert at_once() == [] and at_once(lambda: 1) == [1]


@pytest.mark.parametrize("failing", [0, 1])
def test_what_one_raises_comes_when_all_have_ended(failing):
    ended = []

    def work(number):
        if number == failing:
            raise ValueError("no lung")
        ended.append(number)

    with pytest.raises(ValueError, match="no lung"):
        at_once(lambda: work(0), lambda: work(1))
    assert ended == [1 - failing]
