"""How threads of a job wait for each other."""

import os
import subprocess
import sys

from DRAMLesionLib.system.allocation import wait_without_spinning
from DRAMLesionLib.system.package import module_environment

AT_NUMPY = """
import os, sys

class Told:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("OPENBLAS_NUM_THREADS"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Told())
from DRAMLesionLib.cli import main
main()
"""


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    wait_without_spinning()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE" and os.environ["OPENBLAS_NUM_THREADS"] == "7"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_without_spinning()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_segment_says_so_before_numpy_is_imported(tmp_path):
    environment = module_environment()
    for name in ("OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS"):
        environment.pop(name, None)
    words = ["segment", str(tmp_path / "ct.nii.gz"), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", AT_NUMPY, *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1:] == ["PASSIVE 1"], done.stderr
