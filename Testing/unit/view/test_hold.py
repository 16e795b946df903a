"""A folder of results is open in one server at a time."""

import subprocess
import sys

import pytest

from DRAMLesionLib.correction.segment.hold import Hold
from DRAMLesionLib.system.errors import InputError

HOLDING = """
import sys, time
from pathlib import Path
from DRAMLesionLib.correction.segment.hold import Hold
Hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_the_second_is_told_which_process_has_the_folder_until_that_is_gone(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"process {other.pid}\b"):
            Hold(tmp_path)
    finally:
        other.kill()
        other.communicate(timeout=60)
    Hold(tmp_path).release()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_is_held_by_nobody(tmp_path):
    hold = Hold(tmp_path / "none")
    hold.renew()
    hold.release()
