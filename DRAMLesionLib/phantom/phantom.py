"""A procedural chest CT in HU with known lobes, COVID-19 lesions and percentages, for tests, demos and samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.volume import SPACING_LIMITS_MM, Geometry, Volume, from_image, write_volume
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.phantom import lesions, vessels
from DRAMLesionLib.phantom.anatomy import Thorax
from DRAMLesionLib.phantom.fields import Grid
from DRAMLesionLib.phantom.known_percent import FILE_NAME
from DRAMLesionLib.phantom.tissues import paint_slab
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import staged_directory, write_text
from DRAMLesionLib.system.progress import Progress, silent

Severity = float | Sequence[float] | None
_SLAB_VOXELS = 200_000
"""So many voxels are drawn at a time: all that one step works on stays in the processor's cache."""
_SMALLEST, _LARGEST = 8, 2048
_BLUR_MM = 0.55


@dataclass(frozen=True)
class Phantom:
    """A phantom chest CT and all that is known of it. Arrays are (z, y, x) in canonical axes.

    Attributes:
        ct: int16 HU.
        lobes: The five lobes, exact.
        lesion: uint8, 1 lesion.
        kind: uint8, 1 ground glass, 2 consolidation, 0 elsewhere.
        percent: The percentage of each lobe that is lesion, 0..100, in the order of ``lobes.LOBES``; 0 for a lobe
            outside the field of view.
        severity: The percentages that were aimed at.
        seed: The seed.
    """

    ct: Volume
    lobes: LobeMap
    lesion: np.ndarray
    kind: np.ndarray
    percent: tuple[float, float, float, float, float]
    severity: tuple[float, ...]
    seed: int


def make_phantom(
    size: Sequence[int] = (160, 160, 96),
    spacing: Sequence[float] = (2.2, 2.2, 3.0),
    *,
    seed: int = 0,
    orientation: str = "LPS",
    direction: Sequence[Sequence[float]] | np.ndarray | None = None,
    origin: Sequence[float] | None = None,
    severity: Severity = None,
    noise_hu: float = 20.0,
    progress: Progress = silent,
) -> Phantom:
    """Make a thorax (about 340 x 230 mm, lungs about 280 mm tall) in the middle of the field of view.

    A smaller field of view cuts it, a larger one shows air around it. The same seed gives the same person at every
    size and spacing, and the same voxels at the same size and spacing.

    Args:
        size: Voxels from right to left, front to back and bottom to top of the patient, 8..2048 each.
        spacing: Voxel size in mm in the same order.
        seed: Which person, lesions and noise.
        orientation: The order and signs of the image's own axes, one of 48 such as ``LPS``, ``RAS`` or ``PIR``:
            the directions towards which they run. The patient and the canonical array stay the same.
        direction: 3 x 3 rotation that turns the patient and the axes together, by rows: an oblique scan. None for
            the identity.
        origin: The centre of the image's first voxel in mm (LPS). None puts the middle at (0, 0, 0).
        severity: The lesion's percentage of each lobe (LUL, LLL, RUL, RML, RLL), or one number for all; 0 is healthy;
            None draws it from the seed.
        noise_hu: Standard deviation of the image noise in HU.
        progress: Called with the stage and the fraction done.

    Raises:
        InputError: An argument can't be used; the message names it.
    """
    shape, step = _check_grid(size, spacing)
    _check_numbers(seed, noise_hu)
    like = _frame(shape, step, orientation, direction, origin, seed)
    severity_rng, lesion_rng, noise_rng = _generators(seed)[2:]
    wanted = _check_severity(severity, severity_rng)
    person, tubes = _person(int(seed))
    grid = Grid.centred(shape, step)
    ct, lobes, depth = _paint(person, grid, progress)
    vessels.cut_airways(lobes, grid, tubes)
    progress("Lesions", 0.0)
    kind = lesions.add_lesions(ct, lobes, depth, grid, person, wanted, lesion_rng)
    progress("Vessels", 0.0)
    vessels.paint_vessels(ct, lobes, grid, tubes)
    progress("Noise", 0.0)
    hu = _scan(ct, grid, noise_hu, noise_rng)
    progress("Noise", 1.0)
    lesion = (kind > 0).astype(np.uint8)
    volume = Volume(hu, like.spacing_mm, like.geometry, like.name)
    return Phantom(
        volume, LobeMap(lobes, False, "phantom"), lesion, kind, lobe_percent(lobes, lesion), wanted, seed
    )


