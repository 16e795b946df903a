"""The section Follow-up, clicked in a stand-in for Slicer: two folders, a page; what can't be compared is one line."""

import re

import numpy as np
import pytest
from clicks import own_folders, wait_until

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.results import table


@pytest.fixture
def dates(phantom, findings, tmp_path, monkeypatch):
    """Results of two dates: at the second one the lesion of the left lung is gone."""
    from DRAMLesionPanel.followup import followup_section

    command = followup_section.commandOf
    coarse = ("--coarser", "3")  # a second instead of twenty
    monkeypatch.setattr(followup_section, "commandOf", lambda *folders: [*command(*folders), *coarse])
    folders = []
    for name, lesion in (("first", phantom.lesion), ("later", phantom.lesion * (phantom.lobes.labels > 2))):
        folder = tmp_path / name
        folder.mkdir()
        write_volume(phantom.ct.array, phantom.ct, tmp_path / f"{name}.nii.gz")
        write_volume(phantom.lobes.labels, phantom.ct, folder / "lobes.nii.gz")
        write_volume(lesion.astype(np.uint8), phantom.ct, folder / "lesion.nii.gz")
        measured = quantify(phantom.ct.array, phantom.lobes, lesion, phantom.ct.spacing_mm)
        record = {"ct_file": f"../{name}.nii.gz"}
        date = Findings(phantom.ct, phantom.lobes, findings.dram, lesion, measured, record)
        table.write_summary(date, folder / "summary.json")
        folders.append(folder)
    return folders


def choose(panel, baseline, followup, out):
    panel.ui.baselineFolderSelector.currentPath = str(baseline)
    panel.ui.followupFolderSelector.currentPath = str(followup)
    panel.ui.comparisonFolderSelector.currentPath = str(out)


def compare(panel, application):
    panel.ui.compareButton.click()
    wait_until(application, lambda: not panel.panel.followup.running)


def test_two_folders_give_a_page_that_is_one_click_away(panel, application, dates, tmp_path):
    choose(panel, *dates, tmp_path / "compared")
    panel.ui.compareButton.click()
    assert panel.ui.compareButton.text == "Cancel"
    wait_until(application, lambda: not panel.panel.followup.running)
    assert panel.ui.statusLabel.text == ""
    words = panel.ui.comparisonLabel.text
    assert re.search(r"Lesion −\d", words) and "uncertain" in words  # the mask is gone, the density is not
    assert f'href="{(tmp_path / "compared" / "report.html").as_uri()}"' in words
    assert (tmp_path / "compared" / "report.html").is_file() and panel.ui.compareButton.text == "Compare"
    assert not [name for name in own_folders() if "compare" in name]


def test_what_can_not_be_compared_is_one_line(panel, application, dates, tmp_path):
    panel.ui.compareButton.click()
    assert "choose one" in panel.ui.statusLabel.text and not panel.panel.followup.running
    choose(panel, dates[0], dates[0], tmp_path / "compared")
    compare(panel, application)
    assert "given twice" in panel.ui.statusLabel.text and panel.ui.comparisonLabel.text == ""
    assert not (tmp_path / "compared").exists()


def test_a_second_click_cancels_and_leaves_nothing(panel, application, dates, tmp_path):
    choose(panel, *dates, tmp_path / "compared")
    panel.ui.compareButton.click()
    process = panel.panel.followup._process
    panel.ui.compareButton.click()
    assert process.poll() is not None and "nothing was written" in panel.ui.comparisonLabel.text
    assert not (tmp_path / "compared").exists() and not [n for n in own_folders() if "compare" in n]
