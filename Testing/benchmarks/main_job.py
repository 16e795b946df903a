"""The main job as a user starts it: seconds per stage, beside a floor that this machine sets, and peak memory.

    python Testing/benchmarks/main_job.py [--sizes 512x512x300 ...] [--data DIR] [--keep DIR] [--rounds 2] [--before DIR]

Phantoms are made once and kept in DIR of ``--keep``; DIR of ``--data`` (or ``DRAMLESION_REAL_DATA``) holds
``caseNN_ct.nii.gz``. ``--before`` names another checkout, which takes turns with this one, so that both meet the same
machine. On a busy machine compare CPU seconds, by one thread (``OMP_NUM_THREADS=1``).

Memory is that of the job and its child processes together (proportional set sizes, sampled). Stages
that run beside each other (the scene's process while files are written) are counted where the job waits for them.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(HERE), str(REPOSITORY)]

SIZES = ("256x256x150", "512x512x300", "512x512x600")
BOX_MM = (360.0, 360.0, 300.0)
"""The phantoms' field of view (x, y, z): the same body at each size."""
START = "start and end"
"""Python, torch and MONAI are loaded, and the process ends."""


@dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        wall: Seconds.
        cpu: User and system seconds, child processes included.
        peak_gib: Of all its processes together, at a time.
        stages: Seconds of each stage as the job itself tells; the rest is :data:`START`.
    """

    wall: float
    cpu: float
    peak_gib: float
    stages: dict[str, float]


def phantom(size: str, keep: Path) -> Path:
    """The CT of that size."""
    file = keep / size / "ct.nii.gz"
    if not file.exists():
        lengths = size.split("x")
        spacing = [str(mm / int(n)) for mm, n in zip(BOX_MM, lengths, strict=True)]
        command = [sys.executable, "-m", "DRAMLesionLib", "phantom", "--out", str(file.parent)]
        given = ["--size", *lengths, "--spacing", *spacing]
        subprocess.run(command + given, check=True, stderr=subprocess.DEVNULL, cwd=REPOSITORY)
    return file


def run(ct: Path, checkout: Path) -> Run:
    """Segment one CT in a process of its own, by the library in a checkout."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "DRAMLesionLib", "segment", str(ct), "--out", out]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        job = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=checkout, env=environment
        )
        peak: list[float] = [0.0]
        watcher = threading.Thread(target=_watch, args=(job, peak), daemon=True)
        watcher.start()
        if job.wait():
            sys.exit(f"{ct}: the job failed: run {' '.join(command)}")
        wall = time.perf_counter() - start
        watcher.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        record = json.loads((Path(out) / "summary.json").read_text(encoding="utf-8"))["record"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    stages = {START: wall - sum(record["seconds"].values()), **record["seconds"]}
    return Run(wall, cpu, peak[0], stages)


def _watch(job: subprocess.Popen, peak: list[float]) -> None:
    while job.poll() is None:
        peak[0] = max(peak[0], sum(map(_memory_gib, _family(job.pid))))
        time.sleep(0.05)


def _family(process: int) -> list[int]:
    """A process and its descendants (Linux; elsewhere none, and no memory is told)."""
    found, waiting = [], [process]
    while waiting:
        found.append(waiting.pop())
        for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def _memory_gib(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 2**20


def best(ct: Path, rounds: int, checkouts: dict[str, Path]) -> dict[str, Run]:
    """By the checkout's name the run with the fewest CPU seconds; the checkouts take turns."""
    runs: dict[str, list[Run]] = {name: [] for name in checkouts}
    for _ in range(rounds):
        for name, checkout in checkouts.items():
            runs[name].append(run(ct, checkout))
    return {name: min(several, key=lambda one: one.cpu) for name, several in runs.items()}


def machine() -> str:
    """The processor in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} cores, {names[0] if names else platform.processor()}"


def stage_table(ct: Path, found: Run) -> None:
    """Each stage beside its floor."""
    from floors import floors

    known = floors(ct)
    print(f"\n{ct.parent.name}: {found.wall:.1f} s wall, {found.cpu:.1f} s CPU, {found.peak_gib:.2f} GiB\n")
    print("| stage | s | floor, s | ratio | what the floor is |\n|---|---|---|---|---|")
    for name, seconds in found.stages.items():
        floor, what = known.get(name, (0.0, "none counted"))
        ratio = f"{seconds / floor:.1f}" if floor else ""
        print(f"| {name} | {seconds:.2f} | {f'{floor:.2f}' if floor else ''} | {ratio} | {what} |")


def start_times() -> None:
    """What a user waits for before anything begins."""
    for what, command in (
        ("import DRAMLesionLib", ["-c", "import DRAMLesionLib"]),
        ("--help", ["-m", "DRAMLesionLib", "--help"]),
        ("import torch", ["-c", "import torch"]),
    ):
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, cwd=REPOSITORY)
            seconds.append(time.perf_counter() - start)
        print(f"{what}: {sorted(seconds)[2]:.2f} s (median of 5, the whole process)")
    print(f"first line of segment: {sorted(_first_line() for _ in range(5))[2]:.2f} s (median of 5)")


def _first_line() -> float:
    command = [sys.executable, "-m", "DRAMLesionLib", "segment", "no-such-file.nii.gz", "--out"]
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        job = subprocess.Popen(
            [*command, out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=REPOSITORY
        )
        assert job.stdout is not None
        job.stdout.readline()
        seconds = time.perf_counter() - start
        job.communicate()
    return seconds


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--data", type=Path, default=os.environ.get("DRAMLESION_REAL_DATA"))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "dramlesion-benchmarks")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--runs-alone", action="store_true", help="neither times of starting nor floors")
    given = parser.parse_args()
    print(machine())
    if not given.runs_alone:
        start_times()
    checkouts = {"before": given.before.resolve()} if given.before else {}
    checkouts["now"] = REPOSITORY
    scans = {size: phantom(size, given.keep) for size in given.sizes}
    if given.data:
        scans |= {ct.name.split("_")[0]: ct for ct in sorted(Path(given.data).glob("case*_ct.nii.gz"))}
    found: dict[str, Run] = {}
    for scan, ct in scans.items():
        for when, one in best(ct, given.rounds, checkouts).items():
            found[scan if when == "now" else f"{scan}, {when}"] = one
    names = list(dict.fromkeys(name for one in found.values() for name in one.stages))
    print(f"\nfewest CPU seconds of {given.rounds} runs\n\n| CT | s | CPU s | GiB | {' | '.join(names)} |")
    print("|---" * (len(names) + 4) + "|")
    for ct_name, one in found.items():
        stages = " | ".join(f"{one.stages.get(name, 0):.1f}" for name in names)
        print(f"| {ct_name} | {one.wall:.1f} | {one.cpu:.1f} | {one.peak_gib:.2f} | {stages} |")
    if "512x512x300" in found and not given.runs_alone:
        stage_table(phantom("512x512x300", given.keep), found["512x512x300"])


if __name__ == "__main__":
    main()
