"""What a person reads of pip's log: the reason of a failure, what to do, and what pip is doing."""

import pytest

FAILURES = [
    (
        "WARNING: Retrying\nCould not fetch URL https://pypi.org/simple/monai/: connection error: "
        "HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded (Caused by ProxyError('Cannot connect to "
        "proxy.', NewConnectionError('<pip.HTTPSConnection object at 0x7f6ac1>: [Errno 111] refused')))\n"
        "ERROR: No matching distribution found for monai>=1.5",
        ["Cannot connect to proxy", "behind a proxy, enter it; without internet, choose a folder of wheels"],
    ),
    (
        "Could not fetch URL x: (Caused by ProxyError('http://me:secret@host', OSError('Tunnel connection failed: "
        "407 Proxy Authentication Required')))\nERROR: No matching distribution found for monai>=1.5",
        ["407", "http://NAME:PASSWORD@HOST:PORT"],
    ),
    (
        "Could not fetch URL x: (Caused by SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED')))\n"
        "ERROR: No matching distribution found for monai>=1.5",
        ["CERTIFICATE_VERIFY_FAILED", "PIP_CERT"],
    ),
    (
        "ERROR: Could not find a version that satisfies the requirement monai>=1.5 (from versions: 0.9, 1.0)\n"
        "ERROR: No matching distribution found for monai>=1.5",
        ["(from versions: 0.9, 1.0)", "install the newest Slicer"],
    ),
    (
        "ERROR: Cannot install monai>=1.5 because these package versions have conflicting dependencies.\n"
        "The conflict is caused by:\n    monai 1.5 depends on numpy<2\n    The user requested (constraint) numpy==2.4.6\n"
        "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io",
        ["(constraint) numpy==2.4.6", "Slicer's own packages keep their versions"],
    ),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        ["No space left", "the disk is full"],
    ),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/opt/Slicer/lib'",
        ["Permission denied", "install Slicer in a folder of your own"],
    ),
    (
        "ERROR: Could not install packages due to an OSError: [WinError 32] used by another process",
        ["WinError 32", "press Install before anything else"],
    ),
    (
        "ERROR: Could not install packages due to an OSError: [WinError 206] The filename or extension is too long",
        ["WinError 206", "allow long paths"],
    ),
    (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        ["HASHES", "damaged"],
    ),
    ("ERROR: Something quite new", ["Something quite new", "Python console"]),
    ("Collecting monai", ["pip failed", "press Install to continue"]),
]


def stamped(text: str) -> str:
    return "".join(f"2026-01-01T00:00:00,000 {line}\n" for line in text.splitlines())


@pytest.fixture
def report(module):
    from DRAMLesionPanel.install import pip_report

    return pip_report


@pytest.mark.parametrize(("said", "shown"), FAILURES, ids=range(len(FAILURES)))
def test_the_reason_and_what_to_do_are_one_line(report, said, shown):
    text = report.explain(stamped(said), offline=False, code=1)
    assert all(part in text for part in shown), text
    assert "\n" not in text and "secret" not in text and "0x" not in text


def test_pips_traceback_does_not_mislead(report):
    said = (
        FAILURES[3][0] + "\nException information:\nresolvers.ResolutionImpossible: conflicting dependencies"
    )
    assert "Slicer's own packages" not in report.explain(stamped(said), offline=False, code=1)


def test_a_long_reason_is_cut(report):
    text = report.explain(stamped("ERROR: " + "x" * 1000), offline=False, code=1)
    assert len(text) < report.LONGEST + 100 and "..." in text


def test_only_whole_new_lines_of_the_log_are_told(report, tmp_path):
    log = report.PipLog(tmp_path / "pip.log")
    assert log.doing() is None
    log.path.write_text(
        stamped("Collecting torch\nFound link x") + "2026-01-01T00:00:00,000 Downl", encoding="utf-8"
    )
    assert log.doing() == "Collecting torch" and log.doing() is None
    with log.path.open("a", encoding="utf-8") as file:
        file.write("oading torch-2.9.0.whl (890 MB)\n")
    assert log.doing() == "Downloading torch-2.9.0.whl (890 MB)"
