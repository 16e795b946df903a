"""The report is one, as a web page and as PDF: the worker writes it, and Slicer's browser prints it unseen."""

import re
from pathlib import Path

import pytest
from clicks import ball, in_this_process, open_correction, own_folders, reported, stroke, wait_until


@pytest.fixture
def browser(application):
    """The stand-in's browser, which has printed nothing yet."""
    import slicer

    slicer.qSlicerWebWidget.printed.clear()
    return slicer.qSlicerWebWidget


@pytest.fixture
def writing(segmented, monkeypatch):
    """The panel with results, whose report is written in this process: a worker's start takes seconds."""
    from DRAMLesionPanel import logic

    monkeypatch.setattr(logic, "inWorker", in_this_process)
    return segmented


@pytest.fixture
def printing(segmented, monkeypatch):
    """The panel with results, whose page is a line: drawing a true one takes seconds."""
    from DRAMLesionPanel import logic

    def page(_worker, _temporary, kind, _findings, _tell, path):
        assert kind == "report"
        Path(path).write_text("<!DOCTYPE html><title>Lesions</title>", encoding="utf-8")
        yield "page"

    monkeypatch.setattr(logic, "inWorker", page)
    return segmented


def test_the_worker_writes_the_results_of_now(segmented, application, tmp_path):
    open_correction(segmented, application)
    voxels, _ = ball(segmented, lobe=3, wanted=0, radius=4)
    segmented.ui.autoRefineCheckBox.checked = False
    stroke(segmented, application, voxels, add=True)
    results = segmented.panel.currentResults()
    reported(segmented, application, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    ml = segmented.logic.panelLogic.currentFindings(results).quantification["RUL"].lesion_ml
    assert "Research use only" in text and f"{ml:.0f}" in text
    assert re.search(r"strokes? of \d+ voxels", text)


def test_what_is_printed_is_the_page_itself(writing, application, browser, tmp_path):
    reported(writing, application, tmp_path / "report.html")
    reported(writing, application, tmp_path / "report.pdf")
    (text, margins), *others = browser.printed
    assert not others and text == (tmp_path / "report.html").read_text(encoding="utf-8")
    assert margins == pytest.approx([13, 11, 13, 14], abs=0.2)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "report.pdf" in writing.ui.statusLabel.text and not writing.ui.statusLabel.styleSheet
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.pdf"]
    assert own_folders() == []


def test_pdf_is_offered_where_slicer_has_a_browser(printing, application, tmp_path, monkeypatch):
    import qt
    import slicer

    offered = []
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *given: offered.append(given[3]) or "")
    printing.ui.reportButton.click()
    monkeypatch.delattr(slicer, "qSlicerWebWidget")
    printing.ui.reportButton.click()
    assert ["pdf" in kinds for kinds in offered] == [True, False]
    reported(printing, application, tmp_path / "report.pdf")
    assert "no browser" in printing.ui.statusLabel.text and printing.ui.statusLabel.styleSheet
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails", ["load", "print"])
def test_a_page_that_can_not_be_printed_leaves_nothing(
    printing, application, browser, tmp_path, monkeypatch, fails
):
    if fails == "load":
        monkeypatch.setattr(browser, "_loaded", lambda self: self.loadFinished.emit(False))
    else:
        monkeypatch.setattr(
            browser, "_print", lambda self, path, _: self.pdfPrintingFinished.emit(path, False)
        )
    reported(printing, application, tmp_path / "report.pdf")
    assert (
        "report.pdf: could not be printed" in printing.ui.statusLabel.text
        and printing.ui.statusLabel.styleSheet
    )
    assert list(tmp_path.iterdir()) == [] and own_folders() == []


def test_a_browser_that_died_is_not_waited_for_for_ever(
    printing, application, browser, tmp_path, monkeypatch
):
    from DRAMLesionPanel.results import report_file

    monkeypatch.setattr(browser, "_loaded", lambda self: None)
    monkeypatch.setattr(report_file, "PATIENCE_S", 0.2)
    reported(printing, application, tmp_path / "report.pdf")
    assert "could not be printed" in printing.ui.statusLabel.text and list(tmp_path.iterdir()) == []


def test_a_scene_that_is_closed_while_it_is_printed_leaves_nothing(
    printing, application, browser, tmp_path, monkeypatch
):
    import slicer

    asked = []
    monkeypatch.setattr(browser, "_loaded", lambda self: asked.append(self))
    printing.panel.results.saveReport(printing.panel.currentResults(), str(tmp_path / "report.pdf"))
    wait_until(application, lambda: asked)
    slicer.mrmlScene.Clear(0)
    assert list(tmp_path.iterdir()) == [] and own_folders() == []
    assert not printing.panel.results._reporting.busy


def test_a_report_that_can_not_be_written_is_said(printing, application, tmp_path):
    (tmp_path / "report.pdf").mkdir()
    reported(printing, application, tmp_path / "report.pdf")
    assert "report.pdf" in printing.ui.statusLabel.text and printing.ui.statusLabel.styleSheet


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("4: Thorax report.html", "4_ Thorax report.html"), ("a/b\\c?.html", "a_b_c_.html"), ("plain", "plain")],
)
def test_a_reports_name_is_one_that_windows_takes(module, name, wanted):
    from DRAMLesionPanel.results.results_section import fileName

    assert fileName(name) == wanted
