"""Batches with a quick stand-in for the network: whatever happens to cases and workers, nothing is lost."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from DRAMLesionLib.batch import Workers, pools, segment_batch
from DRAMLesionLib.batch.inputs import neutral_inputs
from DRAMLesionLib.batch.manifest import read_manifest
from DRAMLesionLib.batch.work import Case, Job, do_case
from DRAMLesionLib.system.errors import InputError

HERE = Path(__file__).parent
needs_dask = pytest.mark.skipif(not pools.has_dask(), reason="dask is not installed")
ONE = Workers(1)


@pytest.fixture(autouse=True)
def findable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


@pytest.fixture
def source(tmp_path):
    return make_cases(tmp_path / "in", 6)


def make_cases(folder, count, **others):
    folder.mkdir()
    for number in range(count):
        (folder / f"c{number:03d}_ct.nii.gz").write_text(f"value {number % 90}")
    for name, text in others.items():
        (folder / f"{name}_ct.nii.gz").write_text(text)
    return folder


def do(source, out, workers=ONE, options=None, **settings):
    options = {"done": str(out.parent / "done"), **(options or {})}
    settings = {"with_report": False, **settings}
    return segment_batch(
        source, out, workers=workers, segmenter="fake_segmenter", options=options, **settings
    )


def computed(out):
    """How often each case was computed, and forget it."""
    path = out.parent / "done"
    lines = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return Counter(line.split(".")[0] for line in lines)


def results(out):
    """Every file of every case but the record, whose times differ."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted((out / "cases").rglob("*"))
        if path.is_file() and path.name != "case.json"
    }


def hidden(out):
    return list(out.rglob(".*"))


def test_bad_cases_do_not_stop_the_rest(tmp_path):
    source = make_cases(tmp_path / "in", 3, bad="fail", odd="fault", poison="crash", short="memory")
    events = []
    result = do(source, tmp_path / "out", tell=events.append, with_report=True)
    assert result.statuses == {"done": 3, "failed": 2, "poisoned": 2} and not result.good
    rows = {row["case"]: row for row in read_manifest(tmp_path / "out")}
    assert list(rows) == ["bad", "c000", "c001", "c002", "odd", "poison", "short"]
    assert rows["bad"]["reason"] == "bad.nii.gz: does not look like a CT: give the scan in HU"
    assert rows["odd"]["reason"] == "RuntimeError: a fault with odd.nii.gz"
    assert "after 3 crashes" in rows["poison"]["reason"] and "SIGSEGV" in rows["poison"]["reason"]
    assert "not enough memory" in rows["short"]["reason"] and rows["short"]["attempts"] == "3"
    assert rows["c001"]["model_checksum"] == "0" * 64 and float(rows["c001"]["peak_memory_mb"]) > 5
    assert "Traceback" in (tmp_path / "out/logs/odd.txt").read_text()
    assert sorted(p.name for p in (tmp_path / "out/cases").iterdir()) == ["c000", "c001", "c002"]
    assert not hidden(tmp_path / "out")
    assert events[-1].ended == events[-1].count == 7
    table = list(csv.DictReader((tmp_path / "out/volumes.csv").open()))
    assert [row["case"] for row in table] == [name for name in ("c000", "c001", "c002") for _ in range(8)]
    report = (tmp_path / "out/report.html").read_text()
    for text in ("cases/c001/report.html", "does not look like a CT", "after 3 crashes"):
        assert text in report


def test_what_is_written_names_no_input(tmp_path):
    source = make_cases(tmp_path / "Doe_John_1957", 1)
    (source / "cases.csv").write_text(
        "image,name,lobes\nc000_ct.nii.gz,first,gone.nii.gz\nmissing.nii.gz,second,\n"
    )
    do(source / "cases.csv", tmp_path / "out")
    do(source, tmp_path / "out2")
    for out in (tmp_path / "out", tmp_path / "out2"):
        text = "".join(p.name + p.read_text() for p in out.rglob("*") if p.is_file() and p.name != "key.csv")
        assert "Doe_John" not in text and "c000_ct" not in text and str(tmp_path) not in text
        assert "Doe_John" in (out / "key.csv").read_text()
    reasons = {row["case"]: row["reason"] for row in read_manifest(tmp_path / "out")}
    assert "lobes are not there" in reasons["first"] and "image is not there" in reasons["second"]


