"""Programs that read the command line: JSON whatever happens, a reader that goes away, names in any locale."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

REPOSITORY = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name == "nt", reason="pipes and locales as POSIX has them")


def command(*arguments):
    return [sys.executable, "-m", "DRAMLesionLib", *map(str, arguments)]


def environment(**changes):
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **changes}


def call(*arguments, **changes):
    return subprocess.run(
        command(*arguments), capture_output=True, env=environment(**changes), check=False, timeout=300
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("segment", "ct.nii.gz", "--json"), "--out"),
        (("evaluate", "a.nii.gz", "--json"), "REF"),
        (("phantom", "--out", "x", "--size", "a", "b", "c", "--json"), "valid integer"),
        (("train", "--json", "--no-such-option"), "--no-such-option"),
        (("no-such-command", "--json"), "no-such-command"),
    ],
)
def test_usage_errors_are_json_where_json_is_wanted(arguments, said):
    done = call(*arguments)
    assert done.returncode == 2
    (line,) = done.stdout.decode().splitlines()
    event = json.loads(line)
    assert event["event"] == "error" and event["code"] == 2 and said in event["message"]
    assert b"Traceback" not in done.stderr


@posix
@pytest.mark.parametrize("more", [("--json",), ()])
@pytest.mark.parametrize("lines", [0, 1, 3])
def test_a_reader_that_goes_away_does_not_end_the_work(tmp_path, more, lines):
    out = tmp_path / "phantom"
    arguments = command("phantom", "--out", out, "--size", 40, 40, 32, *more)
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), text=True
    )
    for _ in range(lines if more else 0):
        process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=300) == 0
    assert (out / "ct.nii.gz").exists()


@posix
@pytest.mark.parametrize(
    "changes",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX"},
    ],
)
@pytest.mark.parametrize("name", ["Müller", "胸部CT", "пациент 7"])
def test_names_in_any_script_are_read_and_written_whatever_the_locale(tmp_path, changes, name):
    out = tmp_path / name
    done = call("phantom", "--out", out, "--size", 40, 40, 32, "--json", **changes)
    assert done.returncode == 0, done.stderr.decode()
    events = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert events[-1]["out"] == str(out)
    image = sitk.ReadImage(str(out / "ct.nii.gz"))
    renamed = out / f"{name}.nii.gz"
    (out / "lesion.nii.gz").rename(renamed)
    scored = call("evaluate", renamed, renamed, "--json", **changes)
    assert scored.returncode == 0, scored.stderr.decode()
    assert json.loads(scored.stdout.decode().splitlines()[-1])["scans"][0]["dice"] == 1
    assert image.GetSize() == (40, 40, 32)


def test_where_there_is_no_standard_output_the_work_is_done(tmp_path):
    script = "import os, sys; os.close(1); from DRAMLesionLib.cli import main; sys.argv[1:] = {!r}; main()"
    arguments = ["phantom", "--out", str(tmp_path / "p"), "--size", "40", "40", "32", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", script.format(arguments)],
        stderr=subprocess.PIPE,
        env=environment(),
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "p" / "ct.nii.gz").exists()
