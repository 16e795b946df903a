"""Values that are not HU, odd grids, and odd persons."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from harness import Job, Table
from scipy import ndimage
from world import SPACING, World, write

from DRAMLesionLib.phantom import make_phantom

VALUES = Table("values")
GEOMETRY = Table("geometry")
PERSONS = Table("persons and fields of view")
Changed = Callable[[np.ndarray, World], np.ndarray]


def _values(name: str, change: Changed, *words: str, good: bool = False, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        path = write(world.image(change(world.hu.astype(np.int32), world)), folder / "odd.nrrd")
        return world.accepts(path, world.ct) if good else world.refuses(path, *words, lobes=True)

    VALUES.add(name, make, short)


def _with(hu: np.ndarray, value: float, kind: Any = np.float32) -> np.ndarray:
    hu = hu.astype(kind)
    hu[20, 20, 20] = value
    return hu


def _corners(hu: np.ndarray, value: int) -> np.ndarray:
    """A round field of view: the scanner's padding in the corners."""
    y, x = np.ogrid[-1 : 1 : hu.shape[1] * 1j, -1 : 1 : hu.shape[2] * 1j]
    return np.where(y**2 + x**2 > 1.1, value, hu)


_values("unsigned, 1024 too high", lambda hu, w: (hu + 1024).astype(np.uint16), "subtract 1024", short=True)
_values("unsigned, 1000 too high", lambda hu, w: (hu + 1000).clip(0).astype(np.uint16), "subtract 1000")
_values("1024 too low", lambda hu, w: (hu - 1024).astype(np.int16), "add 1024")
_values("1024 too high, signed", lambda hu, w: (hu + 1024).astype(np.int16), "subtract 1024")
_values(
    "1024 too high, with padding of -2000",
    lambda hu, w: _corners(hu + 1024, -2000).astype(np.int16),
    "subtract 1024",
)
_values(
    "8 bits of a lung window", lambda hu, w: ((hu + 1350) / 1500 * 255).clip(0, 255).astype(np.uint8), "HU"
)
_values("0 to 1", lambda hu, w: ((hu + 1000) / 2000).clip(0, 1).astype(np.float32), "HU")
_values("-1 to 1", lambda hu, w: (hu / 1000).clip(-1, 1).astype(np.float32), "air")
_values("zero mean, unit variance", lambda hu, w: ((hu - hu.mean()) / hu.std()).astype(np.float32), "air")
_values("attenuation per cm", lambda hu, w: (0.19 * (1 + hu / 1000)).clip(0).astype(np.float32), "HU")
_values("upside down", lambda hu, w: (-hu).astype(np.int16), "HU")
_values("constant", lambda hu, w: np.full(hu.shape, -1000, np.int16), "all its voxels")
_values("one NaN", lambda hu, w: _with(hu, np.nan), "1 NaN", short=True)
_values("an infinite value", lambda hu, w: _with(hu, np.inf), "1 NaN or infinite")
_values(
    "minus infinity outside",
    lambda hu, w: np.where(hu < -990, -np.inf, hu).astype(np.float32),
    "NaN or infinite",
)
_values("all NaN", lambda hu, w: np.full(hu.shape, np.nan, np.float32), "NaN")
_values("1e30 in a voxel", lambda hu, w: _with(hu, 1e30), good=True)
_values("float32 HU", lambda hu, w: hu.astype(np.float32), good=True)
_values("float64 HU with fractions", lambda hu, w: hu + 0.25, good=True)
_values("int32 HU", lambda hu, w: hu, good=True)
_values("int64 HU", lambda hu, w: hu.astype(np.int64), good=True)
_values(
    "padding of -3024 in the corners",
    lambda hu, w: _corners(hu, -3024).astype(np.int16),
    good=True,
    short=True,
)
_values("padding of -32768 in the corners", lambda hu, w: _corners(hu, -32768).astype(np.int16), good=True)
_values("a voxel of metal", lambda hu, w: _with(hu, 30000, np.int16), good=True)
_values("only air", lambda hu, w: np.where(hu > -900, -1000, hu).astype(np.int16), "soft tissue")