def test_resume_does_only_what_is_missing_damaged_or_changed(source, tmp_path):
    out = tmp_path / "out"
    do(source, out)
    assert sum(computed(out).values()) == 6
    before = results(out)
    again = do(source, out, resume=True)
    assert again.kept == 6 and again.good and not computed(out)

    (out / "cases/c001/lesion.nii.gz").write_bytes(b"0")
    (out / "cases/c002/lobes.csv").unlink()
    (out / "cases/c003/notes.txt").write_text("mine")
    (out / "cases/c003/case.json").unlink()
    again = do(source, out, resume=True)
    assert computed(out) == {"c001": 1, "c002": 1, "c003": 1} and again.kept == 3
    assert (out / "cases/c003/notes.txt").read_text() == "mine"
    (out / "cases/c003/notes.txt").unlink()
    assert results(out) == before

    (source / "c004_ct.nii.gz").write_text("value 77")
    (source / "c005_ct.nii.gz").write_text("fail")
    again = do(source, out, resume=True)
    assert computed(out) == {"c004": 1} and again.failures.keys() == {"c005"}
    assert not (out / "cases/c005").exists()
    do(source, out, resume=True, options={"crf": False})
    assert sum(computed(out).values()) == 5


def test_without_resume_all_is_done_again(source, tmp_path):
    do(source, tmp_path / "out")
    do(source, tmp_path / "out")
    assert set(computed(tmp_path / "out").values()) == {2}


def test_poisoned_cases_stay_aside_until_they_are_asked_for(tmp_path):
    source, out = make_cases(tmp_path / "in", 1, poison="crash"), tmp_path / "out"
    do(source, out)
    (source / "poison_ct.nii.gz").write_text("value 5")
    aside = do(source, out, resume=True)
    assert aside.statuses == {"done": 1, "poisoned": 1} and "set aside" in aside.failures["poison"]
    assert do(source, out, resume=True, retry_poisoned=True).good


def test_a_case_that_takes_too_long_is_stopped(tmp_path):
    source = make_cases(tmp_path / "in", 1, slow="sleep")
    result = do(source, tmp_path / "out", timeout_s=5)
    assert result.statuses == {"done": 1, "failed": 1} and "--timeout" in result.failures["slow"]


def test_a_model_that_is_not_there_ends_the_batch(source, tmp_path):
    with pytest.raises(InputError, match="no such model"):
        do(source, tmp_path / "out", options={"refuse": True})
    assert not (tmp_path / "out").exists()


def test_a_case_that_was_finished_is_not_done_twice_in_a_run(source, tmp_path):
    """A worker that dies between its last write and its answer has done its case."""
    calls = []

    def segment(image, out, **options):
        calls.append(image)
        out.mkdir()
        (out / "lesion.nii.gz").write_bytes(b"1")

    job = Job(str(tmp_path / "out"), run="one")
    case = Case("a", str(source / "c000_ct.nii.gz"))
    first, second = do_case(case, job, segment), do_case(case, job, segment)
    assert (first.status, first.kept, second.status, second.kept) == ("done", False, "done", True)
    assert first.outputs == second.outputs and len(calls) == 1
    assert not do_case(case, replace(job, run="two"), segment).kept


def test_a_series_is_linked_under_neutral_names(tmp_path):
    from test_listing import write_series

    write_series(tmp_path / "DOE", "1.2.1")
    write_series(tmp_path / "DOE", "1.2.2", slices=10)
    (tmp_path / "DOE" / "1.2.1.3.dcm").write_bytes((tmp_path / "DOE" / "1.2.1.3.dcm").read_bytes()[:450])
    (tmp_path / "links").mkdir()
    given = neutral_inputs(Case("case0001", str(tmp_path / "DOE"), series="1.2.2"), tmp_path / "links")
    assert given.image == tmp_path / "links" / "case0001"
    linked = sorted(given.image.iterdir())
    assert [path.name for path in linked] == [f"{number:06d}.dcm" for number in range(11)]
    assert {path.resolve().name[:5] for path in linked[:10]} == {"1.2.2"}
    assert linked[10].resolve().name == "1.2.1.3.dcm", "the broken slice may be the series' own"


def test_workers_fit_into_the_memory(monkeypatch):
    monkeypatch.setattr(pools, "available_memory_gib", lambda: 9.0)
    assert pools.count_workers(8, 4.0, "cpu")[0] == 2
    assert "9.0 GiB" in pools.count_workers(8, 4.0, "cpu")[1]
    assert pools.count_workers(2, 4.0, "cpu") == (2, "")
    assert pools.count_workers(None, 20.0, "cpu")[0] == 1
    assert pools.count_workers(None, 0.1, "cuda")[0] == 1


def kill_some(stop, kills, seed, words, pause_s):
    """End processes below this one at random, as a machine short of memory does."""
    import psutil

    choose = random.Random(seed)
    me = psutil.Process()
    while not stop.wait(pause_s) and kills["left"]:
        found = []
        for child in me.children(recursive=True):
            try:
                if any(word in " ".join(child.cmdline()) for word in words):
                    found.append(child)
            except psutil.Error:
                continue
        if found:
            victim = choose.choice(found)
            try:
                victim.kill()
                kills["left"] -= 1
            except psutil.Error:
                continue


