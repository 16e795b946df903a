"""Checks what the reviewers and scripts of Slicer's Extensions Index check, before they do, and without a network.

    python Scripts/check_extension.py [REPOSITORY]
    python Scripts/check_extension.py --addresses

One line per finding; the exit code is 1 if there is any. With ``--addresses``, every place that names the repository's
address on the web: what to change when it moves.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from module_imports import check_modules

NAME = "DRAMLesion"
PLACEHOLDER = "https://github.com/DRAMLesion/SlicerDRAMLesion"
"""The address until there is a public repository. The one that counts is ``scm_url`` of the catalogue's entry: wherever
an address of the extension stands, it has to be that one."""
ADDRESS = re.compile(r"https://(?:raw\.githubusercontent|github)\.com/[\w.-]+/Slicer\w*DRAM\w*")
SPEAK_OF_OTHER_ADDRESSES = ("Testing/", "Scripts/check_extension.py")
CATEGORY = "Segmentation"
SCHEMA = re.compile(
    r"https://raw\.githubusercontent\.com/Slicer/Slicer/main/Schemas/"
    r"slicer-extension-catalog-entry-schema-v1\.0\.[12]\.json#"
)
ENTRY_KEYS = {
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "dicom_support_rule": str,
    "enabled": bool,
    "scm_revision": str,
    "scm_type": str,
    "scm_url": str,
    "tier": int,
}
NEEDED_KEYS = (
    "$schema",
    "category",
    "scm_url",
    "scm_revision",
    "build_dependencies",
    "build_subdirectory",
    "tier",
)
CMAKE_NAMES = ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS")
RAW = re.compile(r"https://raw\.githubusercontent\.com/([\w.-]+)/([\w.-]+)/([\w.-]+)/(.+\.(?:png|jpe?g))")
LICENSES = ("LICENSE", "LICENSE.txt")
LARGEST_MB = 100.0
"""Of a clone with its whole history."""


def main(repository: Path, *, addresses_alone: bool = False) -> int:
    """Print the findings, or every place with the repository's address; returns the exit code."""
    places = list(addresses(repository, repository_files(repository)))
    if addresses_alone:
        print(*(f"{file}:{line}: {address}" for file, line, address in places), sep="\n")
        return 0
    found = [*findings(repository)]
    print(*found, sep="\n", end="\n" if found else "")
    if not found:
        print(f"{NAME} keeps the rules of the Extensions Index.")
    if entry_address(repository) == PLACEHOLDER:
        print(f"Its address is a placeholder, in {len(places)} places: see them with --addresses")
    return 1 if found else 0


def findings(repository: Path) -> Iterator[str]:
    """What is wrong, one line each."""
    files = repository_files(repository)
    yield from check_entry(repository)
    yield from check_cmake(repository)
    yield from check_old_description(repository)
    yield from check_addresses(repository, files)
    yield from check_texts(repository)
    yield from check_line_ends(repository, files)
    yield from check_size(clone_size_mb(repository, files))
    yield from check_requirements(repository)
    yield from check_modules(repository)


def check_entry(repository: Path) -> Iterator[str]:
    """The catalogue's entry."""
    path = repository / f"{NAME}.json"
    if not path.is_file():
        yield f"{path.name}: is missing: the Extensions Index takes the extension's name from it"
        return
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        yield f"{path.name}: is not JSON: {error}"
        return
    for key in NEEDED_KEYS:
        if key not in entry:
            yield f"{path.name}: {key} is missing"
    for key, value in entry.items():
        if key not in ENTRY_KEYS:
            yield f"{path.name}: {key} is not a key of the schema"
        elif type(value) is not ENTRY_KEYS[key]:
            yield f"{path.name}: {key} is not of type {ENTRY_KEYS[key].__name__}"
    if not SCHEMA.fullmatch(str(entry.get("$schema"))):
        yield f"{path.name}: $schema is not the address of a known schema"
    if entry.get("category") != CATEGORY:
        yield f"{path.name}: category is {entry.get('category')!r}, not {CATEGORY!r}"
    if entry.get("tier") not in (1, 3, 5):
        yield f"{path.name}: tier is {entry.get('tier')!r}, not 1, 3 or 5"
    yield from _check_address(path.name, str(entry.get("scm_url")))


