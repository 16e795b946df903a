"""A CT segmented for the page, in a process that can be stopped at any time."""

import asyncio
import sys

import pytest
from small_case import held_by_another

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.view import segmenting
from DRAMLesionLib.view.case import Places


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose process does what a line of Python says."""

    def make(code):
        monkeypatch.setattr(segmenting, "module_command", lambda *_arguments: [sys.executable, "-c", code])
        return segmenting.Segmenting(Places.beside(tmp_path / "results", ct=tmp_path / "ct.nii.gz"))

    return make


async def segment(run, meanwhile):
    task = asyncio.get_running_loop().create_task(run.run(lambda _stage, _fraction: None))
    await meanwhile(task)
    await asyncio.wait_for(task, 60)


def test_a_stop_before_the_process_is_there_stops_it(run):
    async def at_once(_task):
        await asyncio.sleep(0)
        run_.stop()

    run_ = run("import time; time.sleep(600)")
    with pytest.raises(InputError, match="stopped; nothing was written"):
        asyncio.run(segment(run_, at_once))


def test_a_ct_that_another_server_segments_is_left_to_it(run, tmp_path):
    (tmp_path / "results").mkdir()
    begun = tmp_path / "begun"
    run_ = run(f"open({str(begun)!r}, 'w')")
    with (
        held_by_another(tmp_path / "results") as process,
        pytest.raises(InputError, match=rf"process {process}\b"),
    ):
        asyncio.run(run_.run(lambda _stage, _fraction: None))
    assert not begun.exists()
    asyncio.run(run_.run(lambda _stage, _fraction: None))
    assert begun.exists()


def test_a_ct_that_was_segmented_meanwhile_is_not_segmented_again(run, tmp_path, monkeypatch):
    begun = tmp_path / "begun"
    monkeypatch.setattr(segmenting, "is_results", lambda folder: folder == tmp_path / "results")
    asyncio.run(run(f"open({str(begun)!r}, 'w')").run(lambda _stage, _fraction: None))
    assert not begun.exists()


def test_nothing_is_left_of_a_run_that_failed(run, tmp_path):
    with pytest.raises(InputError):
        asyncio.run(run("import sys; sys.exit(7)").run(lambda _stage, _fraction: None))
    assert not (tmp_path / "results").exists()


def test_a_server_that_ends_leaves_no_process(run, monkeypatch):
    made, create = [], asyncio.create_subprocess_exec

    async def remembered(*command, **more):
        made.append(await create(*command, **more))
        return made[-1]

    async def cancel(task):
        while not made:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(made[0].wait(), 60) != 0
        raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remembered)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(segment(run("import time; time.sleep(600)"), cancel))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('import sys; print(\'{"event": "error", "message": "no lungs"}\'); sys.exit(2)', "no lungs"),
        ("import sys; sys.exit(7)", "ended with 7"),
    ],
)
def test_why_a_run_failed_is_said(run, code, words):
    async def nothing(_task):
        pass

    with pytest.raises(InputError, match=words):
        asyncio.run(segment(run(code), nothing))


def test_a_result_of_many_tables_is_read(run):
    async def nothing(_task):
        pass

    asyncio.run(segment(run('print(\'{"event": "result", "all": "\' + \'x\' * 300_000 + \'"}\')'), nothing))
