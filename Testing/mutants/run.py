"""Puts each fault of ``faults/`` into a copy of the code and sees whether its test fails.

    python Testing/mutants/run.py            all of them
    python Testing/mutants/run.py CRF fsync  those whose name holds one of the words
    python Testing/mutants/run.py --wide     where the named test passes, ask all of its folder, too

Each test is run without a fault first: one that fails anyway notices nothing. One line per fault; the exit code is 1 if
any passes unseen. The checkout itself is never changed. Needs fork, so no Windows.
"""

import importlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

os.environ |= {"OMP_NUM_THREADS": "1", "CI": "true"}  # before torch reads them
sys.dont_write_bytecode = True  # compiled files go by size and second: two faults can't be told apart

import pytest  # noqa: E402
from faults import FAULTS, Fault  # noqa: E402

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LARGE = (
    "numpy",
    "scipy.ndimage",
    "torch",
    "monai.transforms",
    "monai.networks.nets",
    "SimpleITK",
    "matplotlib",
)
"""Imported once, before the code under test is: each fault then costs what its test does."""
PATIENCE_S = 1800
PARTS = (
    *(
        "DRAMLesionLib",
        "DRAMLesion",
        "SegmentEditorDRAMRefine",
        "Testing",
        "Scripts",
        "Integrations",
        "Training",
    ),
    *("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"),
)
NOTICED, UNSEEN, BROKEN = "noticed", "PASSES UNSEEN", "CAN'T BE ASKED"
FAILS_ANYWAY = "ITS TEST FAILS WITHOUT IT"


def copy_of_the_code(target: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.training")
    for name in PARTS:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy(source, target / name)
    return target


def put_in(fault: Fault, code: Path) -> str:
    """Change the file; returns its text as it was."""
    path = code / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.before) != 1:
        raise SystemExit(
            f"{fault.file}: holds {fault.before!r} {text.count(fault.before)} times: mend {fault.name!r}"
        )
    path.write_text(text.replace(fault.before, fault.after), encoding="utf-8")
    return text


def fails(tests: str, code: Path) -> str:
    """What pytest says of tests on the changed code, in a process that has the large packages already."""
    with tempfile.NamedTemporaryFile("w+", suffix=".txt") as said:
        child = os.fork()
        if child == 0:
            _be_pytest(tests, code, said.name)
        _, status = os.waitpid(child, 0)
        text = Path(said.name).read_text(encoding="utf-8", errors="replace")
    told = {0: UNSEEN, 1: NOTICED}.get(os.waitstatus_to_exitcode(status), BROKEN)
    if told == NOTICED:
        failed = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return f"{told} by {failed[0].split(' - ')[0].rpartition('::')[2] if failed else '?'}"
    return told if told == UNSEEN else f"{told}: {text[-600:]}"


def _be_pytest(tests: str, code: Path, said: str) -> NoReturn:
    output = os.open(said, os.O_WRONLY | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(code)
    os.environ["PYTHONPATH"] = str(code)
    sys.path[:] = [str(code), *(path for path in sys.path if Path(path).resolve() not in (HERE, REPOSITORY))]
    signal.alarm(PATIENCE_S)
    code_of_exit = 3
    try:
        code_of_exit = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", tests]))
    finally:
        os._exit(code_of_exit)


def judge(fault: Fault, code: Path, wide: bool, sound: dict[str, bool]) -> str:
    """What comes of a fault; ``sound`` remembers which tests pass without one."""
    if fault.tests not in sound:
        sound[fault.tests] = fails(fault.tests, code) == UNSEEN
    if not sound[fault.tests]:
        return FAILS_ANYWAY
    before = put_in(fault, code)
    try:
        told = fails(fault.tests, code)
        if told == UNSEEN and wide:
            told = fails(str(Path(fault.tests.partition("::")[0]).parent), code)
        return told
    finally:
        (code / fault.file).write_text(before, encoding="utf-8")


def main(words: list[str]) -> int:
    wide = "--wide" in words
    names = [word for word in words if not word.startswith("--")]
    asked = [fault for fault in FAULTS if not names or any(word in fault.name for word in names)]
    unseen, sound = 0, dict[str, bool]()
    for name in LARGE:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="dramlesion-mutants-") as folder:
        code = copy_of_the_code(Path(folder))
        for fault in asked:
            told = judge(fault, code, wide, sound)
            unseen += not told.startswith(NOTICED)
            print(f"{fault.name} | {Path(fault.file).name} | {told}", flush=True)
    print(f"{len(asked) - unseen} of {len(asked)} noticed")
    return 1 if unseen or not asked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
