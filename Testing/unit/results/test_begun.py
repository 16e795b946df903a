"""A scene may be begun before the rest of its results is known; it goes where they go, or not at all."""

from types import SimpleNamespace

import numpy as np
import pytest

from DRAMLesionLib.results import begun
from DRAMLesionLib.results.folder import begin_results


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


def findings(voxels):
    array = np.broadcast_to(np.int16(0), (1, 1, voxels))
    return SimpleNamespace(ct=SimpleNamespace(array=array))


def test_the_scene_of_a_small_ct_is_begun_in_the_folder_of_the_results(made, tmp_path):
    small = findings(begun.MOST_BESIDE)
    with begin_results(tmp_path / "out", child="child") as results:
        results.begin_scene(small)
        assert results.making is made[0] and made[0].findings is small and made[0].child == "child"
        assert not (tmp_path / "out" / "scene.mrb").exists()
    assert (tmp_path / "out" / "scene.mrb").read_text() == "scene"


def test_that_of_a_large_ct_or_without_a_child_waits(made, tmp_path):
    with begin_results(tmp_path / "out", child="child") as results:
        results.begin_scene(findings(begun.MOST_BESIDE + 1))
    with begin_results(tmp_path / "out") as results:
        results.begin_scene(findings(8))
    assert not made


def test_where_the_rest_fails_it_is_stopped_and_nothing_is_left(made, tmp_path):
    with (
        pytest.raises(ValueError, match="no lobes"),
        begin_results(tmp_path / "out", child="child") as results,
    ):
        results.begin_scene(findings(8))
        raise ValueError("no lobes")
    assert made[0].stopped and not (tmp_path / "out").exists()
