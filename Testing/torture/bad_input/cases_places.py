"""Odd names, things that are no files, and places where nothing can be written."""

import errno
import os
import resource
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk
from harness import Job, Table
from world import World, write

import DRAMLesionLib.results.report
from DRAMLesionLib.case import segment_case

NAMES = Table("names and files")
OUTPUTS = Table("output folders")


def _named(name: str, title: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        shutil.copy(world.ct_path, folder / name)
        return world.accepts(folder / name, world.ct)

    NAMES.add(title, make, short)


_named("a scan of today.nii.gz", "spaces")
_named("Müller - Lunge Größe.nii.gz", "umlauts")
_named("Mu\u0308ller.nii.gz", "umlauts of two characters")
_named("肺のCT画像.nii.gz", "Japanese", short=True)
_named("🫁.nii.gz", "an emoji")
_named('it\'s "50%" & [1]{name}.nii.gz', "quotes, percent, brackets")
_named("-out.nii.gz", "a dash first (given with its folder)")
_named(".hidden.nii.gz", "a dot first")
_named("..nii.gz", "dots alone")
_named("a.b.c.nii.gz", "many dots")
_named("UPPER.NII.GZ", "upper case")
_named("x" * 240 + ".nii.gz", "247 characters", short=True)
_named("<script>alert(1)</script>.nii.gz".replace("/", "_"), "markup")
_named("two\nlines.nii.gz", "a line break")
_named("tab\there.nii.gz", "a tab")


@NAMES.case("markup in the name is not in the report as such")
def _(world: World, folder: Path) -> Job:
    source = folder / "<b onclick=x>.nii.gz"
    shutil.copy(world.ct_path, source)

    def escaped(summary: dict, out: Path) -> None:
        assert "<b onclick" not in (out / "report.html").read_text(encoding="utf-8")

    return world.accepts(source, world.ct, check=escaped)


@NAMES.case("a path of 500 characters")
def _(world: World, folder: Path) -> Job:
    deep = folder / ("d" * 120) / ("e" * 120) / ("f" * 120)
    deep.mkdir(parents=True)
    shutil.copy(world.ct_path, deep / "ct.nii.gz")
    return world.accepts(deep / "ct.nii.gz", world.ct)


@NAMES.case("bytes that are no text")
def _(world: World, folder: Path) -> Job:
    name = os.fsdecode(b"M\xfcller.nii.gz")
    shutil.copy(world.ct_path, folder / name)
    return Job(world.segment(folder / name, folder / "out"), ("M\\xfcller.nii.gz", "rename"))


@NAMES.case("an output folder of bytes that are no text")
def _(world: World, folder: Path) -> Job:
    return Job(world.segment(world.ct_path, folder / os.fsdecode(b"M\xfcller")), ("M\\xfcller", "rename"))


@NAMES.case("a suffix that says nothing")
def _(world: World, folder: Path) -> Job:
    shutil.copy(world.ct_path, folder / "ct.gz")
    return world.refuses(folder / "ct.gz", "not an image")


@NAMES.case("no suffix")
def _(world: World, folder: Path) -> Job:
    shutil.copy(world.ct_path, folder / "ct")
    return world.refuses(folder / "ct")


@NAMES.case("a picture")
def _(world: World, folder: Path) -> Job:
    return world.refuses(
        write(sitk.Cast(world.ct[:, :, 3], sitk.sitkUInt8), folder / "ct.png"), "not an image"
    )


@NAMES.case("no such file", short=True)
def _(world: World, folder: Path) -> Job:
    return world.refuses(folder / "gone.nii.gz", "no such file")


@NAMES.case("a name with a null byte")
def _(world: World, folder: Path) -> Job:
    return Job(lambda: segment_case(folder / "a\0b.nii.gz", folder / "out"), ("b.nii.gz",))


@NAMES.case("a name that is too long to be")
def _(world: World, folder: Path) -> Job:
    return Job(world.segment(folder / ("x" * 300 + ".nii.gz"), folder / "out"), ("too long",))


@NAMES.case("a folder named as an image")
def _(world: World, folder: Path) -> Job:
    (folder / "ct.nii.gz").mkdir()
    return world.refuses(folder / "ct.nii.gz")


@NAMES.case("a folder of images, not DICOM")
def _(world: World, folder: Path) -> Job:
    (folder / "in").mkdir()
    shutil.copy(world.ct_path, folder / "in" / "ct.nii.gz")
    return world.refuses(folder / "in", "no DICOM")


@NAMES.case("a link to the image")
def _(world: World, folder: Path) -> Job:
    (folder / "ct.nii.gz").symlink_to(world.ct_path)
    return world.accepts(folder / "ct.nii.gz", world.ct)


@NAMES.case("a link that leads nowhere")
def _(world: World, folder: Path) -> Job:
    (folder / "ct.nii.gz").symlink_to(folder / "gone")
    return world.refuses(folder / "ct.nii.gz", "no such file")


@NAMES.case("a link to itself")
def _(world: World, folder: Path) -> Job:
    (folder / "ct.nii.gz").symlink_to(folder / "ct.nii.gz")
    return world.refuses(folder / "ct.nii.gz")


@NAMES.case("a pipe", seconds=10, short=True)
def _(world: World, folder: Path) -> Job:
    os.mkfifo(folder / "ct.nii.gz")
    return world.refuses(folder / "ct.nii.gz", "no file")


@NAMES.case("a pipe as lobes", seconds=10)
def _(world: World, folder: Path) -> Job:
    os.mkfifo(folder / "lobes.nrrd")
    run = world.segment(world.ct_path, folder / "out", lobes=folder / "lobes.nrrd")
    return Job(run, ("lobes.nrrd", "no file"))


@NAMES.case("a pipe in place of a DICOM file", seconds=10)
def _(world: World, folder: Path) -> Job:
    os.mkfifo(folder / "ct.dcm")
    return world.refuses(folder / "ct.dcm", "no file")


@NAMES.case("a socket")
def _(world: World, folder: Path) -> Job:
    here = Path.cwd()
    os.chdir(folder)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("ct.nii.gz")
    os.chdir(here)
    return world.refuses(folder / "ct.nii.gz", "no file")


@NAMES.case("a device")
def _(world: World, folder: Path) -> Job:
    return Job(world.segment(Path("/dev/zero"), folder / "out"), ("/dev/zero", "no file"))


# Outputs.
def _out(title: str, place: Callable[[Path], Path], *words: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        return Job(world.segment(world.ct_path, place(folder), lobes=True), words)

    OUTPUTS.add(title, make, short)


def _file(folder: Path) -> Path:
    (folder / "out").write_text("mine")
    return folder / "out"


def _dangling(folder: Path) -> Path:
    (folder / "out").symlink_to(folder / "gone" / "away")
    return folder / "out"


def _loop(folder: Path) -> Path:
    (folder / "out").symlink_to(folder / "out")
    return folder / "out"


_out("is a file", _file, "is a file", short=True)
_out("lies below a file", lambda folder: _file(folder) / "results", "a file, not a folder")
_out("is a device", lambda folder: Path("/dev/null"), "/dev/null")
_out("lies in /proc", lambda folder: Path("/proc/dramlesion"), "/proc/dramlesion", short=True)
_out("name too long", lambda folder: folder / ("o" * 300), "too long")
_out("is a link to itself", _loop, "out")
_out("is a link that leads nowhere", _dangling, "out")


@OUTPUTS.case("can't be written", short=True)
def _(world: World, folder: Path) -> Job:
    out = folder / "locked"
    out.mkdir()
    if os.geteuid() == 0:  # nothing is locked to root: a folder of the kernel's is
        out = Path("/sys/kernel/dramlesion")
    else:
        out.chmod(0o500)
    return Job(world.segment(world.ct_path, out, lobes=True), (out.name,))


@OUTPUTS.case("is the CT's own folder")
def _(world: World, folder: Path) -> Job:
    shutil.copy(world.ct_path, folder / "ct.nii.gz")
    return world.accepts(folder / "ct.nii.gz", world.ct, out=folder)


@OUTPUTS.case("holds the lobes that are given, under the name of the results'")
def _(world: World, folder: Path) -> Job:
    out = folder / "results"
    out.mkdir()
    shutil.copy(world.lobes_path, out / "lobes.nii.gz")
    shutil.copy(world.ct_path, folder / "ct.nii.gz")
    return world.accepts(folder / "ct.nii.gz", world.ct, lobes=out / "lobes.nii.gz")


@OUTPUTS.case("a folder lies where a result goes")
def _(world: World, folder: Path) -> Job:
    out = folder / "results"
    (out / "lesion.nii.gz" / "mine").mkdir(parents=True)
    shutil.copy(world.ct_path, folder / "ct.nii.gz")
    return Job(world.segment(folder / "ct.nii.gz", out, lobes=True), ("lesion.nii.gz", "is a folder"))


@OUTPUTS.case("the user's own files stay")
def _(world: World, folder: Path) -> Job:
    out = folder / "results"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    shutil.copy(world.ct_path, folder / "ct.nii.gz")

    def kept(summary: dict, out: Path) -> None:
        assert (out / "mine.txt").read_text() == "mine"

    return world.accepts(folder / "ct.nii.gz", world.ct, check=kept)


@OUTPUTS.case("odd characters")
def _(world: World, folder: Path) -> Job:
    shutil.copy(world.ct_path, folder / "ct.nii.gz")
    return world.accepts(folder / "ct.nii.gz", world.ct, out=folder / "Ergebnis ü 肺 %s {x}")


@OUTPUTS.case("files may not grow beyond 20 kB", short=True)
def _(world: World, folder: Path) -> Job:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, before[1]))

    def restore() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)

    run = world.segment(world.ct_path, folder / "out", lobes=True)
    return Job(run, ("out",), finally_=restore)


for _number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):

    def _fails(world: World, folder: Path, number: int = _number) -> Job:
        original = DRAMLesionLib.results.table.write_table

        def broken(*_: object) -> None:
            raise OSError(number, os.strerror(number), str(folder / "out" / "lobes.csv"))

        def restore() -> None:
            DRAMLesionLib.results.table.write_table = original

        DRAMLesionLib.results.table.write_table = broken
        return Job(world.segment(world.ct_path, folder / "out", lobes=True), ("out",), finally_=restore)

    OUTPUTS.add(f"writing fails: {os.strerror(_number)}", _fails, short=_number == errno.ENOSPC)


@OUTPUTS.case("a batch into a file")
def _(world: World, folder: Path) -> Job:
    (folder / "out").write_text("mine")
    return Job(("batch", world.folder, folder / "out"), ("is a file",))


CASES = [*NAMES.cases, *OUTPUTS.cases]
