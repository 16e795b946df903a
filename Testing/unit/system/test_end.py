"""A process that ends at once: exit code, output, and what is registered for the end."""

import subprocess
import sys

import pytest

from DRAMLesionLib.system.package import module_environment

SCRIPT = """
import atexit, sys, threading
from DRAMLesionLib.system.streams import end_with

class Late:
    def __del__(self):
        print("taken apart")

late = Late()
atexit.register(print, "registered")
threading.Thread(target=threading.Event().wait).start()  # would be waited for, for ever

def work():
    sys.stdout.write("written ")
    {end}

end_with(work)
"""


@pytest.mark.parametrize(
    ("end", "code", "error"),
    [
        ("return None", 0, ""),
        ("return 3", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit('no such CT')", 1, "no such CT"),
    ],
)
def test_output_and_exit_code_are_whole_and_nothing_is_taken_apart(end, code, error):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(end=end)],
        capture_output=True,
        text=True,
        env=module_environment(),
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split(), done.stderr.strip()) == (
        code,
        ["written", "registered"],
        error,
    )
