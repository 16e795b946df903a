"""The page under a real mouse and keyboard; the voxels are checked, not the pictures alone."""

import json

import numpy as np
import pytest
from small_case import CENTRE, FREE

from DRAMLesionLib.images.volume import read_on_grid
from DRAMLesionLib.results.numbers import percent_text
from DRAMLesionLib.view.case import TRAINING_FOLDER


def test_the_page_shows_the_table_of_the_results(room):
    summary = json.loads((room.results / "summary.json").read_text())
    total = summary["total_lesion_percent"]
    assert f"{percent_text(total)} % of the lungs" in room.text("#headline")
    rows = {row["region"]: row for row in summary["regions"]}
    assert float(room.text("#percent-RUL")) == pytest.approx(rows["RUL"]["lesion_percent"], abs=0.06)


def test_right_is_at_the_left_and_anterior_at_the_top(room):
    axial = room.tab.locator(".plane-name", has_text="Axial").locator("xpath=..")
    letters = {
        side: axial.locator(f".side-{side}").inner_text() for side in ("left", "right", "top", "bottom")
    }
    assert letters == {"left": "R", "right": "L", "top": "A", "bottom": "P"}


def test_a_stroke_of_the_mouse_is_lesion_where_the_mouse_was(room):
    before = len(room.actions())
    room.tab.keyboard.press("1")
    room.wait(lambda: "Painting: paint" in room.text("body"), "the tool")
    z = room.shown_slice()
    room.drag([(z, FREE[1], FREE[2] - 4), (z, FREE[1], FREE[2] + 4)])
    actions = room.wait_for_actions(before + 2)
    assert [action["op"] for action in actions[before:]] == ["stroke", "refine"]
    voxels = room.strokes(actions[before])[1]
    assert set(voxels[:, 0]) == {z}, "a disc is painted in its slice alone"
    low, high = voxels[:, 2].min(), voxels[:, 2].max()
    # 8 voxels of 3 mm, and a brush of 10 mm.
    assert low == pytest.approx(FREE[2] - 4 - 10 / 6, abs=1.5)
    assert high == pytest.approx(FREE[2] + 4 + 10 / 6, abs=1.5)
    assert np.median(voxels[:, 1]) == pytest.approx(FREE[1], abs=1)
    room.wait(lambda: float(room.text("#percent-LUL") or 0) > 0, "the table")


def test_undo_and_redo_by_keys(room):
    before, painted = len(room.actions()), room.text("#percent-LUL")
    room.tab.keyboard.press("z")
    room.wait(lambda: room.text("#percent-LUL") == "0.0", "the lobe without lesion")
    room.tab.keyboard.press("y")
    room.wait(lambda: room.text("#percent-LUL") == painted, "the lobe with its lesion")
    assert [action["op"] for action in room.wait_for_actions(before + 2)[before:]] == ["undo", "redo"]


def test_a_slider_steers_its_lobe(room):
    before = len(room.actions())
    thumb = room.tab.locator("#slider-RUL").locator(
        "xpath=ancestor-or-self::div[contains(@class,'v-slider')][1]"
    )
    box = thumb.locator(".v-slider-track").bounding_box()
    start = thumb.locator(".v-slider-thumb").bounding_box()
    y = start["y"] + start["height"] / 2
    room.tab.mouse.move(start["x"] + start["width"] / 2, y)
    room.tab.mouse.down()
    room.tab.mouse.move(box["x"] + 0.4 * box["width"], y, steps=6)
    room.tab.mouse.up()
    # On a busy machine the hand seems to rest now and then, and each rest is a step.
    action = room.wait(
        lambda: (a := room.actions()) and len(a) > before and abs(a[-1].get("percent", 0) - 40) < 4 and a[-1],
        "a step to 40 %",
    )
    assert (action["op"], action["lobe"]) == ("steer", 3)
    room.wait(lambda: abs(float(room.text("#percent-RUL")) - action["percent"]) < 0.6, "the table")


def test_erasing_takes_lesion_away(room):
    before = len(room.actions())
    room.tab.keyboard.press("2")
    room.wait(lambda: "Painting: erase" in room.text("body"), "the tool")
    z = room.shown_slice()
    room.drag([(z, CENTRE[1] - 2, CENTRE[2]), (z, CENTRE[1] + 2, CENTRE[2])])
    stroke = room.wait_for_actions(before + 2)[before]
    assert list(room.strokes(stroke)) == [2]
    room.tab.keyboard.press("Escape")
    room.wait(lambda: "Painting" not in room.text("body"), "the empty hand")


