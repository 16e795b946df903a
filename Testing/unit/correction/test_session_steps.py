"""Any order of steps, against a model that is nothing but a list of snapshots."""

import tempfile
from pathlib import Path

import numpy as np
from correction_case import QUICK, SPACING, make_case
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from DRAMLesionLib.correction.session import CorrectionSession

SMALL = tuple(slice(4, 20) for _ in range(3))


class Steps(RuleBasedStateMachine):
    """The session against a list of (edits, label) snapshots."""

    @initialize(seed=st.integers(0, 3))
    def begin(self, seed):
        case = make_case(seed)
        self.case = [np.ascontiguousarray(array[:, 10:34, 5:29]) for array in case]
        self.folder = tempfile.TemporaryDirectory()
        self.directory = Path(self.folder.name) / "s"
        self.session = CorrectionSession(*self.case, SPACING, directory=self.directory, propagation=QUICK)
        self.snapshots = [(self.session.edits, self.session.label)]
        self.position = 0
        self.painted: list[tuple[np.ndarray, int]] = []

    @rule(
        corner=st.tuples(st.integers(0, 28), st.integers(0, 20), st.integers(0, 20)),
        size=st.tuples(*[st.integers(1, 4)] * 3),
        value=st.integers(0, 2),
        kind=st.integers(0, 2),
    )
    def paint(self, corner, size, value, kind):
        mask = np.zeros(self.case[0].shape, bool)
        mask[tuple(slice(begin, begin + length) for begin, length in zip(corner, size, strict=True))] = True
        voxels = (mask, np.argwhere(mask), np.nonzero(mask))[kind]
        edits, label = (array.copy() for array in self.snapshots[self.position])
        box, part = self.session.paint(voxels, value)
        edits[mask] = value
        label[box] = part
        del self.snapshots[self.position + 1 :], self.painted[self.position :]
        self.snapshots.append((edits, label))
        self.painted.append((mask, value))
        self.position += 1

    @precondition(lambda self: self.position > 0)
    @rule()
    def undo(self):
        assert self.session.undo() is not None
        self.position -= 1

    @precondition(lambda self: self.position < len(self.painted))
    @rule()
    def redo(self):
        assert self.session.redo() is not None
        self.position += 1

    @rule()
    def at_the_ends_there_is_nothing_to_do(self):
        if self.position == 0:
            assert self.session.undo() is None
        if self.position == len(self.painted):
            assert self.session.redo() is None

    @rule(shift=st.sampled_from([-0.2, 0.1, 0.3]))
    def replace(self, shift):
        probability = np.clip(self.case[2] + shift, 0, 1)
        self.session.replace_probability(probability)
        fresh = CorrectionSession(*self.case[:2], probability, SPACING, propagation=QUICK)
        self.snapshots = [(fresh.edits, fresh.label)]
        for mask, value in self.painted:
            fresh.paint(mask, value)
            self.snapshots.append((fresh.edits, fresh.label))

    @rule()
    def reopen(self):
        self.session = CorrectionSession.load(self.directory)

    @rule()
    def copy_and_open_the_copy(self):
        copy = Path(tempfile.mkdtemp(dir=self.folder.name))
        self.session.save(copy)
        self.session, self.directory = CorrectionSession.load(copy), copy

    @invariant()
    def is_where_the_model_is(self):
        if not hasattr(self, "session"):
            return
        edits, label = self.snapshots[self.position]
        assert (self.session.edits == edits).all()
        assert (self.session.label == label).all()
        assert (label[edits == 1] == 1).all()
        assert (label[edits == 2] == 0).all()
        assert len(self.session.strokes) == self.position

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestSteps = Steps.TestCase
TestSteps.settings = settings(
    max_examples=8, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
)
