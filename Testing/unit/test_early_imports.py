"""What is imported beside other work: who needs it later sees what went wrong, and nobody else does."""

import importlib
import threading

import pytest

from DRAMLesionLib import case


def test_a_module_that_breaks_says_so_where_it_is_needed(tmp_path, monkeypatch, capfd):
    (tmp_path / "module_that_breaks.py").write_text("raise RuntimeError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    case._import_meanwhile("module_that_breaks")
    with pytest.raises(RuntimeError, match="broken"):
        importlib.import_module("module_that_breaks")
    for thread in threading.enumerate():
        if thread.name == "import module_that_breaks":
            thread.join(30)
    assert capfd.readouterr().err == ""
