"""What a command shows while it works: one bar in a terminal, lines elsewhere, JSON for programs."""

import io
import json
import subprocess
import sys

import pytest

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.display import Bar, Lines, open_display, time_left
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.system.progress import Estimate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_bar_with_stage_and_time_left(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    stream, estimate = Terminal(), Estimate({"Reading": 2.0, "Finding": 198.0}, lambda: 0.0)
    bar = open_display(estimate, stream)
    assert isinstance(bar, Bar)
    for stage, fraction in (("Reading", 0.5), ("Finding", 0.5)):
        estimate.report(stage, fraction)
        bar.show(stage)
        bar._rich.refresh()
    shown = stream.getvalue()
    bar.close()
    assert "Reading" in shown and "Finding" in shown and " 50%" in shown and "left" in shown
    lines_at_once = max(part.count("━━") > 0 and part.count("\n") for part in shown.split("\x1b[2K"))
    assert lines_at_once <= 1, "there is one bar, however many stages"


def test_elsewhere_each_stage_is_one_line():
    stream, estimate = io.StringIO(), Estimate(None)
    lines = open_display(estimate, stream)
    assert isinstance(lines, Lines)
    for stage in (
        "Reading",
        "Reading",
        "Segmenting, 0 of 2 done: a, Lobes",
        "Segmenting, 0 of 2 done: a, Map",
    ):
        lines.show(stage)
    lines.show("epoch 1, loss 0.5", passing=True)
    assert stream.getvalue().splitlines() == ["Reading", "Segmenting, 0 of 2 done"]


@pytest.mark.parametrize(
    ("left", "text"),
    [(9.6, "about 10 s left"), (64, "about 1 min 0 s left"), (2000, "about 33 min 0 s left")],
)
def test_an_estimate_is_told_as_exactly_as_it_is(left, text):
    class Known:
        remaining_s, elapsed_s = left, 3.0

    assert time_left(Known()) == text


def test_programs_read_how_much_of_the_whole_is_done(capsys):
    with Reporter(True, False, {"Reading": 1.0, "Finding": 3.0}) as reporter:
        reporter.progress("Finding", 0.0)
    event = json.loads(capsys.readouterr().out)
    assert (
        event["stage"] == "Finding"
        and event["fraction"] == 0
        and event["overall"] == pytest.approx(0.25, abs=0.01)
    )
    assert event["remaining_s"] >= 1


def test_the_clock_starts_anew_once_the_stages_are_known(capsys):
    with Reporter(True, False) as reporter:
        reporter.progress("Starting", 0.0)
        reporter.expect({"Reading": 1.0, "Finding": 1.0})
        reporter.progress("Finding", 0.0)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "overall" not in first and second["overall"] == pytest.approx(0.5, abs=0.01)


def test_a_run_expects_the_stages_that_it_goes_through():
    everything = Options(dicom_seg=True).seconds()
    assert "Writing the DICOM Segmentation" in everything and "Scene: pictures" in everything
    least = Options(method="dram", crf=False, with_scene=False, lobes="lobes.nii.gz").seconds()
    assert not {
        "Refining the dRAM",
        "Segmenting the lesions",
        "Scene: start",
        "Making the Slicer scene",
    } & set(least)
    assert least["Lobes"] < everything["Lobes"]
    after = list(Options(with_scene=False).seconds_after({"Steering the mask": 3.0}))
    assert (
        after[:3] == ["Starting", "Reading the CT", "Steering the mask"] and after[-1] == "Writing the report"
    )


def test_the_first_line_comes_before_torch_and_a_bad_ct_is_refused_without_it(tmp_path):
    """What is heavy is imported after the first sign of life and after the CT was read."""
    ct = tmp_path / "ct.nii.gz"
    ct.write_bytes(b"no image")
    code = (
        "import sys; from DRAMLesionLib.commands.terminal import display\n"
        "heavy = lambda: [n for n in ('torch', 'SimpleITK', 'scipy') if n in sys.modules]\n"
        "opened = display.open_display\n"
        "def seen(estimate, stream=None):\n"
        "    print('first', heavy()); return opened(estimate, stream)\n"
        "from DRAMLesionLib.commands.terminal import console; console.open_display = seen\n"
        "from DRAMLesionLib.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "finally: print('end', 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "segment", str(ct), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["first []", "end False"], done.stderr
    assert done.returncode == 2 and done.stderr.startswith("Starting\nReading the CT\n")
