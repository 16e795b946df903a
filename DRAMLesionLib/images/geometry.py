"""Where an image's voxels lie, and which of its axes are the patient's."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk

CORNER_TOLERANCE = 0.1
"""Two grids are the same when no corner lies further apart than this part of a voxel."""
ROUNDED_SKEW = 1e-6, 0.01
"""Cosines between axes: below the first they are at right angles, up to the second they were so before rounding."""
SPACING_TOLERANCE = 1e-3
"""Two spacings are the same when they differ by at most this part."""

_CANONICAL_AXIS = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of an image lie, in SimpleITK's order.

    Attributes:
        size: Voxels along (x, y, z), the image's own axes.
        spacing: In mm, (x, y, z).
        origin: The centre of the first voxel in mm, LPS.
        direction: The 3 x 3 matrix by rows; its columns are the axes' unit vectors in LPS.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def from_image(cls, image: "sitk.Image") -> "Geometry":
        """The geometry of a 3-D image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def orientation(self) -> str:
        """Toward where the axes run: ``LPS`` for the canonical ones, else one of 47 such as ``RAS``, ``PIR``."""
        import SimpleITK as sitk

        return sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(self.direction)

    @property
    def matrix(self) -> np.ndarray:
        """float64 4 x 4: from an index (x, y, z) to a point in mm, LPS."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    def canonical(self) -> "Geometry":
        """The same grid with its axes reordered and flipped to the canonical ones."""
        order, flipped = axes_of(self.orientation)
        matrix = self.matrix
        first = np.array(
            [self.size[axis] - 1 if flip else 0 for axis, flip in zip(order, flipped, strict=True)]
        )
        index = np.zeros(3)
        index[list(order)] = first
        signs = np.where(flipped, -1.0, 1.0)
        direction = np.reshape(self.direction, (3, 3))[:, list(order)] * signs
        x, y, z = order
        origin = matrix[:3, :3] @ index + matrix[:3, 3]
        return Geometry(
            (self.size[x], self.size[y], self.size[z]),
            (self.spacing[x], self.spacing[y], self.spacing[z]),
            (float(origin[0]), float(origin[1]), float(origin[2])),
            tuple(float(value) for value in direction.ravel()),
        )

    def perpendicular(self) -> "Geometry":
        """The same grid with axes at right angles: the nearest rotation in place of directions that were rounded."""
        left, _, right = np.linalg.svd(np.reshape(self.direction, (3, 3)))
        return replace(self, direction=tuple(float(value) for value in (left @ right).ravel()))

    @property
    def skew(self) -> float:
        """How far the axes are from right angles: the largest cosine between two of them."""
        axes = np.reshape(self.direction, (3, 3))
        return float(np.abs(axes.T @ axes - np.eye(3)).max())

    def difference(
        self,
        other: "Geometry",
        tolerance: float = CORNER_TOLERANCE,
        *,
        what: str = "image",
        other_name: str = "CT",
    ) -> str | None:
        """One phrase that names the first thing that differs from ``other``, or None for the same grid.

        Args:
            other: The geometry to compare with.
            tolerance: How far apart corners may lie, in voxels of ``other``.
            what: What to call this geometry's image.
            other_name: What to call the other's.
        """
        if self.size != other.size:
            return f"{what} has size {self.size}, {other_name} has {other.size}"
        if not np.allclose(self.spacing, other.spacing, rtol=SPACING_TOLERANCE, atol=0):
            mine, its = triple(self.spacing), triple(other.spacing)
            return f"{what} has spacing {mine} mm, {other_name} has {its} mm"
        if self.orientation != other.orientation:
            return f"{what} has axes {self.orientation}, {other_name} has {other.orientation}"
        gap = np.linalg.inv(other.matrix) @ (self._corners() - other._corners())
        apart = float(np.abs(gap[:3]).max())
        if apart <= tolerance:
            return None
        angle = _angle_between(self.direction, other.direction)
        if angle > 0.1:
            return f"{what} is turned by {angle:.1f} degrees against {other_name}"
        millimetres = float(np.linalg.norm((self._corners() - other._corners())[:3], axis=0).max())
        return f"{what} lies up to {millimetres:.3g} mm ({apart:.2g} voxels) away from {other_name}"

    def _corners(self) -> np.ndarray:
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
        corners[:, :3] *= np.asarray(self.size) - 1
        return self.matrix @ corners.T


def axes_of(orientation: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """For the canonical axes x, y, z: which of the image's axes it is, and whether that runs backwards."""
    axis_of = {_CANONICAL_AXIS[letter]: axis for axis, letter in enumerate(orientation)}
    x, y, z = axis_of[0], axis_of[1], axis_of[2]
    return (x, y, z), (orientation[x] == "R", orientation[y] == "A", orientation[z] == "I")


def triple(values: tuple[float, ...]) -> str:
    """Numbers for a message: ``(0.7, 0.7, 1.25)``."""
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def _angle_between(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    a, b = np.reshape(one, (3, 3)), np.reshape(other, (3, 3))
    cosines = np.clip((a * b).sum(axis=0), -1, 1)
    return float(np.degrees(np.arccos(cosines)).max())
