"""What the nursery's children do. Each function is a job; its arguments are JSON values."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def load_everything() -> None:
    """Import what the jobs need, so that their processes need not."""
    import matplotlib.pyplot  # noqa: F401
    import monai.inferers  # noqa: F401
    import safetensors.torch  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import SimpleITK  # noqa: F401
    import torch

    torch.set_num_threads(1)


def command(words: list[str]) -> int:
    """A command line."""
    from DRAMLesionLib.cli import app

    return int(app(words, standalone_mode=False) or 0)


# --- a correction session ------------------------------------------------------------------------------------------


def operations(count: int, shape: tuple[int, int, int]) -> list[tuple[Any, ...]]:
    """What a person does in a session: the same for the same count."""
    random = np.random.default_rng(count)
    done: list[tuple[Any, ...]] = []
    for number in range(count):
        kind = "paint" if number < 2 else random.choice(["paint", "paint", "undo", "redo", "save", "replace"])
        if kind == "paint":
            start = random.integers(2, np.array(shape) - 8)
            done.append(("paint", tuple(int(n) for n in start), int(random.integers(0, 3))))
        else:
            done.append((str(kind),))
    return done


def begin_session(folder: str, directory: str) -> Any:
    from DRAMLesionLib.correction.session import CorrectionSession
    from DRAMLesionLib.images.volume import read_ct, read_on_grid
    from DRAMLesionLib.lungs.read_lobes import read_lobes

    ct = read_ct(Path(folder) / "ct.nii.gz")
    lobes = read_lobes(Path(folder) / "lobes.nii.gz", ct)
    lesion = read_on_grid(Path(folder) / "lesion.nii.gz", ct).astype(np.float32)
    return CorrectionSession(ct.array, lobes, lesion * 0.8 + 0.1, ct.spacing_mm, directory=directory, ct=ct)


def operate(session: Any, operation: tuple[Any, ...], directory: str) -> None:
    kind = operation[0]
    if kind == "paint":
        _, (z, y, x), value = operation
        brush = np.zeros(session.label.shape, bool)
        brush[z : z + 3, y : y + 5, x : x + 4] = True
        session.paint(brush, value)
    elif kind == "undo":
        session.undo()
    elif kind == "redo":
        session.redo()
    elif kind == "save":
        session.save(directory)
    else:
        session.replace_probability(np.clip(session.probability * 0.9, 0, 1))


def state_of(session: Any) -> str:
    """A checksum of all that a person sees, and of what undo and redo would bring."""
    digest = hashlib.sha256(session.label.tobytes() + session.edits.tobytes() + session.probability.tobytes())
    digest.update(f"{len(session.strokes)} {session.can_undo} {session.can_redo}".encode())
    return digest.hexdigest()


def session(folder: str, directory: str, told: str, count: int) -> None:
    """Begin a session and work in it; tell the state after each step that has returned."""
    from DRAMLesionLib.correction.session import CorrectionSession

    if (Path(directory) / "session.json").exists():
        worked = CorrectionSession.load(directory)
    else:
        worked = begin_session(folder, directory)
    with Path(told).open("ab", buffering=0) as file:
        file.write(f"{state_of(worked)}\n".encode())
        for operation in operations(count, worked.label.shape):
            operate(worked, operation, directory)
            file.write(f"{state_of(worked)}\n".encode())


def accept(folder: str, training: str, told: str, value: int) -> None:
    """Accept a CT whose edits have a value in one voxel; tell when it has returned."""
    from DRAMLesionLib.images.volume import read_ct, read_on_grid
    from DRAMLesionLib.lesions.findings import Findings
    from DRAMLesionLib.lesions.quantify import quantify
    from DRAMLesionLib.lungs.read_lobes import read_lobes
    from DRAMLesionLib.training.data.accepted_case import save_accepted_case

    ct = read_ct(Path(folder) / "ct.nii.gz")
    lobes = read_lobes(Path(folder) / "lobes.nii.gz", ct)
    lesion = read_on_grid(Path(folder) / "lesion.nii.gz", ct)
    edits = np.zeros(lesion.shape, np.uint8)
    edits[10, 10, :value] = 1
    table = quantify(ct.array, lobes, lesion, ct.spacing_mm)
    findings = Findings(ct, lobes, lesion.astype(np.float32), lesion, table, {"value": value})
    save_accepted_case(training, findings, edits)
    Path(told).write_text(str(value), encoding="utf-8")


# --- a batch -------------------------------------------------------------------------------------------------------


def batch(
    source: str, out: str, resume: bool, done: str, segmenter: str, options: dict[str, Any] | None = None
) -> int:
    """A batch on a quick stand-in for the network; told is what became of it."""
    from DRAMLesionLib.batch import Workers, segment_batch

    result = segment_batch(
        source,
        out,
        workers=Workers(1),
        resume=resume,
        segmenter=segmenter,
        options={"done": done, **(options or {})},
        with_report=False,
    )
    print(json.dumps({"good": result.good, "kept": result.kept, "failures": result.failures}))
    return 0 if result.good else 3


# --- what can't be killed ------------------------------------------------------------------------------------------


def fill(folder: str, words: list[str], limit: int) -> int:
    """A command line where no file may grow beyond ``limit`` bytes."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    os.chdir(folder)
    return command(words)


def starve(words: list[str], mib: float) -> int:
    """A command line that may take ``mib`` more of memory than there is in use."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(mib * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return command(words)


def offline(words: list[str]) -> int:
    """A command line whose process may open no socket; without words, one is opened."""
    import socket
    import sys

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        if event.startswith("socket."):
            os._exit(99)

    sys.addaudithook(hook)
    if not words:
        socket.create_connection(("127.0.0.1", 9))
    return command(words)


JOBS: dict[str, Callable[..., int | None]] = {
    job.__name__: job for job in (command, session, accept, batch, fill, starve, offline)
}
