"""What `make audit` makes of pip-audit's answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Scripts"))

import audit

WEAK = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
FINE = {"name": "new", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "ours", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([WEAK, FINE], 1, "old 1.0: PYSEC-1, mended in 1.1\n2 packages looked up, 0 could not be; 1 known"),
        ([FINE, UNKNOWN], 0, "1 packages looked up, 1 could not be; 0 known"),
        ([UNKNOWN], 0, "No package could be looked up"),
        (None, 0, "could not look up any package: no route"),
    ],
)
def test_weaknesses_are_told_and_silence_is_not_safety(monkeypatch, capsys, packages, code, words):
    answer = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    done = subprocess.CompletedProcess([], code, stdout=answer, stderr="trying\nno route\n")
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    assert audit.main() == code
    assert words in capsys.readouterr().out
