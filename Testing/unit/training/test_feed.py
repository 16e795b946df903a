"""The order of samples, and the thread that makes them ahead."""

import threading
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.distributed import Processes
from DRAMLesionLib.training.feed import AHEAD, Order, epoch_order, feed


class Task:
    samples_together = 2

    def __init__(self, count, weights=None, bad=None):
        self._count, self.sample_weights, self._bad, self.made = count, weights, bad, []

    def __len__(self):
        return self._count

    def sample(self, index, epoch):
        self.made.append(threading.current_thread())
        if (index, epoch) == self._bad:
            raise InputError("ct.nii.gz: it is gone")
        return index, epoch


def calls(task, batch, steps, rank=0, count=1, seed=3):
    order = Order(task, SimpleNamespace(seed=seed, batch=batch))
    return list(feed(task, order, Processes(rank, count, None).share, steps))


@given(count=st.integers(1, 9), batch=st.integers(1, 5), epochs=st.integers(1, 3))
def test_each_sample_comes_once_an_epoch(count, batch, epochs):
    steps = -(-count // batch)
    found = calls(Task(count), batch, range(epochs * steps))
    assert sum(call.is_last for call in found) == epochs * steps
    seen = Counter(sample for call in found for sample in call.samples)
    assert seen == {(index, epoch): 1 for index in range(count) for epoch in range(1, epochs + 1)}


def test_a_training_that_goes_on_gets_what_an_unbroken_one_gets():
    whole = calls(Task(7), 3, range(9))
    rest = calls(Task(7), 3, range(4, 9))
    assert [call.samples for call in rest] == [call.samples for call in whole][-len(rest) :]


@given(count=st.integers(2, 9), batch=st.integers(2, 5))
def test_processes_share_each_step(count, batch):
    weights = [1.0 + index for index in range(count)]
    steps = range(2 * -(-count // batch))
    alone = calls(Task(count, weights), batch, steps)
    both = [calls(Task(count, weights), batch, steps, rank, 2) for rank in (0, 1)]
    shared = Counter(
        sample
        for calls_ in both
        for call in calls_
        for sample, (_, weight) in zip(call.samples, call.share, strict=True)
        if weight
    )
    assert shared == Counter(sample for call in alone for sample in call.samples)
    assert sum(call.is_last for call in both[0]) == sum(call.is_last for call in both[1]) == len(steps)


def test_weights_make_up_for_what_is_rare():
    scores = [0] * 15 + [1] * 4 + [5]
    order = [
        i for epoch in range(200) for i in epoch_order(20, 1, epoch, [1 / scores.count(s) for s in scores])
    ]
    share = Counter(scores[index] for index in order)
    assert [share[score] / len(order) for score in (0, 1, 5)] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert epoch_order(20, 1, 0, scores) == epoch_order(20, 1, 0, scores) != epoch_order(20, 1, 1, scores)


def test_samples_are_made_ahead_and_the_thread_ends_with_the_feed():
    task = Task(8)
    running = feed(task, Order(task, SimpleNamespace(seed=0, batch=2)), Processes(0, 1, None).share, range(4))
    first = next(running)
    thread = task.made[0]
    assert thread is not threading.current_thread()
    assert len(first.samples) == 2 and len(task.made) <= 2 * (AHEAD + 1)
    running.close()
    assert not thread.is_alive()


def test_an_error_comes_with_its_sample():
    task = Task(6, bad=(4, 1))
    with pytest.raises(InputError, match="it is gone"):
        calls(task, 2, range(3))
    assert not any(thread.is_alive() for thread in task.made)