def with_kills(source, out, workers, count, words, pause_s):
    stop, kills = threading.Event(), {"left": count}
    killer = threading.Thread(target=kill_some, args=(stop, kills, 0, words, pause_s))

    def begin(event):
        if not killer.ident:
            killer.start()

    try:
        result = do(source, out, workers, options={"wait_s": 0.01}, tell=begin)
    finally:
        stop.set()
        killer.join()
    return result, count - kills["left"]


def check_equal(out, serial, result, killed):
    assert result.good, result.failures
    assert results(out) == results(serial)
    assert (out / "volumes.csv").read_bytes() == (serial / "volumes.csv").read_bytes()
    assert Counter(row["status"] for row in read_manifest(out)) == {"done": 200}
    assert sum(computed(out).values()) <= 200 + killed
    assert not hidden(out)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """200 cases done one after the other."""
    folder = tmp_path_factory.mktemp("serial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        result = do(make_cases(folder / "in", 200), folder / "out", options={"wait_s": 0.0})
    assert result.good
    assert set(computed(folder / "out").values()) == {1}
    return folder


def test_killed_processes_change_nothing(serial, tmp_path):
    pytest.importorskip("psutil")
    out = tmp_path / "out"
    result, killed = with_kills(serial / "in", out, Workers(2, dask=False), 5, ["batch.worker"], 0.5)
    assert killed >= 1
    check_equal(out, serial / "out", result, killed)


@needs_dask
def test_killed_dask_workers_change_nothing(serial, tmp_path):
    out = tmp_path / "out"
    words = ["batch.worker", "multiprocessing.spawn"]
    result, killed = with_kills(serial / "in", out, Workers(2), 5, words, 1.0)
    assert killed >= 1
    check_equal(out, serial / "out", result, killed)


@needs_dask
def test_the_workers_of_a_running_scheduler(source, tmp_path):
    from distributed import LocalCluster

    settings = {"n_workers": 1, "threads_per_worker": 2, "processes": True, "dashboard_address": None}
    with LocalCluster(**settings) as cluster:
        workers = Workers(scheduler=cluster.scheduler_address)
        with pytest.raises(InputError, match="no such model"):
            do(source, tmp_path / "refused", workers, options={"refuse": True})
        result = do(source, tmp_path / "out", workers)
    assert result.good and set(computed(tmp_path / "out").values()) == {1}


@needs_dask
def test_a_scheduler_that_does_not_answer(source, tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "ANSWER_S", 1.0)
    with pytest.raises(InputError, match="does not answer"):
        do(source, tmp_path / "out", Workers(scheduler="tcp://127.0.0.1:9"))


def start(source, out, count, *flags):
    """A batch in a process group of its own, as a terminal starts it."""
    script = (
        "import signal, sys\nfrom DRAMLesionLib.batch import Workers, segment_batch\n"
        "if __name__ == '__main__':\n"
        # A shell starts what it runs in the background with the signal ignored, and children inherit that.
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    source, out, done, count = sys.argv[1:5]\n"
        "    options = {'done': done, 'wait_s': 0.1}\n"
        "    result = segment_batch(source, out, workers=Workers(int(count)), segmenter='fake_segmenter',\n"
        "        options=options, with_report=False,\n"
        "        tell=lambda event: print(event.outcome.case, flush=True))\n"
        "    sys.exit(130 if result.stopped else 0)\n"
    )
    (out.parent / "start.py").write_text(script)
    command = [sys.executable, out.parent / "start.py", source, out, out.parent / "done", str(count)]
    path = os.pathsep.join([str(HERE), str(HERE.parents[2])])
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    )


PATIENCE_S = 300
"""For processes on a busy machine; they need a second."""


def wait_until_gone(out):
    """Until the workers that the manifest names are gone."""
    end = time.monotonic() + PATIENCE_S
    for process in {int(row["worker"].rpartition(":")[2]) for row in read_manifest(out)}:
        while time.monotonic() < end:
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("a worker outlives its batch")


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    "workers, how",
    [(1, signal.SIGINT), (1, signal.SIGKILL), pytest.param(2, signal.SIGINT, marks=needs_dask)],
)
def test_a_stopped_batch_goes_on(tmp_path, workers, how):
    source, out = make_cases(tmp_path / "in", 40), tmp_path / "out"
    running = start(source, out, workers)
    assert running.stdout is not None
    for _ in range(5):
        assert running.stdout.readline()
    os.killpg(running.pid, how)
    running.stdout.read()
    code = running.wait(PATIENCE_S)
    wait_until_gone(out)
    ended = [row["case"] for row in read_manifest(out)]
    assert 5 <= len(ended) < 40 and len(set(ended)) == len(ended)
    if how == signal.SIGINT:
        assert code == 130 and not hidden(out)
        assert (out / "volumes.csv").exists()
    computed(out)
    result = do(source, out, resume=True, options={"wait_s": 0.1})
    assert result.good and result.kept >= len(ended)
    assert computed(out).keys().isdisjoint(ended)
    assert not hidden(out)
    assert json.loads((out / "cases/c000/case.json").read_text())["case"] == "c000"
