"""Where a batch is: which cases move, and how far."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from DRAMLesionLib.batch.pace import CASE_S, STARTING_S, usual_seconds, whereabouts
from DRAMLesionLib.batch.pools import DaskPool, process_pool
from DRAMLesionLib.batch.run import segment_batch
from DRAMLesionLib.batch.work import DONE, Case, Job, Outcome


@pytest.fixture(autouse=True)
def workers_find_the_fake(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def test_cases_that_move_are_named_with_their_stage():
    moving = {"case2": ("Lobes", 0.25), "case1": ("Computing the dRAM", 0.5)}
    text, fraction = whereabouts(3, 10, moving)
    assert text == "Segmenting, 3 of 10 done: case1, Computing the dRAM; case2, Lobes"
    assert fraction == pytest.approx(0.375)
    many = {f"case{number}": ("Lobes", 0.0) for number in range(5)}
    assert whereabouts(0, 10, many)[0].endswith("case0, Lobes; case1, Lobes; 3 more")
    assert whereabouts(0, 0, {}) == ("Segmenting, 0 of 0 done", 0.0)


def test_the_usual_time_follows_the_number_of_cases_and_workers():
    assert usual_seconds(40, 1)["Segmenting"] == STARTING_S + 40 * CASE_S
    assert usual_seconds(40, 4)["Segmenting"] == STARTING_S + 10 * CASE_S
    assert usual_seconds(2, 8)["Segmenting"] == STARTING_S + CASE_S


def test_a_worker_process_tells_where_its_case_is(tmp_path):
    (tmp_path / "a.nii.gz").write_text("stages 12.5")
    job = Job(str(tmp_path / "out"), segmenter="fake_segmenter", run="r")
    told = []
    with process_pool(job, 1) as pool:

        class Kept(dict):
            def __setitem__(self, name, where):
                told.append((name, *where))
                super().__setitem__(name, where)

        pool.moving = Kept()
        pool.submit(Case("a", str(tmp_path / "a.nii.gz")), 0)
        ((_, outcome),) = pool.finished(60)
    assert outcome.status == "done", outcome
    assert [stage for _, stage, _ in told] == [
        "Loading the models",
        "Reading",
        "Finding",
        "Finding",
        "Writing",
    ]
    fractions = [fraction for *_, fraction in told]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(0.75, abs=0.05)
    assert not pool.moving, "a case that has ended moves no more"


def test_a_batch_tells_its_cases_and_what_they_usually_take(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in "ab":
        (source / f"{name}.nii.gz").write_text("stages 12.5")
    stages, usual = [], []
    segment_batch(
        source,
        tmp_path / "out",
        segmenter="fake_segmenter",
        workers=None,
        with_report=False,
        progress=lambda stage, fraction: stages.append((stage, fraction)),
        expect=usual.append,
        open_pool=lambda job: process_pool(job, 1),
    )
    assert usual == [usual_seconds(2, 1)]
    segmenting = [fraction for stage, fraction in stages if stage.startswith("Segmenting")]
    assert segmenting[0] == 0 and segmenting[-1] == 1 and segmenting == sorted(segmenting)


def test_a_cluster_drops_its_cases_even_where_it_can_not_end_the_telling():
    """Without this a batch that ends would leave cases at work on a scheduler that is slow to answer."""
    done = []

    class Client:
        subscribe_topic = staticmethod(lambda topic, handler: None)
        cancel = staticmethod(lambda futures, force: done.append("cancel"))
        run = staticmethod(lambda function, run, on_error: done.append("run"))

        @staticmethod
        def unsubscribe_topic(topic):
            raise TimeoutError

    DaskPool(Client(), SimpleNamespace(run="r")).close()
    assert done == ["cancel", "run"]


def test_an_answer_that_dies_with_its_dask_worker_is_waited_for_again():
    """A worker may die when its case is done and before its answer has come: the scheduler then has it done anew."""

    class Answer:
        status = "pending"

        def add_done_callback(self, ended):
            ended(self)

        def result(self):
            return asdict(Outcome("one", DONE))

    class Client:
        def subscribe_topic(self, topic, handler):
            pass

        def submit(self, *given, **how):
            return Answer()

    pool = DaskPool(Client(), Job("r"))
    pool.submit(Case("one", "one.nii.gz"), 0)
    assert pool.finished(0) == []
    Answer.status = "finished"
    ((case, outcome),) = pool.finished(1)
    assert case.name == outcome.case == "one" and pool.finished(0) == []
