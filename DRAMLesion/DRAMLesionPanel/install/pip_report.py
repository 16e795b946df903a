"""What pip says, in words for people: what it is doing, why it failed, and what to do then."""

import re
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

LONGEST = 220
"""Characters of pip's own words that are shown; all of them are in the log."""

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d+ ?")
_DOING = re.compile(
    r"^\s*(Collecting|Downloading|Processing|Installing|Attempting uninstall|Building wheel)\b"
)
_ADDRESS = re.compile(r"<[^<>]*object at 0x[0-9a-f]+>(, )?:? ?")
_PASSWORD = re.compile(r"://[^/@\s]+@")


@dataclass(frozen=True)
class Advice:
    """What to do when pip's log has a certain text.

    Attributes:
        sign: A regular expression that the log matches.
        cause: One for pip's own words in it; empty: its first line that begins with ``ERROR:``.
        todo: What to do.
    """

    sign: str
    cause: str
    todo: str


_UNREACHABLE = r"\(Caused by (.*)\)"


def advices() -> tuple[Advice, ...]:
    """Known failures, the most telling first."""
    network = _(
        "check the internet connection; behind a proxy, enter it; without internet, choose a folder of wheels"
    )
    return (
        Advice(
            r"407 Proxy Auth|Proxy Authentication Required",
            _UNREACHABLE,
            _("the proxy wants a name and a password: enter it as http://NAME:PASSWORD@HOST:PORT"),
        ),
        Advice(
            r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError",
            _UNREACHABLE,
            _(
                "something between here and the package index replaces its certificate: ask your administrator for "
                "that certificate, set the environment variable PIP_CERT to its file and start Slicer again, or "
                "choose a folder of wheels"
            ),
        ),
        Advice(
            r"No space left on device|Errno 28|WinError 112|not enough space",
            "",
            _("the disk is full: free 10 GB and press Install again"),
        ),
        Advice(
            r"WinError 206|filename or extension is too long|enable Windows Long Path|long path support",
            "",
            _(
                "the path is too long for Windows: allow long paths in Windows, or install Slicer in C:\\Slicer"
            ),
        ),
        Advice(
            r"WinError 32|WinError 5\b|being used by another process",
            "",
            _("a package is in use: start Slicer again and press Install before anything else"),
        ),
        Advice(
            r"Permission denied|Errno 13|Read-only file system",
            "",
            _("Slicer's folder can't be written: install Slicer in a folder of your own"),
        ),
        Advice(
            r"DO NOT MATCH THE HASHES|BadZipFile|is not a valid wheel|Wheel .* is invalid|has an invalid wheel",
            "",
            _(
                "a downloaded file is damaged: remove it if it is in your folder of wheels, and press Install again"
            ),
        ),
        Advice(
            r"conflicting dependencies|ResolutionImpossible",
            r"(The user requested \(constraint\).*)",
            _(
                "Slicer's own packages keep their versions, and no version of the others fits them: install the "
                "newest Slicer, or remove extensions that hold old packages"
            ),
        ),
        Advice(
            r"MemoryError|Cannot allocate memory", "", _("memory ran out: close other programs and try again")
        ),
        Advice(r"from versions: (?!none)", "", ""),
        Advice(r"ProxyError|Cannot connect to proxy", _UNREACHABLE, network),
        Advice(
            r"Max retries exceeded|Could not fetch URL|Connection (broken|aborted|reset)",
            _UNREACHABLE,
            network,
        ),
        Advice(r"Read timed out|ReadTimeoutError|IncompleteRead|ConnectTimeout", "", network),
    )


def explain(log: str, offline: bool, code: int | None = None) -> str:
    """Why pip failed and what to do, in one line.

    Args:
        log: What it wrote into its log.
        offline: It was to use a folder of wheels alone.
        code: Its exit code, negative or None where it was ended from outside.
    """
    # pip's own traceback comes after its errors, and names other failures on the way.
    lines = [_TIME.sub("", line) for line in log.partition("Exception information:")[0].splitlines()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    if not errors:
        ended = _("pip was ended before it had finished") if code is None or code < 0 else _("pip failed")
        return f"{ended}: {_('press Install to continue; its messages are in the Python console')}"
    text = "\n".join(lines)
    found = next((advice for advice in advices() if re.search(advice.sign, text)), None)
    cause = errors[0]
    if found and found.cause and (match := re.search(found.cause, text)):
        cause = match[1] if found.cause == _UNREACHABLE else f"{cause} {match[1]}"
    todo = found.todo if found else ""
    if not todo and re.search(r"No matching distribution|Could not find a version", text):
        todo = (
            _("add it to the folder of wheels, for this system and Python, and press Install again")
            if offline
            else _("no version of it fits this Python and system: install the newest Slicer")
        )
    return f"pip: {readable(cause)}: {todo or _('pip said no more; its messages are in the Python console')}"


def readable(text: str) -> str:
    """Without addresses of objects and passwords, and not too long."""
    text = _PASSWORD.sub("://", _ADDRESS.sub("", text)).strip().rstrip(".:")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class PipLog:
    """Follows the log file that pip writes while it works."""

    def __init__(self, path: Path) -> None:
        """``path`` need not exist yet."""
        self.path = path
        self._read = 0

    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""

    def doing(self) -> str | None:
        """What pip began last since the previous call, such as ``Downloading torch-2.9.0-...whl (890 MB)``."""
        if not self.path.is_file():
            return None
        with self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = [_TIME.sub("", line) for line in whole.decode("utf-8", errors="replace").splitlines()]
        found = [line.strip() for line in lines if _DOING.match(line)]
        return readable(found[-1]) if found else None
