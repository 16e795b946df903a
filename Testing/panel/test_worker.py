"""The panel's worker: one process that stays warm, ends when nobody needs it, and comes back after a crash."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from clicks import accepted, group_is_gone, own_folders, wait_until


@pytest.fixture
def worker(application, module, models, tmp_path, monkeypatch):
    from DRAMLesionPanel.shared.worker import Worker

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = Worker(str(tmp_path))
    yield made
    made.end()
    assert list(tmp_path.glob(".dramlesion-*")) == []


def ended(application, job) -> int:
    wait_until(application, lambda: job.poll() is not None)
    return job.poll()


def test_two_runs_share_one_process_that_has_loaded_the_models(worker, application, phantom, tmp_path):
    from DRAMLesionLib.images.volume import write_volume
    from DRAMLesionLib.results.arrays import read_arrays

    worker.warm("tiny", None, "cpu")
    first = worker.pid
    worker.warm("tiny", None, "cpu")
    write_volume(phantom.ct.array, phantom.ct, tmp_path / "ct.nrrd")
    for number in range(2):
        out = tmp_path / f"out{number}"
        job = worker.submit(
            "segment",
            ct=str(tmp_path / "ct.nrrd"),
            out=str(out),
            lobes=None,
            model="tiny",
            method=None,
            device="cpu",
        )
        assert ended(application, job) == 0, job.log()
        events = job.events()
        assert events[-1]["event"] == "result" and {"progress"} <= {event["event"] for event in events}
        assert worker.pid == first, "never a second one"
        assert read_arrays(out, phantom.ct).dram.max() > 0
    (tmp_path / "ct.nrrd").unlink()


def test_a_job_that_fails_gives_one_line_and_the_worker_goes_on(worker, application):
    first = worker.submit("report", case="/nowhere", path="/nowhere/report.html")
    assert ended(application, first) == 2
    (error,) = [event for event in first.events() if event["event"] == "error"]
    assert "nowhere" in error["message"] and "\n" not in error["message"]
    pid, second = worker.pid, worker.submit("report", case="/elsewhere", path="/nowhere/report.html")
    assert ended(application, second) == 2 and worker.pid == pid
    (error,) = [event for event in second.events() if event["event"] == "error"]
    assert "elsewhere" in error["message"], "each job has its own events"


def test_a_worker_that_dies_ends_its_job_and_the_next_job_has_a_new_one(worker, application):
    job = worker.submit("warm", model="tiny", method=None, device="cpu")
    pid = worker.pid
    os.killpg(pid, signal.SIGKILL)
    assert ended(application, job) not in (0, None)
    again = worker.submit("warm", model="tiny", method=None, device="cpu")
    assert ended(application, again) == 0, again.log()
    assert worker.pid not in (None, pid)


def test_a_cancelled_job_takes_the_process_with_it(worker, application):
    job = worker.submit("warm", model="tiny", method=None, device="cpu")
    pid = job.pid
    job.kill()
    assert worker.pid is None and group_is_gone(pid) and job.poll() not in (0, None)


def test_work_in_hand_does_not_queue_behind_a_run_that_begins_meanwhile(findings, tmp_path, monkeypatch):
    """Given up, it took the worker, and so the run, with it."""
    from DRAMLesionPanel.shared import background

    class Other:
        def __init__(self, _path):
            self.ended, self.busy = False, False

        def submit(self, _kind, **_arguments):
            return SimpleNamespace(poll=lambda: None, events=list, kill=lambda: None)

        def end(self):
            self.ended = True

    made = []
    monkeypatch.setattr(background, "Worker", lambda path: made.append(Other(path)) or made[-1])
    shared = SimpleNamespace(busy=False)  # nothing can be submitted to it
    work = background.inWorker(shared, str(tmp_path), "lesions", findings, lambda _stage: None)
    next(work)
    shared.busy = True
    while next(work) != "waiting":
        pass
    work.close()
    assert [one.ended for one in made] == [True] and not list(tmp_path.iterdir())


def test_an_idle_worker_ends_and_a_busy_one_does_not(worker, application):
    job = worker.submit("warm", model="tiny", method=None, device="cpu")
    pid = worker.pid
    assert not worker.endIfIdle(0.0), "it works"
    ended(application, job)
    assert not worker.endIfIdle(60.0)
    assert worker.endIfIdle(0.0) and group_is_gone(pid) and worker.pid is None


def test_the_worker_ends_with_slicer(worker, application):
    """Its input ends, however Slicer ended."""
    job = worker.submit("warm", model="tiny", method=None, device="cpu")
    ended(application, job)
    process = worker._process
    process.stdin.close()
    wait_until(application, lambda: process.poll() is not None)


def test_a_crash_costs_the_user_one_line_and_no_scene(panel, application, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    panel.ui.segmentButton.click()
    worker = panel.logic.panelLogic.worker
    pid = worker.pid
    os.killpg(pid, signal.SIGKILL)
    wait_until(application, lambda: panel.panel.run.current is None)
    assert "unexpectedly" in panel.ui.statusLabel.text and "\n" not in panel.ui.statusLabel.text
    panel.ui.segmentButton.click()
    assert worker.pid not in (None, pid)
    wait_until(application, lambda: panel.panel.run.current is None)
    assert panel.panel.currentResults() is not None, panel.ui.statusLabel.text
    assert not own_folders()


def test_the_module_warms_the_worker_when_it_is_entered_and_ends_it_when_it_goes(
    module, models, application, ct, monkeypatch
):
    from DRAMLesionPanel.segment.input_section import InputSection
    from panel_standin.application import openPanel

    monkeypatch.setattr(InputSection, "examine", lambda self: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    widget = openPanel(module)
    pid = widget.logic.panelLogic.worker.pid
    assert pid is not None
    widget.parent.exit()
    widget.parent.enter()
    assert widget.logic.panelLogic.worker.pid == pid
    widget.parent.exit()
    application.moduleManager().moduleAboutToBeUnloaded.emit("DRAMLesion")
    assert group_is_gone(pid)
    widget.parent.deleteLater()


def test_accept_does_not_wait_for_a_segmentation(segmented, application, tmp_path, monkeypatch):
    """While the worker segments, another process stores the case, and ends."""
    from DRAMLesionPanel.shared import worker as module

    started = []
    start = module.Worker._start
    monkeypatch.setattr(module.Worker, "_start", lambda self: (started.append(self), start(self)))
    monkeypatch.setattr(module.Worker, "busy", property(lambda self: self is own))
    own = segmented.logic.panelLogic.worker
    segmented.ui.trainingFolderSelector.currentPath = str(tmp_path / "training")
    accepted(segmented, application)
    assert (tmp_path / "training" / "datalist.json").is_file(), segmented.ui.statusLabel.text
    assert len(started) == 1 and started[0] is not own and started[0].pid is None
    assert Path(tmp_path).is_dir()
