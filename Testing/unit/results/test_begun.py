"""A scene may be begun before the rest of its results is known; it goes where they go, or not at all."""

from types import SimpleNamespace

import numpy as np
import pytest

from DRAMLesionLib import case
from DRAMLesionLib.images.volume import ct_from_array
from DRAMLesionLib.lesions import find
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.results import begun
from DRAMLesionLib.results.folder import begin_results
from DRAMLesionLib.system.progress import silent
from DRAMLesionLib.system.record import Stopwatch


class Making:
    """A scene that is whole at once."""

    def __init__(self, findings, folder, child):
        self.findings, self.child, self.stopped = findings, child, False
        (folder / "scene.mrb").write_text("scene")

    def stop(self):
        self.stopped = True


@pytest.fixture
def made(monkeypatch):
    makings = []

    def begin(*given):
        makings.append(Making(*given))
        return makings[-1]

    monkeypatch.setattr(begun.process, "begin_scene_folder", begin)
    return makings


def test_the_scene_is_begun_in_the_folder_of_the_results(made, tmp_path):
    with begin_results(tmp_path / "out", child="child") as results:
        results.begin_scene("findings")
        assert results.making is made[0] and (made[0].findings, made[0].child) == ("findings", "child")
        assert not (tmp_path / "out" / "scene.mrb").exists()
    assert (tmp_path / "out" / "scene.mrb").read_text() == "scene"


def test_without_a_child_it_waits(made, tmp_path):
    with begin_results(tmp_path / "out") as results:
        results.begin_scene("findings")
    assert not made


def test_where_the_rest_fails_it_is_stopped_and_nothing_is_left(made, tmp_path):
    with (
        pytest.raises(ValueError, match="no lobes"),
        begin_results(tmp_path / "out", child="child") as results,
    ):
        results.begin_scene("findings")
        raise ValueError("no lobes")
    assert made[0].stopped and not (tmp_path / "out").exists()


@pytest.mark.parametrize("most", [60, 59])
def test_a_large_cts_scene_waits_until_its_map_is_refined(monkeypatch, most):
    ct = ct_from_array(np.arange(60).reshape(3, 4, 5) * 30 - 1000, (1, 1, 1))
    told = []
    monkeypatch.setattr(case, "MOST_BESIDE", most)
    monkeypatch.setattr(
        find,
        "find_lesions",
        lambda *_given, **how: (
            told.append((how.get("known"), how.get("beside"))) or SimpleNamespace(record={})
        ),
    )
    models = SimpleNamespace(device="cpu")
    with case._ready_to_find(ct, Options(), models, silent, Stopwatch()) as find_in_it:
        find_in_it(print)
    assert told == [(print, most == 60)]