def _like(name: str, spacing: Sequence[float], *words: str, short: bool = False, **more: Any) -> None:
    def make(world: World, folder: Path) -> Job:
        return world.refuses(write(world.image(world.hu, spacing, **more), folder / "odd.nrrd"), *words)

    GEOMETRY.add(name, make, short)


def _resampled(world: World, spacing: Sequence[float], image: sitk.Image, kind: int) -> sitk.Image:
    size = [
        max(2, round(n * s / t)) for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)
    ]
    default = -1000 if kind == sitk.sitkLinear else 0
    origin = [o + (t - s) / 2 for o, s, t in zip(image.GetOrigin(), image.GetSpacing(), spacing, strict=True)]
    if kind == sitk.sitkLinear:  # thick slices are means, not samples
        sigma = [0.35 * t if t > s else 0.01 for s, t in zip(image.GetSpacing(), spacing, strict=True)]
        image = (
            sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), sigma)
            if max(sigma) > 1
            else image
        )
    return sitk.Resample(
        image,
        size,
        sitk.Transform(),
        kind,
        origin,
        spacing,
        image.GetDirection(),
        default,
        sitk.sitkInt16 if kind == sitk.sitkLinear else sitk.sitkUInt8,
    )


def _spaced(name: str, spacing: Sequence[float], short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        """The same person on another grid: volumes stay within some percent."""
        ct = _resampled(world, spacing, world.ct, sitk.sitkLinear)
        lobes = _resampled(world, spacing, world.image(world.labels), sitk.sitkNearestNeighbor)

        def near(summary: dict[str, Any], out: Path) -> None:
            for region in summary["regions"]:
                volume, percent = world.plain[region["region"]]
                assert abs(region["volume_ml"] - volume) < 0.15 * volume, region
                assert abs(region["lesion_percent"] - percent) < 12, (region, percent)

        return world.accepts(write(ct, folder / "odd.nrrd"), ct, lobes=lobes, same=False, check=near)

    GEOMETRY.add(name, make, short)


_spaced("slices of 15 mm", (7.4, 7.4, 15.0))
_spaced("slices of 2 mm in coarse pixels", (7.4, 7.4, 2.0), short=True)
_spaced("slices of 0.5 mm", (7.4, 7.4, 0.5))
_spaced("pixels of 2 mm in thick slices", (2.0, 2.0, 18.0))
_spaced("pixels longer than wide", (4.0, 9.0, 7.4))
for _axes in ("RAS", "LPI", "PIR", "SAL", "ASR"):

    def _oriented(world: World, folder: Path, axes: str = _axes) -> Job:
        ct = sitk.DICOMOrient(world.ct, axes)
        lobes = sitk.DICOMOrient(world.image(world.labels), axes)
        return world.accepts(write(ct, folder / "odd.nii.gz"), ct, lobes=lobes)

    GEOMETRY.add(f"axes {_axes}", _oriented, short=_axes == "PIR")


@GEOMETRY.case("oblique by 30 degrees in all directions")
def _(world: World, folder: Path) -> Job:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.5, -0.4, 0.3)
    image = world.image(world.hu, direction=turn.GetMatrix())
    return world.accepts(write(image, folder / "odd.nii.gz"), image)


@GEOMETRY.case("100 metres from the origin")
def _(world: World, folder: Path) -> Job:
    image = world.image(world.hu, origin=(1e5, -1e5, 1e5))
    return world.accepts(write(image, folder / "odd.nrrd"), image)


@GEOMETRY.case("left-handed axes (mirrored)")
def _(world: World, folder: Path) -> Job:
    image = world.image(
        world.hu[:, :, ::-1], origin=(-170 + 47 * 7.4, -170, -140), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1)
    )
    lobes = world.image(world.labels[:, :, ::-1])
    lobes.CopyInformation(image)
    return world.accepts(write(image, folder / "odd.nrrd"), image, lobes=lobes)


_like("spacing of 100 mm", (100, 100, 100), "spacing")
_like("spacing of 0.01 mm", (0.01, 0.01, 0.01), "spacing", short=True)
_like("spacing in centimetres, slices in millimetres", (0.02, 0.02, 1.0), "spacing")
_like("a person of 5 cm", (0.7, 0.7, 0.7), "lungs")


