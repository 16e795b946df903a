"""The journal of a results folder: two that write it, results that changed, and files that a crash left."""

from dataclasses import replace

import numpy as np
import pytest
from small_case import make_case

from DRAMLesionLib.correction.segment.journal import ASIDE, NAME, Journal
from DRAMLesionLib.view.case import Places, read_case


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    return read_case(Places.beside(make_case(tmp_path_factory.mktemp("journal"))))[0]


def ops(folder, findings):
    return [action["op"] for action in Journal(folder, findings).actions]


def test_two_servers_on_one_folder_do_not_mix_their_actions(tmp_path, findings):
    first, second = Journal(tmp_path, findings), Journal(tmp_path, findings)
    first.add("undo")
    with pytest.raises(OSError, match="another server writes there"):
        second.add("refine")
    first.add("redo")
    assert ops(tmp_path, findings) == ["undo", "redo"]


def test_journals_of_earlier_results_are_all_kept(tmp_path, findings):
    for shift in range(3):
        other = replace(findings, lesion=np.roll(findings.lesion, shift, axis=1))
        journal = Journal(tmp_path, other)
        assert not journal.actions and bool(journal.set_aside) == bool(shift)
        journal.add("undo")
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == sorted([NAME, ASIDE, "correction_of_earlier_results_2.jsonl"])


def test_a_crash_before_the_first_line_leaves_a_journal_that_goes_on(tmp_path, findings):
    (tmp_path / NAME).touch()
    journal = Journal(tmp_path, findings)
    assert not journal.set_aside
    journal.add("undo")
    assert ops(tmp_path, findings) == ["undo"]


def test_a_journal_that_someone_took_away_is_not_begun_in_its_middle(tmp_path, findings):
    journal = Journal(tmp_path, findings)
    journal.add("undo")
    (tmp_path / NAME).unlink()
    with pytest.raises(OSError):
        journal.add("redo")
    assert not (tmp_path / NAME).exists()
