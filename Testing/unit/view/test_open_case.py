"""An open case: strokes, sliders, undo, its journal, and what is written; no browser and no trame."""

import numpy as np
import pytest
from small_case import CENTRE, FREE, make_case

from DRAMLesionLib.results.scene import available

pytestmark = pytest.mark.skipif(not available.is_available(), reason="slicer-core is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_case(tmp_path_factory.mktemp("made"))


@pytest.fixture
def places(made, tmp_path):
    import shutil

    from DRAMLesionLib.view.case import Places

    shutil.copytree(made.parent, tmp_path / "reading")
    return Places.beside(tmp_path / "reading" / made.name)


@pytest.fixture
def scene():
    from DRAMLesionLib.results.scene import headless

    with headless.start() as application:
        yield application.scene


def opened(scene, places):
    from DRAMLesionLib.view.case import Case, read_case

    findings, held = read_case(places)
    return Case(scene, findings, places, held)


def paint(case, voxel, value=1, radius=2):
    """Change the segment as a tool of trame-slicer does: from outside, without a word to the correction."""
    from DRAMLesionLib.results.scene.mrml import update_segment
    from DRAMLesionLib.results.segments import LESION

    label = case.correction.lesion.copy()
    z, y, x = voxel
    label[z, y - radius : y + radius + 1, x - radius : x + radius + 1] = value
    update_segment(case.nodes.lesion, LESION.id, label, case.findings.ct)


def test_a_case_opens_as_it_was_written(scene, places):
    case = opened(scene, places)
    assert np.array_equal(case.correction.lesion, case.findings.lesion)
    assert case.correction.table == case.findings.quantification
    assert not case.look() and not case.correction.can_undo


def test_a_stroke_is_lesion_with_what_looks_alike(scene, places):
    case = opened(scene, places)
    before = case.correction.lesion.copy()
    paint(case, FREE)
    assert case.look()
    assert case.correction.lesion[FREE] == 1
    assert np.count_nonzero(case.correction.lesion > before) > 25, "haze around the stroke follows"
    assert case.undo() and np.array_equal(case.correction.lesion, before)
    assert case.redo() and case.correction.lesion[FREE] == 1


def test_a_killed_server_loses_no_stroke_and_no_slider(scene, places):
    case = opened(scene, places)
    case.ranked = case.rank()
    paint(case, FREE)
    case.look()
    case.steer(3, 20.0, "A. Reader")
    case.settle()
    paint(case, CENTRE, value=0)
    case.look()
    case.undo()
    lesion, table = case.correction.lesion.copy(), case.correction.table
    again = opened(scene, places)
    assert again.resume() == 6  # two strokes with their refinements, a slider, an undo
    assert np.array_equal(again.correction.lesion, lesion)
    assert again.correction.table == table
    assert again.correction.said.who[2] == "A. Reader"
    assert again.correction.can_redo, "the stroke that was taken back can be made again"


def test_a_torn_last_line_of_the_journal_is_left_out(scene, places):
    case = opened(scene, places)
    paint(case, FREE)
    case.look()
    with case.journal.path.open("ab") as file:
        file.write(b"0123abcd {torn")
    again = opened(scene, places)
    again.resume()
    assert np.array_equal(again.correction.lesion, case.correction.lesion)


def test_a_journal_of_earlier_results_is_set_aside(scene, places):
    from DRAMLesionLib.correction.segment.journal import ASIDE
    from DRAMLesionLib.images.volume import read_ct, write_volume
    from DRAMLesionLib.results.folder import LESION, ct_of

    case = opened(scene, places)
    paint(case, FREE)
    case.look()
    ct = read_ct(ct_of(places.results))
    write_volume(np.roll(case.findings.lesion, 1, axis=1), ct, places.results / LESION)
    again = opened(scene, places)
    assert not again.journal.actions and ASIDE in again.notes[0]
    assert (places.results / ASIDE).is_file()


def test_a_slider_gives_the_lobe_its_percentage_and_undo_takes_it_back(scene, places):
    case = opened(scene, places)
    assert case.steer(3, 20.0) is None, "the lobes are not ranked yet"
    case.ranked = case.rank()
    for percent in (10.0, 14.0, 20.0):
        given = case.steer(3, percent)
    case.settle()
    assert given == pytest.approx(20.0, abs=0.5)
    assert case.correction.table["RUL"].percent == pytest.approx(20.0, abs=0.5)
    assert case.undo() and case.correction.table == case.findings.quantification


def test_painted_voxels_hold_under_a_slider(scene, places):
    case = opened(scene, places)
    case.ranked = case.rank()
    paint(case, FREE)
    case.look()
    case.steer(1, 0.0)
    case.settle()
    assert case.correction.lesion[FREE] == 1


def test_what_is_painted_outside_the_lobes_is_given_back(scene, places):
    case = opened(scene, places)
    paint(case, (13, 30, 40))  # between the lungs
    assert not case.look(inside_lobes=True)
    assert case.correction.lesion[13, 30, 40] == 0


def test_save_writes_corrected_results_that_open_again(scene, places):
    from DRAMLesionLib.view.case import Places

    case = opened(scene, places)
    paint(case, FREE)
    case.look()
    out = case.save(*case.current())
    assert out == places.out and out.name.endswith("_corrected")
    again = opened(scene, Places.beside(out, ct=places.ct))
    assert np.array_equal(again.correction.lesion, case.correction.lesion)
    assert again.correction.edits[FREE] == 1, "what was painted holds on"
    again.ranked = again.rank()
    again.steer(1, 0.0)
    again.settle()
    assert again.correction.lesion[FREE] == 1


def test_accept_keeps_the_case_for_training(scene, places):
    from DRAMLesionLib.training.data.datalist import read_datalist

    case = opened(scene, places)
    paint(case, FREE)
    case.look()
    stored = case.accept(*case.current())
    assert stored.parent == places.training
    assert (stored / "edits.nrrd").is_file()
    assert len(read_datalist(places.training / "datalist.json").training) == 1


def test_a_folder_that_can_not_be_written_is_said_once(scene, places, monkeypatch):
    case = opened(scene, places)

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(case.journal, "add", full)
    paint(case, FREE)
    assert case.look() and case.correction.lesion[FREE] == 1
    assert case.undo()
    assert len(case.notes) == 1 and "No space left" in case.notes[0]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_what_could_not_be_written_is_written_with_the_next_action(scene, places, monkeypatch, failing):
    from DRAMLesionLib.correction.segment import journal

    case, write, count = opened(scene, places), journal.append_record, 0

    def full_once(path, record):
        nonlocal count
        count += 1
        if count == failing:
            raise OSError(28, "No space left on device")
        write(path, record)

    monkeypatch.setattr(journal, "append_record", full_once)
    paint(case, FREE)
    case.look()
    paint(case, CENTRE, value=0)
    case.look()
    case.undo()
    assert not case.notes, "what was said is taken back once all is written"
    again = opened(scene, places)
    assert again.resume() == 5
    assert np.array_equal(again.correction.lesion, case.correction.lesion)


def test_a_damaged_journal_leaves_nothing_in_the_scene(scene, places):
    from DRAMLesionLib.correction.segment.journal import NAME
    from DRAMLesionLib.system.errors import InputError

    before = scene.GetNumberOfNodes()
    (places.results / NAME).write_text("damaged\nand more\n")
    with pytest.raises(InputError, match="restore it from a backup"):
        opened(scene, places)
    assert scene.GetNumberOfNodes() == before


def test_a_change_from_here_is_no_stroke(scene, places):
    import asyncio
    from unittest.mock import MagicMock

    from DRAMLesionLib.view.strokes import Brush

    case, strokes = opened(scene, places), []

    async def change():
        Brush(MagicMock(), case.nodes, lambda: strokes.append(1), lambda: case.correction.busy)
        with case.correction.working():
            paint(case, FREE)
        await asyncio.sleep(0)
        assert not strokes
        paint(case, CENTRE, value=0)
        await asyncio.sleep(0)
        assert strokes == [1]

    asyncio.run(change())


def test_another_ct_is_refused(places, tmp_path):
    from DRAMLesionLib.system.errors import InputError
    from DRAMLesionLib.view.case import Places, read_case

    with pytest.raises(InputError, match="give a folder that segment wrote"):
        read_case(Places.beside(tmp_path))


def test_saving_keeps_corrected_results_of_an_earlier_session(scene, places):
    case = opened(scene, places)
    case.save(*case.current())
    mark = places.out / "mark.txt"
    mark.write_text("the first session's")
    case.save(*case.current())
    assert mark.is_file(), "this session's own are written over"
    for number in (1, 2):
        again = opened(scene, places)
        assert again.save(*again.current()) == places.out
        earlier = places.out.with_name(f"{places.out.name}_earlier_{number}")
        assert (earlier / "summary.json").is_file() and earlier.name in again.notes[-1]
    assert not mark.exists()
    assert (places.out.with_name(f"{places.out.name}_earlier_1") / "mark.txt").is_file()


def test_earlier_results_come_back_where_saving_fails(scene, places, monkeypatch):
    from DRAMLesionLib.view import case as module

    case = opened(scene, places)
    case.save(*case.current())

    def full(*_given, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_findings", full)
    again = opened(scene, places)
    with pytest.raises(OSError, match="No space"):
        again.save(*again.current())
    assert (places.out / "summary.json").is_file()
    assert not places.out.with_name(f"{places.out.name}_earlier_1").exists()