@GEOMETRY.case("one slice")
def _(world: World, folder: Path) -> Job:
    return world.refuses(write(world.ct[:, :, 20:21], folder / "odd.nrrd"), "single slice")


@GEOMETRY.case("one column")
def _(world: World, folder: Path) -> Job:
    return world.refuses(write(world.ct[20:21], folder / "odd.nrrd"), "single slice")


for _count in (2, 3):

    def _few(world: World, folder: Path, count: int = _count) -> Job:
        ct, lobes = world.ct[:, :, 18 : 18 + count], world.image(world.labels)[:, :, 18 : 18 + count]
        return world.accepts(
            write(ct, folder / "odd.nrrd"), ct, lobes=lobes, same=False, more=("--allow-missing-lobes",)
        )

    GEOMETRY.add(f"{_count} slices", _few)


@GEOMETRY.case("2 slices, lobes to be found")
def _(world: World, folder: Path) -> Job:
    return world.refuses(write(world.ct[:, :, 18:20], folder / "odd.nrrd"), "lobes")


@GEOMETRY.case("2 x 2 x 2 voxels")
def _(world: World, folder: Path) -> Job:
    return world.refuses(write(world.ct[20:22, 20:22, 18:20], folder / "odd.nrrd"))


# Persons. The built-in lobes are found here, as for a user who has none.
def _person(
    name: str,
    change: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *words: str,
    good: Callable[[dict[str, Any]], None] | None = None,
    more: tuple[Any, ...] = (),
    short: bool = False,
) -> None:
    def make(world: World, folder: Path) -> Job:
        path = write(
            world.image(change(world.hu.copy(), world.labels).astype(np.int16)), folder / "odd.nii.gz"
        )
        if good is None:
            return world.refuses(path, *words, more=more)
        done = world.accepts(path, world.ct, same=False, check=lambda summary, out: good(summary))
        return Job(world.segment(path, folder / "results", *more), None, done.check)

    PERSONS.add(name, make, short)


def _region(summary: dict[str, Any], name: str) -> dict[str, Any]:
    return next(region for region in summary["regions"] if region["region"] == name)


def _both_lungs(summary: dict[str, Any]) -> None:
    assert _region(summary, "left")["volume_ml"] > 1200 and _region(summary, "right")["volume_ml"] > 1200


def _healthy(summary: dict[str, Any]) -> None:
    _both_lungs(summary)
    assert summary["total_lesion_percent"] < 12, summary["total_lesion_percent"]


def _filled(hu: np.ndarray, where: np.ndarray, value: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 15, hu.shape)
    return np.where(where, value + noise, hu)


_person("as it is", lambda hu, lobes: hu, good=_both_lungs, short=True)
_person("no lesion at all", lambda hu, lobes: np.where((lobes > 0) & (hu > -700), -860, hu), good=_healthy)
_person(
    "both lungs white",
    lambda hu, lobes: _filled(hu, ndimage.binary_dilation(lobes > 0), 30),
    "--lobes",
    short=True,
)
_person(
    "left lung white",
    lambda hu, lobes: _filled(hu, ndimage.binary_dilation(np.isin(lobes, (1, 2))), 30),
    "left",
    "--allow-missing-lobes",
)
_person(
    "left lung white, and allowed",
    lambda hu, lobes: _filled(hu, ndimage.binary_dilation(np.isin(lobes, (1, 2))), 30),
    good=lambda s: _assert(_region(s, "left")["volume_ml"] < 400 and _region(s, "right")["volume_ml"] > 1200),
    more=("--allow-missing-lobes",),
)
_person(
    "left lung removed",
    lambda hu, lobes: _filled(hu, ndimage.binary_dilation(np.isin(lobes, (1, 2)), iterations=2), 45),
    "--allow-missing-lobes",
)
_person(
    "contrast: vessels and heart at 300 HU",
    lambda hu, lobes: np.where((lobes == 0) & (hu > 20) & (hu < 120), hu + 250, hu),
    good=_both_lungs,
)
_person("a table below", lambda hu, lobes: _table(hu), good=_both_lungs)
_person("arms beside the body", lambda hu, lobes: _arms(hu), good=_both_lungs)
_person(
    "emphysema: lungs at -970",
    lambda hu, lobes: np.where((lobes > 0) & (hu < -700), hu - 110, hu),
    good=_both_lungs,
)
_person(
    "strong noise", lambda hu, lobes: hu + np.random.default_rng(0).normal(0, 120, hu.shape), good=_both_lungs
)
_person("prone", lambda hu, lobes: hu[:, ::-1, ::-1], good=_both_lungs)
_person("left and right swapped (situs inversus)", lambda hu, lobes: hu[:, :, ::-1], good=_both_lungs)
_person("a head", lambda hu, lobes: _head(hu.shape), "no lungs", short=True)
_person("noise", lambda hu, lobes: np.random.default_rng(0).integers(-1000, 1000, hu.shape), "no lungs")
_person("a phantom of water", lambda hu, lobes: _ball(hu.shape, 0), "no lungs")
_person(
    "an empty room with noise",
    lambda hu, lobes: np.random.default_rng(0).normal(-1000, 10, hu.shape),
    "soft tissue",
)


