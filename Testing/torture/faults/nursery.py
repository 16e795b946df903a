"""A process that has everything imported, and from it children that do one job each and are killed in the middle.

Run as a program it reads JSON lines: which job, and when to kill it. Starting Python and torch anew for each kill would
take most of the time. The child counts its own file operations by an audit hook, which sees each one just before it is
done, and ends itself by SIGKILL before the n-th; or it is killed after some seconds, wherever it is then.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
CHANGES = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.truncate",
    "os.chmod",
    "os.link",
    "os.symlink",
}
MOST_S = 300.0


@dataclass(frozen=True)
class Death:
    """How a job ended.

    Attributes:
        killed: By SIGKILL, as was asked.
        code: Its exit code, negative for a signal.
        calls: File operations that it had begun.
        seconds: That it lived.
        said: Standard output and error.
    """

    killed: bool
    code: int
    calls: int
    seconds: float
    said: str


class Nursery:
    """The parent's side."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        paths = (REPOSITORY, Path(__file__).parent, REPOSITORY / "Testing" / "unit" / "batch")
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        job: str,
        arguments: dict[str, Any],
        watch: Path,
        *,
        call: int | None = None,
        after_s: float | None = None,
    ) -> Death:
        """Do a job, and kill it before file operation ``call`` below ``watch`` or after ``after_s``."""
        asked = {
            "job": job,
            "arguments": {
                key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()
            },
            "watch": str(watch),
            "call": call,
            "after_s": after_s,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Death(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def main() -> None:
    import jobs

    jobs.load_everything()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(json.dumps(_fork(json.loads(line), jobs.JOBS)) + "\n")
        answers.flush()


def _fork(asked: dict[str, Any], jobs: dict[str, Any]) -> dict[str, Any]:
    read, write = os.pipe()
    said, speak = os.pipe()  # no file: a child may not be able to write any
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.close(said)
        _be_child(asked, jobs, write, speak)
    os.close(write)
    os.close(speak)
    words: list[bytes] = []
    listener = threading.Thread(target=_listen, args=(said, words))
    listener.start()
    timer = threading.Timer(asked["after_s"] or MOST_S, _kill_group, (child,))
    timer.start()
    calls = 0
    with os.fdopen(read, "rb", buffering=0) as counted:
        while block := counted.read(4096):  # until the child is gone
            calls += len(block)
    _, status = os.waitpid(child, 0)
    timer.cancel()
    code = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    listener.join(10)  # what the child has started may live on
    text = b"".join(words).decode("utf-8", errors="replace")
    return {"killed": code == -9, "code": code, "calls": calls, "seconds": seconds, "said": text}


def _listen(said: int, words: list[bytes]) -> None:
    with os.fdopen(said, "rb", buffering=0) as source:
        while block := source.read(65536):
            words.append(block)


def _kill_group(child: int) -> None:
    for kill in (os.killpg, os.kill):  # it may not lead its group yet
        try:
            kill(child, signal.SIGKILL)
            return
        except ProcessLookupError:
            continue


def _be_child(asked: dict[str, Any], jobs: dict[str, Any], counter: int, speak: int) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (speak, 1), (speak, 2)):
        os.dup2(source, target)
    os.close(speak)
    code = 1
    try:
        count_calls(asked["watch"], asked["call"], counter)
        code = jobs[asked["job"]](**asked["arguments"]) or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def count_calls(watch: str, last: int | None, counter: int | None = None) -> None:
    """Count this process's file operations below ``watch``; end it before the ``last`` one."""
    calls = 0
    process = os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        if event == "open":
            path, _, flags = arguments
            changes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            changes, path = event in CHANGES, arguments[0] if arguments else None
        if not changes or not isinstance(path, str | bytes | os.PathLike) or os.getpid() != process:
            return
        if not os.path.abspath(os.fsdecode(path)).startswith(watch):  # noqa: PTH100 - a Path would call the hook
            return
        calls += 1
        if calls == last:
            os.killpg(0, signal.SIGKILL)
        if counter is not None:
            os.write(counter, b".")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main()
