"""Batches: cases per minute with 1 and 2 workers, what a case costs beyond the model's time, memory of a long list.

Run ``python Testing/benchmarks/batch.py``; ``--cases`` sets how many phantoms are segmented, ``--ct FILE`` takes links to
a CT instead, ``--listed`` sets the length of the list. The overhead is the time from the first case's start to the last
one's end, less what the cases themselves say that reading, lobes, networks, CRF, tables and report took.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))


def make_input(folder: Path, count: int, ct: Path | None) -> None:
    """``count`` CTs: phantoms of 96 x 96 x 64 voxels, or links to one CT."""
    from DRAMLesionLib.phantom import make_phantom, save_phantom

    for number in range(count):
        case = folder / f"p{number:03d}"
        if ct is None:
            save_phantom(make_phantom((96, 96, 64), (3.6, 3.6, 4.6), seed=number), case)
        else:
            case.mkdir(parents=True)
            (case / "ct.nii.gz").symlink_to(ct.resolve())


def measure(source: Path, out: Path, workers: int, dask: bool, options: dict) -> dict[str, float]:
    """Segment all and compare the time with that of the cases' own stages."""
    from DRAMLesionLib.batch import Workers, segment_batch
    from DRAMLesionLib.batch.work import read_record

    ends: list[float] = []
    names: list[str] = []

    def tell(event) -> None:
        ends.append(time.perf_counter())
        names.append(event.outcome.case)

    begin = time.perf_counter()
    result = segment_batch(
        source,
        out,
        workers=Workers(workers, 0.5, dask=dask, threads=1),
        options=options,
        tell=tell,
        with_report=False,
    )
    assert result.good, result.failures
    stages = {}
    for name in names:
        record = json.loads((out / "cases" / name / "summary.json").read_text())["record"]
        stages[name] = sum(record["seconds"].values())
    taken = {name: (read_record(out, name) or {})["seconds"] for name in names}
    start = ends[0] - taken[names[0]]
    busy = (ends[-1] - start) * min(workers, len(names))
    model = sum(stages.values())
    # The last case of the other worker may end earlier: what it then waits is no overhead.
    idle = (
        sum(ends[-1] - max(ends[:-1]) for _ in range(min(workers, len(names)) - 1)) if len(ends) > 1 else 0.0
    )
    count = len(names)
    return {
        "workers": workers,
        "dask": dask,
        "cases_per_minute": 60 * count / (ends[-1] - start),
        "start_s": start - begin,
        "model_s_per_case": model / count,
        "overhead_s_per_case": (busy - idle - model) / count,
        "overhead_percent": 100 * (busy - idle - model) / model,
    }


def listed_memory(count: int) -> dict[str, float]:
    """Peak memory of the process that holds the list and the scheduler; up to 500 of ``count`` listed cases are done."""
    from DRAMLesionLib.batch import Workers, segment_batch
    from DRAMLesionLib.batch.memory import peak_memory_mb, reset_peak_memory

    opened, enough = [], min(count, 500)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "cases.csv"
        with table.open("w") as file:
            file.write("image,name\n")
            file.writelines(f"study/patient{n:06d}/chest_ct.nii.gz,patient{n:06d}\n" for n in range(count))
        sys.addaudithook(
            lambda event, a: opened.append(a[0]) if event == "open" and "study/" in str(a[0]) else None
        )

        def stop(event) -> None:
            if event.ended == enough:
                raise KeyboardInterrupt

        import distributed  # noqa: F401 - its own memory is not the list's

        before = peak_memory_mb() or 0.0
        reset_peak_memory()
        start = time.perf_counter()
        result = segment_batch(
            table,
            folder / "out",
            workers=Workers(2, 0.1),
            segmenter="fake_segmenter",
            tell=stop,
            with_report=False,
        )
        assert result.stopped and sum(result.statuses.values()) == enough
        return {
            "listed": count,
            "before_mb": before,
            "peak_mb": peak_memory_mb() or 0.0,
            "seconds": time.perf_counter() - start,
            "images_opened": len(opened),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--ct", type=Path)
    parser.add_argument("--listed", type=int, default=100_000)
    parser.add_argument("--method", default="dram")
    parser.add_argument("--only", choices=["speed", "memory"])
    values = parser.parse_args()
    os.environ["PYTHONPATH"] = str(REPOSITORY / "Testing" / "unit" / "batch")
    if values.only != "speed":
        for count in (1000, values.listed):
            print(json.dumps({k: round(v, 1) for k, v in listed_memory(count).items()}), flush=True)
    if values.only != "memory":
        options = {"with_scene": False, "method": values.method, "device": "cpu"}
        with tempfile.TemporaryDirectory() as name:
            make_input(Path(name) / "in", values.cases, values.ct)
            for workers, dask in ((1, False), (2, False), (2, True)):
                found = measure(Path(name) / "in", Path(name) / f"out{workers}{dask}", workers, dask, options)
                print(
                    json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}),
                    flush=True,
                )


if __name__ == "__main__":
    main()
