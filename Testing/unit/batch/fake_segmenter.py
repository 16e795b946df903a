"""Stands for the network in tests of batches: quick, and does what its input's text says.

An input is a text file: ``value 12.5`` is a case with that percentage; ``fail``, ``crash``, ``sleep`` and ``memory`` are
cases that go wrong in that way. Each finished case adds a line to the file ``options["done"]``.
"""

import csv
import os
import signal
import time
from pathlib import Path

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.table import ALL_COLUMNS
from DRAMLesionLib.system.errors import InputError


def prepare(options):
    if options.get("refuse"):
        raise InputError("best: no such model: use another")
    return "0" * 64


def seconds(options):
    return {"Reading": 1.0, "Finding": 2.0, "Writing": 1.0}


def segment(source, out, *, done=None, wait_s=0.0, progress=None, lobes=None, **options):
    word, _, rest = Path(source).read_text().partition(" ")
    time.sleep(wait_s)
    if word == "fail":
        raise InputError(f"{source}: does not look like a CT: give the scan in HU")
    if word == "fault":
        raise RuntimeError(f"a fault with {source}")
    if word == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "memory":
        raise MemoryError
    if word == "stages":
        for stage, fraction in (
            ("Reading", 0.0),
            ("Finding", 0.0),
            ("Finding", 0.001),
            ("Finding", 0.5),
            ("Writing", 0.0),
        ):
            progress(stage, fraction)
    if word == "sleep":
        time.sleep(60)
    out = Path(out)
    out.mkdir(parents=True)
    percent = float(rest)
    (out / "lesion.nii.gz").write_bytes(rest.encode() * 100)
    (out / "report.html").write_text(f"<p>{Path(source).name}</p>")
    with (out / "lobes.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ALL_COLUMNS)
        keys = [lobe.abbreviation for lobe in LOBES]
        for key in (*keys, "left", "right", "total"):
            ml = 800 if key in keys else 4000 if key == "total" else 2000
            score = 10 if key == "total" else 2 if key in keys else ""
            row = [
                key,
                key,
                ml,
                ml * percent / 100,
                percent,
                percent,
                score,
                ml * percent / 100,
                0,
                0,
                -800,
                -500,
            ]
            writer.writerow([*row, "given" if lobes else "approximate", "", "", ""])
    if done:
        # One write of one line: lines of several processes don't mix.
        with Path(done).open("ab", buffering=0) as file:
            file.write(f"{Path(source).name}\n".encode())