def test_scissors_cut_what_lies_inside_the_loop_of_the_mouse(room):
    before, headline = len(room.actions()), room.text("#headline")
    room.tab.keyboard.press("3")
    room.wait(lambda: "Painting: scissors" in room.text("body"), "the tool")
    z, y, x = room.shown_slice(), CENTRE[1], CENTRE[2]
    room.drag([(z, y - 6, x - 6), (z, y - 6, x + 6), (z, y + 6, x + 6), (z, y + 6, x - 6), (z, y - 6, x - 6)])
    stroke = room.wait_for_actions(before + 1)[before]
    voxels = room.strokes(stroke)
    assert list(voxels) == [2]
    far = np.abs(voxels[2][:, 1:] - (y, x)).max()
    assert far <= 7, "nothing outside the loop"
    room.tab.keyboard.press("Escape")
    room.wait(lambda: "Painting" not in room.text("body"), "the empty hand")
    room.tab.keyboard.press("z")
    room.wait(lambda: room.text("#headline") == headline, "the lesion as it was")


def test_the_wheel_scrolls_the_plane_under_it(room):
    before = room.shown_slice()
    box = room.picture("Axial")
    room.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    room.tab.mouse.wheel(0, 100)
    room.wait(lambda: room.shown_slice() != before, "another slice")
    assert abs(room.shown_slice() - before) <= 2
    assert room.picture("Axial")["width"] == box["width"]


def test_a_lesion_of_the_list_is_jumped_to(room):
    room.wait(lambda: room.tab.locator(".lesion").count() > 0, "the list")
    room.tab.locator(".lesion").first.click()
    room.wait(lambda: room.tab.locator(".lesion.chosen").count() == 1, "the chosen lesion")


def test_reload_and_a_second_tab_show_the_same_case(room, tab_of):
    now = room.text("#headline")
    room.tab.reload()
    room.wait(lambda: room.text("#headline") == now, "the same table")
    other = tab_of(room.tab.url)
    room.wait(lambda: "Open in 2 tabs" in room.text("#tabs"), "a word on the second tab")
    other.close()
    room.wait(lambda: not room.text("#tabs"), "one tab again")


def test_without_the_token_nothing_is_shown(room, tab_of):
    bare = room.tab.url.partition("?")[0]
    answer = room.tab.context.browser.new_context().request.get(bare)
    assert answer.status == 403 and "token" in answer.text()
    socket = bare.replace("index.html", "ws")
    assert room.tab.context.browser.new_context().request.get(socket).status == 403


def test_save_and_accept_write_what_is_seen(room):
    room.tab.click("#save")
    room.wait(lambda: room.text("#message").startswith("Saved"), "the word on saving")
    out = room.results.with_name(f"{room.results.name}_corrected")
    edits = read_on_grid(out / "edits.nii.gz", room.ct, "edits")
    assert edits[:, FREE[1], FREE[2]].max() == 1, "the stroke of the mouse"
    assert edits[:, CENTRE[1], CENTRE[2]].max() == 2, "what was erased"
    summary = json.loads((out / "summary.json").read_text())
    assert f"{percent_text(summary['total_lesion_percent'])} % of the lungs" in room.text("#headline")
    room.tab.click("#accept")
    room.wait(lambda: room.text("#message").startswith("Accepted"), "the word on accepting")
    assert (room.results.parent / TRAINING_FOLDER / "datalist.json").is_file()


def test_the_report_opens(room):
    answer = room.tab.context.request.get(room.tab.url.replace("index.html", "report"))
    assert answer.status == 200 and "severity score" in answer.text().lower()


def test_a_second_server_says_which_process_has_the_folder(room, serving):
    second = serving(room.results)
    with pytest.raises(AssertionError, match=f"is open in another.*process {room.server.process.pid}"):
        second.address()
    assert second.end() == 2


def test_a_killed_server_has_lost_nothing(room, serving, tab_of):
    now, actions = room.text("#headline"), len(room.actions())
    room.server.end(kill=True)
    room.tab.close()
    room.server = serving(room.results)
    room.tab = tab_of(room.server.address())
    room.wait(lambda: room.text("#headline") == now, "the same table")
    assert len(room.actions()) == actions
    assert "done again" in room.text("body")


def test_the_server_ends_when_told(room):
    room.wait_until_ready()
    room.tab.click("#end")
    assert room.server.process.wait(240) == 0
