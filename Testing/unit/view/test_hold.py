"""A folder of results is open in one server at a time."""

import pytest
from small_case import held_by_another

from DRAMLesionLib.correction.segment.hold import NAME, Hold
from DRAMLesionLib.system.errors import InputError


def test_the_second_is_told_which_process_has_the_folder_until_that_is_gone(tmp_path):
    with held_by_another(tmp_path) as process, pytest.raises(InputError, match=rf"process {process}\b"):
        Hold(tmp_path)
    Hold(tmp_path).release()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_made_to_be_held_goes_again_unless_something_came_into_it(tmp_path):
    folder = tmp_path / "results"
    hold = Hold(folder, make=True)
    hold.release()
    assert not folder.exists()
    hold = Hold(folder, make=True)
    (folder / "lesion.nii.gz").touch()
    hold.release()
    assert [path.name for path in folder.iterdir()] == ["lesion.nii.gz"]


def test_a_folder_that_another_made_at_the_same_moment_is_held_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(type(tmp_path), "exists", lambda _path: False)  # as it was when this one looked
    hold = Hold(tmp_path, make=True)
    assert [path.name.endswith(NAME) for path in tmp_path.iterdir()] == [True]
    hold.release()


def test_a_folder_that_is_gone_is_held_by_nobody(tmp_path):
    hold = Hold(tmp_path / "none")
    hold.renew()
    hold.release()