def _check_address(where: str, url: str) -> Iterator[str]:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "git") or not parts.netloc:
        yield f"{where}: scm_url {url!r} is not https://HOST/PATH"
    name = Path(parts.path.strip("/")).name.removesuffix(".git")
    if not name.startswith("Slicer"):
        yield f"{where}: the repository's name {name!r} does not begin with Slicer"
    if NAME.lower().startswith("slicer"):
        yield f"{where}: the extension's name begins with Slicer"


def check_cmake(repository: Path) -> Iterator[str]:
    """The extension's description in CMakeLists.txt, and that it says the same as the entry."""
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    project = re.search(r"^project\(\s*([^\s)]+)", text, re.M)
    if not project or project[1] != NAME:
        yield f"CMakeLists.txt: project() is not {NAME}, the name of {NAME}.json"
    values = cmake_values(text)
    for name in CMAKE_NAMES:
        if not values.get(name):
            yield f'CMakeLists.txt: EXTENSION_{name} is not set to "text in quotes"'
        elif ";" in values[name]:
            yield f"CMakeLists.txt: EXTENSION_{name} has a semicolon, which ends a value in CMake"
    for name in ("ICONURL", "SCREENSHOTURLS"):
        for url in values.get(name, "").split():
            yield from _check_picture(repository, f"CMakeLists.txt: EXTENSION_{name}", url)
    entry = _entry(repository)
    depends = [] if values.get("DEPENDS") == "NA" else values.get("DEPENDS", "").split()
    if depends != entry.get("build_dependencies", []):
        yield f"CMakeLists.txt: EXTENSION_DEPENDS {depends} is not the entry's build_dependencies"
    source = str(entry.get("scm_url", "")).removesuffix(".git")
    if values.get("HOMEPAGE") and values["HOMEPAGE"] != source:
        yield f"CMakeLists.txt: EXTENSION_HOMEPAGE is not the repository {source}"


def cmake_values(text: str) -> dict[str, str]:
    """NAME to value of the lines ``set(EXTENSION_NAME "value")``."""
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"]*)"\)', text, re.M))


def _check_picture(repository: Path, where: str, url: str) -> Iterator[str]:
    match = RAW.fullmatch(url)
    if not match:
        yield f"{where}: {url} is not a raw address of a png or jpeg on GitHub"
        return
    owner, name, branch, file = match.groups()
    entry = _entry(repository)
    if f"https://github.com/{owner}/{name}" != str(entry.get("scm_url", "")).removesuffix(".git"):
        yield f"{where}: {url} is in another repository"
    if branch != entry.get("scm_revision"):
        yield f"{where}: {url} is on another branch than {entry.get('scm_revision')}"
    path = repository / file
    if not path.is_file():
        yield f"{where}: {file} is missing"
    elif not is_picture(path):
        yield f"{where}: {file} is neither png nor jpeg"


def is_picture(path: Path) -> bool:
    """Whether a file begins as its name says."""
    begins = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff"}
    return path.read_bytes()[:8].startswith(begins[path.suffix.lower()])


def check_old_description(repository: Path) -> Iterator[str]:
    """The ``.s4ext`` file of older tools says what CMakeLists.txt says."""
    path = repository / f"{NAME}.s4ext"
    if not path.is_file():
        yield f"{path.name}: is missing"
        return
    pairs = (line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines() if " " in line)
    found = {key: value for key, value in pairs if key != "#"}
    values = cmake_values((repository / "CMakeLists.txt").read_text(encoding="utf-8"))
    for name in CMAKE_NAMES:
        if found.get(name.lower()) != values.get(name):
            yield f"{path.name}: {name.lower()} is not the EXTENSION_{name} of CMakeLists.txt"
    entry = _entry(repository)
    for key, other in (("category", "category"), ("scmurl", "scm_url"), ("scmrevision", "scm_revision")):
        if found.get(key) != entry.get(other):
            yield f"{path.name}: {key} is not the {other} of {NAME}.json"


