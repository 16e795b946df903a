"""Shared by all tests: where the optional real data is, and small threads."""

import os
import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# The models of whoever runs the tests must not change them.
os.environ["DRAMLESION_USER_MODELS"] = str(REPOSITORY / "Testing" / "no-user-models")


def real_data() -> Path | None:
    """The folder of real CTs that ``DRAMLESION_REAL_DATA`` names (``caseNN_ct.nii.gz`` and so on), or None."""
    named = os.environ.get("DRAMLESION_REAL_DATA")
    return Path(named) if named and (Path(named) / "case02_ct.nii.gz").is_file() else None


@pytest.fixture(scope="session")
def covid_ct() -> Path:
    folder = real_data()
    if folder is None:
        pytest.skip("the real CT data set is not here (set DRAMLESION_REAL_DATA)")
    return folder


WITHOUT_TORCH = bool(os.environ.get("DRAMLESION_TEST_WITHOUT_TORCH"))
"""A slice of the tests runs on a second Python where torch (6 GB) is not installed: what asks for it is skipped there."""


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    report = (yield).get_result()
    _skip_what_asks_for_torch(report, str(collector.path))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    _skip_what_asks_for_torch(report, str(item.path))


def _skip_what_asks_for_torch(report, path: str) -> None:
    if WITHOUT_TORCH and report.failed and re.search(r"No module named '(torch|monai)", report.longreprtext):
        report.outcome, report.longrepr = "skipped", (path, 1, "asks for torch")


HEAVY_MB = 1000
"""A test that lifts its process's peak by this much is named at the end: one of 17 GB once killed a whole run."""


def _peak_mb() -> int:
    """The most memory that this process has held, in MB; 0 on Windows, which has no ``resource``."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (
        1024**2 if sys.platform == "darwin" else 1024
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    before = _peak_mb()
    yield
    if _peak_mb() - before >= HEAVY_MB:
        item.user_properties.append(("heavy", f"{before} MB -> {_peak_mb()} MB"))


def pytest_terminal_summary(terminalreporter):
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    for report in reports:
        for name, peak in report.user_properties:
            if name == "heavy" and report.when == "call":
                terminalreporter.write_line(f"HEAVY {report.nodeid}: peak of the process {peak}")
