"""A correction session and the accepted cases, killed: whatever a person was told is done, is on the disk."""

import json
import random
import shutil
from pathlib import Path

from jobs import begin_session, operate, operations, state_of
from killing import kills, needs_fork
from wholeness import check_files, hidden

from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.images.volume import read_ct, read_on_grid
from DRAMLesionLib.training.data.datalist import read_datalist

pytestmark = needs_fork
STEPS = 14


def expected_states(folder: Path, directory: Path, count: int) -> list[str]:
    """The state at the start and after each step of an unbroken session."""
    session = begin_session(str(folder), str(directory))
    states = [state_of(session)]
    for operation in operations(count, session.label.shape):
        operate(session, operation, str(directory))
        states.append(state_of(session))
    return states


@kills(2, 40)
def test_session(number, killer, phantoms, tmp_path):
    """It stands where the last step that returned left it, or one step further."""
    count = STEPS + number % 5
    directory, told = tmp_path / "session", tmp_path / "told"
    words = {"folder": phantoms / "0", "directory": directory, "told": told, "count": count}
    name = f"session {count}"
    killer.measure(name, lambda: killer.nursery.run("session", words, directory))
    shutil.rmtree(directory, ignore_errors=True)
    told.unlink(missing_ok=True)
    states = expected_states(phantoms / "0", tmp_path / "unbroken", count)

    death = killer.nursery.run("session", words, directory, **killer.point(name, number))
    assert death.killed or death.code == 0, death.said
    said = told.read_text().split() if told.exists() else []
    assert said == states[: len(said)]
    check_files(directory)
    if said:
        session = CorrectionSession.load(directory)
        assert state_of(session) in states[len(said) - 1 : len(said) + 1], "a step is lost"
        assert not hidden(directory)
        operate(session, ("paint", (5, 5, 5), 1), str(directory))
        assert state_of(CorrectionSession.load(directory)) == state_of(session)
    else:  # it never began: another one may begin there
        again = killer.nursery.run("session", words, directory)
        assert again.code == 0, again.said
        assert not hidden(directory)


@kills(1, 30)
def test_accepted_case(number, killer, phantoms, tmp_path):
    """A case that is accepted again: the old one or the new one is there, never neither."""
    training, told, watched = tmp_path / "training", tmp_path / "told", random.Random(number).randint(1, 9)

    def accept(value: int, case: str = "0", **when):
        words = {"folder": phantoms / case, "training": training, "told": told, "value": value}
        return killer.nursery.run("accept", words, training, **when)

    assert accept(watched).code == 0
    killer.measure("accept", lambda: accept(watched))
    death = accept(watched + 1, **killer.point("accept", number))
    assert death.killed or death.code == 0, death.said
    check_files(training)
    returned = int(told.read_text())

    assert accept(3, case="1").code == 0  # the next run puts in order what it finds
    assert not hidden(training)
    found = {}
    for scan in read_datalist(training / "datalist.json").training:
        edits = read_on_grid(scan.edits, read_ct(scan.image))
        facts = json.loads((scan.edits.parent / "case.json").read_text())
        assert int(edits.sum()) == facts["painted_voxels"]["lesion"] == facts["record"]["value"]
        found[scan.edits.parent.name] = int(edits.sum())
    assert found.pop("ct_2") == 3
    assert list(found) == ["ct"] and found["ct"] in {returned, watched + 1}