def _assert(truth: bool) -> None:
    assert truth


def _table(hu: np.ndarray) -> np.ndarray:
    hu[:, -3, 6:42] = 200
    hu[:, -2, 6:42] = -300
    return hu


def _arms(hu: np.ndarray) -> np.ndarray:
    z, y, x = np.ogrid[: hu.shape[0], : hu.shape[1], : hu.shape[2]]
    for side in (1.5, 45.5):
        arm = (y - 24) ** 2 + (x - side) ** 2 + 0 * z < 9
        hu = np.where(arm & (hu < -900), 40, hu)
    return hu


def _ball(shape: tuple[int, ...], value: float) -> np.ndarray:
    z, y, x = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    inside = z**2 + y**2 + x**2 < 0.5
    return np.where(inside, value, -1000) + np.random.default_rng(2).normal(0, 8, shape)


def _head(shape: tuple[int, ...]) -> np.ndarray:
    """Skull, brain, and the air of the sinuses."""
    z, y, x = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    radius = np.sqrt((z / 0.8) ** 2 + (y / 0.6) ** 2 + (x / 0.5) ** 2)
    head = np.select([radius < 0.85, radius < 0.95, radius < 1.0], [35, 1100, 20], -1000)
    sinus = ((z + 0.3) / 0.12) ** 2 + ((y + 0.35) / 0.1) ** 2 + (x / 0.12) ** 2 < 1
    return np.where(sinus, -990, head) + np.random.default_rng(2).normal(0, 8, shape)


@PERSONS.case("the field of view cuts both lungs")
def _(world: World, folder: Path) -> Job:
    ct, lobes = world.ct[12:38, 10:40, 8:34], world.image(world.labels)[12:38, 10:40, 8:34]
    return world.accepts(write(ct, folder / "odd.nii.gz"), ct, lobes=lobes, same=False)


@PERSONS.case("the lower half alone")
def _(world: World, folder: Path) -> Job:
    path = write(world.ct[:, :, :20], folder / "odd.nii.gz")
    done = world.accepts(
        path,
        world.ct[:, :, :20],
        same=False,
        lobes=world.image(world.labels)[:, :, :20],
        more=("--allow-missing-lobes",),
    )
    return done


@PERSONS.case("whole lungs ill, with lobes given", short=True)
def _(world: World, folder: Path) -> Job:
    image = world.image(_filled(world.hu, world.labels > 0, -300).astype(np.int16))

    def ill(summary: dict[str, Any], out: Path) -> None:
        assert summary["total_lesion_percent"] > 95 and summary["total_severity_score"] == 25

    return world.accepts(write(image, folder / "odd.nii.gz"), image, same=False, check=ill)


@PERSONS.case("a child of half the size")
def _(world: World, folder: Path) -> Job:
    child = make_phantom((48, 48, 40), tuple(s / 2 for s in SPACING), seed=3)
    small = world.image(child.ct.array, [s / 2 for s in SPACING])
    lobes = world.image(child.lobes.labels, [s / 2 for s in SPACING])
    return world.accepts(
        write(small, folder / "odd.nii.gz"), small, lobes=lobes, same=False, more=("--allow-missing-lobes",)
    )


CASES = [*VALUES.cases, *GEOMETRY.cases, *PERSONS.cases]