def lobe_percent(lobes: np.ndarray, lesion: np.ndarray) -> tuple[float, float, float, float, float]:
    """The percentage of each lobe that is lesion, 0..100; 0 for a lobe without voxels.

    Args:
        lobes: uint8 (z, y, x), values of ``lobes.LOBES``.
        lesion: (z, y, x), the shape of ``lobes``, nonzero in the lesion.
    """
    sizes = np.bincount(lobes.ravel(), minlength=6)
    hits = np.bincount(lobes[lesion > 0], minlength=6)
    a, b, c, d, e = (100.0 * float(hits[i]) / float(max(sizes[i], 1)) for i in range(1, 6))
    return a, b, c, d, e


def save_phantom(phantom: Phantom, folder: str | Path, progress: Progress = silent) -> None:
    """Write ``ct.nii.gz``, ``lobes.nii.gz``, ``lesion.nii.gz`` and ``percent.json``, all or none.

    Args:
        phantom: What :func:`make_phantom` made.
        folder: The folder to write to; it is created.
        progress: Called with the stage and the fraction done.

    Raises:
        OSError: The folder can't be written.
    """
    arrays = {"ct": phantom.ct.array, "lobes": phantom.lobes.labels, "lesion": phantom.lesion}
    with staged_directory(folder) as staging:
        for number, (name, array) in enumerate(arrays.items()):
            progress("Writing the phantom", number / len(arrays))
            write_volume(array, phantom.ct, staging / f"{name}.nii.gz")
        abbreviations = [lobe.abbreviation for lobe in LOBES]
        facts = {
            "seed": phantom.seed,
            "percent": dict(zip(abbreviations, phantom.percent, strict=True)),
            "severity_wanted": dict(zip(abbreviations, phantom.severity, strict=True)),
        }
        write_text(staging / FILE_NAME, json.dumps(facts, indent=2) + "\n")
    progress("Writing the phantom", 1.0)


def _generators(seed: int) -> list[np.random.Generator]:
    """For the person, the vessels, the severity, the lesions and the noise: none depends on what others draw."""
    return [np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(5)]


@lru_cache(maxsize=4)
def _person(seed: int) -> tuple[Thorax, vessels.Tubes]:
    """The person of a seed. Kept, since it is the same at every size and growing the vessels takes a while."""
    person_rng, tree_rng = _generators(seed)[:2]
    person = Thorax.random(person_rng)
    return person, vessels.grow(person, tree_rng)


