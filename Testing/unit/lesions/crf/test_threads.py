"""Works that are alike share the threads; what they give does not depend on that."""

import threading
import time

import numpy as np
import pytest
import torch

from DRAMLesionLib.lesions.crf import threads
from DRAMLesionLib.lesions.crf.threads import one_thread_each
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.refined_dram import refine_dram

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_works_meet_and_split_no_operation(two_threads):
    meeting = threading.Barrier(2)

    def work(number):
        meeting.wait(timeout=30)  # breaks where one waits for the other
        return number, torch.get_num_threads(), torch.is_inference_mode_enabled()

    with torch.inference_mode():
        assert one_thread_each([lambda: work(1), lambda: work(2)], CPU) == [(1, 1, True), (2, 1, True)]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [1, 3])
def test_one_thread_or_more_threads_than_works_go_one_after_the_other(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        here = threading.get_ident()
        found = one_thread_each([threading.get_ident, torch.get_num_threads], CPU)
    finally:
        torch.set_num_threads(before)
    assert found == [here, threads]


def test_works_within_works_do_not_wait_for_each_other(two_threads):
    def outer(number):
        return one_thread_each([lambda: number, lambda: -number], CPU)

    assert one_thread_each([lambda: outer(1), lambda: outer(2)], CPU) == [[1, -1], [2, -2]]


def test_what_one_raises_comes_when_the_other_has_ended(two_threads):
    ended, both_began = [], threading.Barrier(2)

    def fail():
        both_began.wait(timeout=30)
        raise ValueError("no lobe")

    def go_on():
        both_began.wait(timeout=30)
        ended.append(1)

    with pytest.raises(ValueError, match="no lobe"):
        one_thread_each([fail, go_on], CPU)
    assert ended == [1]


def test_after_one_failed_those_that_wait_do_not_begin(two_threads):
    began, failed = [], threading.Event()

    def fail():
        began.append(0)
        failed.set()
        raise InterruptedError  # as the progress of a user who stops the work

    def work(number):
        began.append(number)
        failed.wait(timeout=30)
        time.sleep(0.2)

    with pytest.raises(InterruptedError):
        one_thread_each([fail, *(lambda number=number: work(number) for number in range(1, 20))], CPU)
    assert len(began) < 10


def test_after_ctrl_c_those_that_wait_do_not_begin(two_threads, monkeypatch):
    began, go_on = [], threading.Event()

    def interrupted(*_given, **_how):
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "wait", interrupted)
    works = [lambda number=number: (began.append(number), go_on.wait(timeout=30)) for number in range(20)]
    try:
        with pytest.raises(KeyboardInterrupt):
            one_thread_each(works, CPU)
    finally:
        go_on.set()
    monkeypatch.undo()
    one_thread_each([lambda: None, lambda: None], CPU)  # behind all that waited
    assert len(began) <= 2


def test_both_lungs_at_once_give_what_one_after_the_other_gives(two_threads):
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 20, 24), np.uint8)
    labels[2:10, 3:17, 1:11], labels[2:10, 3:17, 13:23] = 3, 1
    hu = rng.integers(-900, 0, labels.shape).astype(np.int16)
    dram = rng.random(labels.shape, np.float32) * (labels > 0)
    given = (dram, hu, (2.0, 1.5, 1.5), labels, ModelDescription())
    at_once = refine_dram(*given)
    torch.set_num_threads(1)
    np.testing.assert_allclose(at_once, refine_dram(*given), atol=1e-5)
    assert at_once[labels > 0].std() > 0.05 and not at_once[labels == 0].any()