def entry_address(repository: Path) -> str:
    """Where the repository is on the web, by the catalogue's entry."""
    return str(_entry(repository).get("scm_url", "")).removesuffix(".git")


def addresses(repository: Path, files: list[Path]) -> Iterator[tuple[str, int, str]]:
    """Each place in a text file that names an address of the extension: the file, the line from 1, and the address."""
    for path in files:
        name = path.relative_to(repository).as_posix()
        content = path.read_bytes()
        if name.startswith(SPEAK_OF_OTHER_ADDRESSES) or b"\0" in content[:8000]:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            yield from ((name, number, match[0]) for match in ADDRESS.finditer(line))


def check_addresses(repository: Path, files: list[Path]) -> Iterator[str]:
    """One address wherever the extension's is named."""
    right = entry_address(repository)
    for name, number, address in addresses(repository, files):
        if address.replace("raw.githubusercontent.com", "github.com") != right:
            yield f"{name}:{number}: {address} is not the address of {NAME}.json: {right}"


def check_texts(repository: Path) -> Iterator[str]:
    """Licence and readme."""
    if not any((repository / name).is_file() for name in LICENSES):
        yield "LICENSE: is missing"
    readme = repository / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    for what, pattern in {
        "the extension's name": NAME,
        "the licence's name": r"\bMIT\b",
        "a picture": r"!\[[^\]]*\]\([^)]+\)|<img ",
        "that it is for research use only": r"[Rr]esearch use only",
        "the publication": r"arxiv\.org|doi\.org",
    }.items():
        if not re.search(pattern, text):
            yield f"README.md: lacks {what}"


def repository_files(repository: Path) -> list[Path]:
    """The files that a clone has; outside git, all that are not hidden."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        said = subprocess.run(command, capture_output=True, check=True).stdout
        names = [name for name in said.decode("utf-8").split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = (path.relative_to(repository) for path in repository.rglob("*"))
        names = [path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)]
    return [repository / name for name in names if (repository / name).is_file()]


def check_line_ends(repository: Path, files: list[Path]) -> Iterator[str]:
    """Text files end their lines by LF."""
    for path in files:
        content = path.read_bytes()
        if b"\r" in content and b"\0" not in content[:8000] and path.suffix not in (".png", ".gz"):
            yield f"{path.relative_to(repository)}: has CR line ends: save it with LF"


def clone_size_mb(repository: Path, files: list[Path]) -> float:
    """Size of the files and of the history as git keeps it."""
    total = sum(path.stat().st_size for path in files)
    try:
        command = ["git", "-C", str(repository), "count-objects", "-v"]
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        total += 1024 * sum(int(size) for size in re.findall(r"^size(?:-pack)?: (\d+)", said, re.M))
    except (OSError, subprocess.CalledProcessError):
        pass
    return total / 2**20


def check_size(megabytes: float) -> Iterator[str]:
    """The Index refuses large repositories."""
    if megabytes > LARGEST_MB:
        yield f"the repository with its history has {megabytes:.0f} MB, {LARGEST_MB:.0f} are allowed"


def check_requirements(repository: Path) -> Iterator[str]:
    """No exact versions: another extension may need others."""
    path = repository / NAME / "Resources" / "requirements.txt"
    where = path.relative_to(repository)
    for line in path.read_text(encoding="utf-8").splitlines():
        named = line.partition("#")[0].partition(";")[0].strip()
        if named and not re.fullmatch(r"[\w.-]+(\[[\w,]+\])?((>=|<|!=|~=)[\w.]+,?)*", named):
            yield f"{where}: {named!r} is pinned, or not a plain requirement"


def _entry(repository: Path) -> dict[str, object]:
    try:
        return dict(json.loads((repository / f"{NAME}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--addresses"]
    where = Path(words[0] if words else Path(__file__).parents[1]).resolve()
    sys.exit(main(where, addresses_alone="--addresses" in sys.argv))
