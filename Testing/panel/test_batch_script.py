"""Scripts/batch.py: many CTs through the module's logic, without a window."""

import importlib.util
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from panel_standin.application import loadModule  # noqa: F401 - the stand-in comes first

from DRAMLesionLib.batch.manifest import read_manifest
from DRAMLesionLib.phantom import save_phantom

SCRIPT = Path(__file__).resolve().parents[2] / "Scripts" / "batch.py"


@pytest.fixture
def script(module, models, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    spec = importlib.util.spec_from_file_location("batch_script", SCRIPT)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def classes():
    """The classes of the scene's nodes, but for those of which a scene has one."""
    import slicer

    nodes = slicer.mrmlScene.GetNodes()
    every = [nodes.GetItemAsObject(place) for place in range(nodes.GetNumberOfItems())]
    return Counter(node.GetClassName() for node in every if not node.GetSingletonTag())


def assert_each_scene_holds_its_own_case_alone(out):
    for name, other in (("one", "two"), ("two", "one")):
        with zipfile.ZipFile(out / "cases" / name / "scene.mrb") as bundle:
            words = (
                " ".join(bundle.namelist())
                + bundle.read(next(n for n in bundle.namelist() if n.endswith(".mrml"))).decode()
            )
        assert f'name="{name}"' in words and f'name="{other}"' not in words


def test_a_folder_of_cts_gives_scenes_and_tables(script, phantom, tmp_path, capsys):
    import slicer

    for name in ("one", "two"):
        save_phantom(phantom, tmp_path / "in" / name)
    (tmp_path / "in" / "bad").mkdir()
    (tmp_path / "in" / "bad" / "lobes.nii.gz").write_bytes(b"")
    (tmp_path / "in" / "bad" / "ct.nii.gz").write_bytes(b"")
    slicer.mrmlScene.Clear(0)
    before = classes()
    out = tmp_path / "out"
    arguments = [
        "--",
        str(tmp_path / "in"),
        str(out),
        "--lobes",
        "lobes.nii.gz",
        "--model",
        "tiny",
        "--workers",
        "2",
    ]
    assert script.main(arguments) == 3
    assert_each_scene_holds_its_own_case_alone(out)
    rows = {row["case"]: row for row in read_manifest(out)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "bad": "failed",
        "one": "done",
        "two": "done",
    }
    assert rows["bad"]["reason"] == "bad.nii.gz: the file is empty: copy or export it again"
    for name in ("one", "two"):
        folder = out / "cases" / name
        assert (folder / "scene.mrb").stat().st_size > 10_000
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["lobes"]["approximate"] is False and summary["ct"] == name
    volumes = (out / "volumes.csv").read_text().splitlines()
    assert len(volumes) == 1 + 2 * 8
    assert classes() - before == Counter(), "a case's nodes leave the scene"
    assert "2 of 3 cases done, 1 failed" in capsys.readouterr().out

    assert script.main([*arguments[1:], "--resume"]) == 3
    assert "(2 of them before)" in capsys.readouterr().out


def test_arguments_that_can_not_be_used(script, tmp_path, capsys):
    assert script.main([str(tmp_path)]) == 2
    assert script.main([str(tmp_path / "gone"), str(tmp_path / "out")]) == 2
    assert "gone" in capsys.readouterr().err
