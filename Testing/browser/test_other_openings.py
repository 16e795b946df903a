"""A batch's folder, and a CT that can't be segmented."""

import numpy as np
import pytest
from reading_room import Room
from small_case import SHAPE, SPACING, make_batch

from DRAMLesionLib.correction.segment.journal import NAME
from DRAMLesionLib.images.volume import Geometry, Volume, write_volume

PATIENCE_S = 150


def test_a_batch_is_read_by_keys_flagged_cases_first(tmp_path, serving, tab_of):
    batch = make_batch(tmp_path)
    server = serving(batch)
    room = Room(batch / "cases" / "b", server, tab_of(server.address()), PATIENCE_S)
    room.wait(lambda: "The lungs are cut off" in room.text("body"), "the flagged case")
    assert room.tab.locator(".case").all_inner_texts()[0].startswith("b")
    room.wait_until_ready()
    room.tab.keyboard.press("n")
    room.wait(lambda: room.text(".case.chosen").startswith("a"), "the next case")
    room.wait(lambda: "The lungs are cut off" not in room.text(".flag"), "a case without flags")
    room.wait_until_ready()
    room.tab.keyboard.press("p")
    room.wait(lambda: room.text(".case.chosen").startswith("b"), "the case before")
    assert server.end() == 0


def test_a_case_that_can_not_be_opened_shows_no_numbers_and_is_tried_again(tmp_path, serving, tab_of):
    batch = make_batch(tmp_path)
    journal = batch / "cases" / "a" / NAME
    journal.write_text("damaged\nand more\n")
    server = serving(batch)
    room = Room(batch / "cases" / "b", server, tab_of(server.address()), PATIENCE_S)
    room.wait_until_ready()
    assert "% of the lungs" in room.text("#headline")
    room.tab.keyboard.press("n")
    room.wait(lambda: "restore it from a backup" in room.text("#message"), "why it can't be opened")
    assert not room.text("#headline") and not room.text("#percent-RUL"), "numbers of the case before"
    journal.unlink()
    room.tab.click("#again")
    room.wait_until_ready()
    assert "% of the lungs" in room.text("#headline")
    assert server.end() == 0


def make_ct(path, outside):
    """A CT of soft tissue without lungs, which ends every run; ``outside`` is the HU of its first slice."""
    hu = np.full(SHAPE, 40, np.int16)
    hu[0] = outside
    geometry = Geometry(SHAPE[::-1], SPACING[::-1], (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    write_volume(hu, Volume(hu, SPACING, geometry, path.stem), path)


@pytest.mark.slow
def test_a_run_fails_is_tried_again_is_stopped_and_the_page_lives(tmp_path, serving, tab_of):
    make_ct(tmp_path / "water.nii.gz", -1000)
    server = serving(tmp_path / "water.nii.gz")
    tab = tab_of(server.address())
    # The first run may end before the tab is there, so a later one is stopped.
    tab.wait_for_function("document.querySelector('#message')?.innerText.toLowerCase().includes('lung')")
    # Again and again, as a run may be over before its button Stop was seen.
    tab.wait_for_function("""() => {
        if (document.querySelector('#message')?.innerText.startsWith('stopped')) return true;
        (document.querySelector('#stop') ?? document.querySelector('#again'))?.click();
        return false;
    }""")
    tab.wait_for_selector("#again")
    assert [path.name for path in tmp_path.iterdir()] == ["water.nii.gz"]
    assert server.process.poll() is None
    assert server.end() == 0