def _paint(person: Thorax, grid: Grid, progress: Progress) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU (float32), lobes and depth (uint8), some slices at a time to keep the memory small."""
    ct = np.empty(grid.shape, np.float32)
    lobes, depth = np.empty(grid.shape, np.uint8), np.empty(grid.shape, np.uint8)
    slices = max(1, _SLAB_VOXELS // (grid.shape[1] * grid.shape[2]))
    for first in range(0, grid.shape[0], slices):
        progress("Anatomy", first / grid.shape[0])
        part = slice(first, first + slices)
        slab = paint_slab(person, grid.crop((part, slice(None), slice(None))))
        ct[part], lobes[part], depth[part] = slab.ct, slab.lobes, slab.depth
    return ct, lobes, depth


def _scan(ct: np.ndarray, grid: Grid, noise_hu: float, rng: np.random.Generator) -> np.ndarray:
    """What a scanner makes of it: a little blur, noise with a grain, whole numbers within the 12 bits of a CT."""
    sigma = [min(_BLUR_MM / step + 0.15, 0.6) for step in grid.spacing]
    ndimage.gaussian_filter(ct, sigma, output=ct, truncate=2.5)
    hu = np.empty(ct.shape, np.int16)
    grain = (0.0, 0.45, 0.45)
    for plane, out in zip(ct, hu, strict=True):
        noise = rng.standard_normal((1, *plane.shape), dtype=np.float32)
        noise = ndimage.gaussian_filter(noise, grain, mode="wrap", truncate=3)[0]
        noise *= np.float32(noise_hu / max(float(noise.std()), 1e-6))
        np.clip(np.rint(plane + noise), -1024, 3071, out=noise)
        out[:] = noise
    return hu


def _frame(
    shape: tuple[int, int, int],
    step: tuple[float, float, float],
    orientation: str,
    direction: Sequence[Sequence[float]] | np.ndarray | None,
    origin: Sequence[float] | None,
    seed: int,
) -> Volume:
    """A volume without HU yet whose geometry has the axes that were asked for."""
    import SimpleITK as sitk

    turn = _check_direction(direction)
    order, flips = _check_orientation(orientation)
    frame = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkUInt8)
    frame.SetSpacing(step[::-1])
    frame.SetDirection(turn.ravel().tolist())
    middle = turn @ ((np.array(shape[::-1]) - 1) / 2 * np.array(step[::-1]))
    frame.SetOrigin((-middle).tolist())
    frame = sitk.Flip(sitk.PermuteAxes(frame, order), flips, False)
    if origin is not None:
        frame.SetOrigin(_numbers(origin, 3, "origin").tolist())
    return from_image(frame, f"phantom-{seed}")


def _check_grid(
    size: Sequence[int], spacing: Sequence[float]
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Shape and spacing as (z, y, x)."""
    counts = _numbers(size, 3, "size")
    if (counts != np.rint(counts)).any() or (counts < _SMALLEST).any() or (counts > _LARGEST).any():
        raise InputError(
            f"phantom size: needs whole numbers from {_SMALLEST} to {_LARGEST}; got {tuple(size)}: "
            "give voxels along x, y and z"
        )
    steps = _numbers(spacing, 3, "spacing")
    low, high = SPACING_LIMITS_MM
    if (steps < low).any() or (steps > high).any():
        raise InputError(
            f"phantom spacing: needs {low:g} to {high:g} mm; got {tuple(spacing)}: give mm along x, y and z"
        )
    x, y, z = (int(n) for n in counts)
    sx, sy, sz = (float(s) for s in steps)
    return (z, y, x), (sz, sy, sx)


def _numbers(values: object, count: int, what: str) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise InputError(f"phantom {what}: needs {count} numbers; got {values!r}: give them in order")
    return numbers


def _check_numbers(seed: int, noise_hu: float) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"phantom seed: needs a whole number from 0; got {seed!r}: give another seed")
    if not np.isfinite(noise_hu) or not 0 <= noise_hu <= 500:
        raise InputError(f"phantom noise: needs 0 to 500 HU; got {noise_hu!r}: give a smaller one")


def _check_severity(severity: Severity, rng: np.random.Generator) -> tuple[float, ...]:
    if severity is None:
        return lesions.random_severity(rng)
    many = np.full(5, severity) if np.ndim(severity) == 0 else severity
    percent = _numbers(many, 5, "severity")
    if (percent < 0).any() or (percent > 100).any():
        raise InputError(f"phantom severity: needs percentages from 0 to 100; got {severity!r}: change them")
    return tuple(float(p) for p in percent)


def _check_orientation(orientation: str) -> tuple[list[int], list[bool]]:
    """How the canonical axes are permuted, then which of the new ones are flipped."""
    places = {"R": 0, "L": 0, "A": 1, "P": 1, "I": 2, "S": 2}
    letters = str(orientation).upper()
    order = [places.get(letter, -1) for letter in letters]
    if sorted(order) != [0, 1, 2]:
        raise InputError(
            f"phantom orientation: needs one each of L/R, P/A and S/I such as LPS; got {orientation!r}: "
            "give three letters"
        )
    return order, [letter in "RAI" for letter in letters]


def _check_direction(direction: Sequence[Sequence[float]] | np.ndarray | None) -> np.ndarray:
    if direction is None:
        return np.eye(3)
    turn = _numbers(np.ravel(direction), 9, "direction").reshape(3, 3)
    if np.abs(turn.T @ turn - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0:
        raise InputError("phantom direction: is not a rotation: give a 3 x 3 rotation matrix by rows")
    straight = Geometry((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(turn.ravel().tolist()))
    if straight.orientation != "LPS":
        raise InputError(
            f"phantom direction: turns the axes to {straight.orientation}: turn by less than 45 degrees and "
            "give the axes' order as orientation"
        )
    return turn
