"""Standard streams that outlive their reader, names of files that are UTF-8 whatever the locale, and a quick end."""

import atexit
import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from DRAMLesionLib.system.package import module_command


class Pipe(io.RawIOBase):
    """A file descriptor to write to; once nobody reads it, what is written goes nowhere.

    So ``dramlesion segment ... --json | head -1`` finishes its work, and ends with exit code 0.
    """

    def __init__(self, descriptor: int):
        """Take over a descriptor, which stays open.

        Args:
            descriptor: 1 or 2.
        """
        self._descriptor = descriptor

    def write(self, data: Any) -> int:
        """Write bytes, or drop them."""
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            # Windows says EINVAL where nobody reads.
            if error.errno not in (errno.EPIPE, errno.EINVAL, errno.EBADF):
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._descriptor)
            os.close(nowhere)
            return len(data)

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return os.isatty(self._descriptor)


def lasting(stream: TextIO | None) -> TextIO:
    """A text stream like ``stream`` that writes names in any script, and goes on where its reader has gone.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``; None where the process has none.
    """
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):  # a program has put something of its own there
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(Pipe(descriptor)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )


def end_with(work: Callable[[], int | None]) -> NoReturn:
    """Do a process's work and end the process with its exit code, without taking its modules apart.

    That takes torch most of a second of computing, when all files have their names and somebody waits. What is registered
    for the end (:mod:`atexit`) is done. Threads that still run are not waited for: not for work that leaves some behind
    which write.

    Args:
        work: Gives the exit code, None for 0, or raises ``SystemExit`` with it. What else it raises is raised here, and
            ends the process as usual.
    """
    try:
        code: object = work()
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(
            OSError, ValueError, AttributeError
        ):  # its reader has gone, or there is none
            stream.flush()
    os._exit(code or 0)


def restart_in_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where names of files would be taken for ASCII (``LC_ALL=C``).

    File names are bytes that nearly always are UTF-8; as ASCII, no library could open ``M\u00fcller.nii.gz``.
    """
    if sys.getfilesystemencoding().lower().replace("-", "") == "utf8" or os.name == "nt":
        return
    command = module_command("DRAMLesionLib", *sys.argv[1:], options=("-X", "utf8"))
    os.execv(sys.executable, [os.fsencode(word) for word in command])
