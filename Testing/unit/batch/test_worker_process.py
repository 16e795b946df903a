"""A worker's process: what it inherits, and what it does not."""

import os
from pathlib import Path

import pytest

from DRAMLesionLib.batch.process import CaseProcess
from DRAMLesionLib.batch.work import Case, Job

SEGMENTER = """
import os, resource
import numpy as np

def prepare(options):
    return "0" * 64

def segment(source, out, **options):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(40):
        np.ones(1 << 22, np.uint8)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    out.mkdir()
    (out / "told.txt").write_text(f"{faults} {os.environ['OMP_NUM_THREADS']}")
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="glibc's memory")
def test_a_worker_keeps_its_memory_and_its_threads_whatever_dask_says_in_the_environment(
    tmp_path, monkeypatch
):
    """Dask's processes are told to give memory back at once: a case took a third more time in system calls."""
    (tmp_path / "faulting_segmenter.py").write_text(SEGMENTER)
    (tmp_path / "ct.nii.gz").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    worker = CaseProcess(Job(str(tmp_path / "out"), segmenter="faulting_segmenter", run="r", threads=3))
    try:
        outcome = worker.run(Case("a", str(tmp_path / "ct.nii.gz")))
    finally:
        worker.close()
    assert outcome.status == "done", outcome.reason
    faults, threads = map(int, (tmp_path / "out" / "cases" / "a" / "told.txt").read_text().split())
    assert threads == 3
    pages = (4 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert faults < 10 * pages  # of 40 arrays, most of which lie where earlier ones were
