"""The section Follow-up, clicked in a stand-in for Slicer: CTs of the scene or folders, a page; what can't be compared
is one line."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from clicks import ball, lesion_of, open_correction, own_folders, stroke, wait_until

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.results import table

RESULT = {
    "changes": [{"region": "total", "lesion_change_ml": -2.0}],
    "intervals": [{"lesion_counts": {"stable": 3, "new": 0}, "flags": []}],
}


class InThisProcess:
    """A worker that does a job at once, in this process, which has all modules loaded already."""

    def __init__(self, _temporaryPath):
        pass

    def submit(self, kind, **arguments):
        import typer
        from DRAMLesionPanel.shared.worker_jobs import JOBS

        from DRAMLesionLib.system.errors import InputError

        told = [{"event": "progress", "stage": "Starting", "fraction": 0.0}]
        reporter = SimpleNamespace(
            progress=lambda stage, part: told.append({"event": "progress", "stage": stage, "fraction": part})
        )
        code = 0
        try:
            told.append({"event": "result", **JOBS[kind](None, reporter, **arguments)})
        except (InputError, typer.Exit) as error:
            told.append({"event": "error", "message": str(error)})
            code = 1
        return SimpleNamespace(
            poll=lambda: code, events=lambda: [told.pop(0) for _ in list(told)], kill=lambda: None
        )

    def end(self):
        pass


@pytest.fixture
def comparing(panel, monkeypatch):
    """The panel; what it compares is registered in a second instead of twenty."""
    from DRAMLesionPanel.followup import compare

    monkeypatch.setattr(compare, "COARSER", 3.0)
    return panel


@pytest.fixture
def here(comparing, monkeypatch):
    """The same, comparing in this process."""
    from DRAMLesionPanel.followup import compare

    monkeypatch.setattr(compare, "Worker", InThisProcess)
    return comparing


@pytest.fixture(scope="session")
def dates(phantom, findings, tmp_path_factory):
    """Results of two dates: at the second one the lesion of the left lung is gone. Findings, and folders."""
    parent = tmp_path_factory.mktemp("dates")
    found, folders = [], []
    for name, lesion in (("first", phantom.lesion), ("later", phantom.lesion * (phantom.lobes.labels > 2))):
        folder = parent / name
        folder.mkdir()
        lesion = lesion.astype(np.uint8)
        write_volume(phantom.ct.array, phantom.ct, parent / f"{name}.nii.gz")
        write_volume(phantom.lobes.labels, phantom.ct, folder / "lobes.nii.gz")
        write_volume(lesion, phantom.ct, folder / "lesion.nii.gz")
        measured = quantify(phantom.ct.array, phantom.lobes, lesion, phantom.ct.spacing_mm)
        record = {"ct_file": f"../{name}.nii.gz"}
        date = Findings(phantom.ct, phantom.lobes, findings.dram, lesion, measured, record)
        table.write_summary(date, folder / "summary.json")
        found.append(date)
        folders.append(folder)
    return SimpleNamespace(found=found, folders=folders)


@pytest.fixture
def scene(here, ct, dates):
    """Both dates in the scene: two CTs with results."""
    import slicer

    from DRAMLesionLib.results.scene.mrml import fill_volume_node

    later = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Later CT")
    fill_volume_node(later, dates.found[1].ct.array, dates.found[1].ct)
    here.panel.parameters.show3D = False
    for node, found in zip((ct, later), dates.found, strict=True):
        here.logic.panelLogic.deliver(found, node)
    here.panel.update()
    return SimpleNamespace(panel=here, nodes=(ct, later))


def choose(panel, baseline, followup, out):
    panel.ui.baselineFolderSelector.currentPath = str(baseline)
    panel.ui.followupFolderSelector.currentPath = str(followup)
    panel.ui.comparisonFolderSelector.currentPath = str(out)


def compare(panel, application):
    panel.ui.compareButton.click()
    wait_until(application, lambda: not panel.panel.followup.running)


def offered(box) -> list[str]:
    return [box._box.itemText(index) for index in range(box._box.count)]


def nothing_left() -> bool:
    return not [name for name in own_folders() if "compare" in name]


def test_two_folders_give_a_page_that_is_one_click_away(comparing, application, dates, tmp_path):
    panel = comparing
    choose(panel, *dates.folders, tmp_path / "compared")
    panel.ui.compareButton.click()
    assert panel.ui.compareButton.text == "Cancel"
    seen = []
    wait_until(
        application,
        lambda: seen.append(panel.ui.comparisonProgressBar.value) or not panel.panel.followup.running,
    )
    assert panel.ui.statusLabel.text == ""
    assert max(seen) > 50 and seen[:-1] == sorted(seen[:-1]), "one bar for the whole, which never goes back"
    words = panel.ui.comparisonLabel.text
    assert re.search(r"Lesion −\d", words) and "uncertain" in words  # the mask is gone, the density is not
    assert f'href="{(tmp_path / "compared" / "report.html").as_uri()}"' in words
    assert (tmp_path / "compared" / "report.html").is_file() and panel.ui.compareButton.text == "Compare"
    assert nothing_left()


def test_cts_of_the_scene_are_handed_over_as_they_are_now(scene, application, dates, tmp_path, monkeypatch):
    from DRAMLesionPanel.followup import compare as module

    from DRAMLesionLib.results.arrays import read_arrays

    handed = []

    class Reading(InThisProcess):
        def submit(self, kind, exams, out, coarser):
            handed[:] = [read_arrays(exam["case"]).lesion for exam in exams]
            return SimpleNamespace(
                poll=lambda: 0, events=lambda: [{"event": "result", **RESULT}], kill=lambda: None
            )

    monkeypatch.setattr(module, "Worker", Reading)
    panel = scene.panel
    panel.panel.parameters.baseline, panel.panel.parameters.followup = scene.nodes
    panel.ui.comparisonFolderSelector.currentPath = str(tmp_path / "compared")
    compare(panel, application)
    for lesion, found in zip(handed, dates.found, strict=True):
        np.testing.assert_array_equal(lesion, found.lesion)
    assert "Lesion −2.0 mL; lesions: 3 stable." in panel.ui.comparisonLabel.text and nothing_left()
    open_correction(panel, application)
    mask, _ = ball(panel, lobe=1, wanted=0, radius=4)
    stroke(panel, application, mask, add=True)
    compare(panel, application)
    assert (handed[0] != dates.found[0].lesion).any(), "what was painted counts"
    np.testing.assert_array_equal(handed[0], lesion_of(panel))


def test_a_folder_and_a_ct_of_the_scene_give_a_page(scene, application, dates, tmp_path):
    panel = scene.panel
    choose(panel, dates.folders[0], "", tmp_path / "compared")
    panel.panel.parameters.followup = scene.nodes[1]
    compare(panel, application)
    assert re.search(r"Lesion −\d", panel.ui.comparisonLabel.text), panel.ui.statusLabel.text
    page = (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")
    assert "Research use only" in page and nothing_left()


def test_cts_with_results_are_offered_and_a_folder_where_none_is_chosen(scene, application, phantom):
    import slicer

    from DRAMLesionLib.results.scene.mrml import fill_volume_node

    panel, ui = scene.panel, scene.panel.ui
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Not segmented")
    fill_volume_node(node, phantom.ct.array, phantom.ct)
    ui.followupCollapsibleButton.collapsed = False
    panel.panel.update()
    assert offered(ui.baselineSelector) == ["From a folder of results", "Phantom CT", "Later CT"]
    ui.baselineSelector.setCurrentNode(scene.nodes[0])
    assert panel.panel.parameters.baseline is scene.nodes[0]
    assert [ui.baselineFolderSelector.visible, ui.followupFolderSelector.visible] == [False, True]
    panel.panel.parameters.baseline = None
    assert ui.baselineFolderSelector.visible and ui.baselineFolderSelectorLabel.visible


def test_what_can_not_be_compared_is_one_line(scene, application, dates, tmp_path):
    import slicer

    panel, ui = scene.panel, scene.panel.ui
    ui.compareButton.click()
    assert "choose one" in ui.statusLabel.text and not panel.panel.followup.running
    choose(panel, dates.folders[0], dates.folders[0], tmp_path / "compared")
    compare(panel, application)
    assert "given twice" in ui.statusLabel.text and ui.comparisonLabel.text == ""
    panel.panel.parameters.baseline = panel.panel.parameters.followup = scene.nodes[0]
    compare(panel, application)
    assert "Phantom CT: is given twice" in ui.statusLabel.text
    choose(panel, tmp_path / "nowhere", "", tmp_path / "compared")
    panel.panel.parameters.baseline = None
    compare(panel, application)
    assert "nowhere" in ui.statusLabel.text and ui.comparisonLabel.text == ""
    results = panel.panel.currentResults()
    slicer.mrmlScene.RemoveNode(results.tableNode)
    panel.panel.parameters.followup = scene.nodes[0]
    choose(panel, dates.folders[0], "", tmp_path / "compared")
    panel.panel.followup._onCompare()
    assert "segment it first" in ui.statusLabel.text
    assert not (tmp_path / "compared").exists() and nothing_left()


@pytest.mark.parametrize("late", [False, True])
def test_a_second_click_cancels_and_leaves_nothing(scene, application, tmp_path, monkeypatch, late):
    from DRAMLesionPanel.followup import compare as module

    began, ended = [], []

    class Endless(InThisProcess):
        def submit(self, _kind, **_arguments):
            began.append(1)
            return SimpleNamespace(poll=lambda: None, events=list, kill=lambda: ended.append("job"))

        def end(self):
            ended.append("worker")

    monkeypatch.setattr(module, "Worker", Endless)
    panel = scene.panel
    panel.panel.parameters.baseline, panel.panel.parameters.followup = scene.nodes
    panel.ui.comparisonFolderSelector.currentPath = str(tmp_path / "compared")
    panel.ui.compareButton.click()
    if late:
        wait_until(application, lambda: began)
    panel.ui.compareButton.click()
    assert ended == (["job", "worker"] if late else []) and nothing_left()
    assert "nothing was written" in panel.ui.comparisonLabel.text and panel.ui.compareButton.text == "Compare"
    assert not (tmp_path / "compared").exists() and not panel.ui.comparisonProgressBar.visible


def test_a_closed_scene_ends_what_was_handed_over_of_it(scene, application, tmp_path):
    import slicer

    panel = scene.panel
    panel.panel.parameters.baseline, panel.panel.parameters.followup = scene.nodes
    panel.ui.comparisonFolderSelector.currentPath = str(tmp_path / "compared")
    panel.ui.compareButton.click()
    slicer.mrmlScene.Clear(0)
    assert not panel.panel.followup.running and nothing_left()
    application.processEvents()
    assert panel.ui.comparisonLabel.text == "" and panel.ui.statusLabel.text == ""
