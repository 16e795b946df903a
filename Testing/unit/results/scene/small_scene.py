"""A small CT in any orientation and its findings: for tests of the scene."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results.scene import available

needs_slicer = pytest.mark.skipif(not available.is_available(), reason="slicer-core is not installed")
SHAPE = (18, 24, 30)
TURN = ((0.36, 0.48, -0.8), (-0.8, 0.6, 0.0), (0.48, 0.64, 0.6))


def make_image(orientation: np.ndarray, seed: int = 0) -> sitk.Image:
    array = np.random.default_rng(seed).integers(-1000, 400, SHAPE).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.8, 1.1, 2.5))
    image.SetOrigin((-31.25, 17.5, -203.125))
    image.SetDirection(orientation.ravel().tolist())
    return image


def directions() -> dict[str, np.ndarray]:
    """The 48 axis orders and flips, each also turned by an oblique angle of some degrees."""
    axis = np.array([0.6, 0.0, 0.8])
    cross = np.cross(np.eye(3), axis)
    angle = np.radians(11)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    found = {}
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            straight = np.eye(3)[:, list(order)] * signs
            found[f"{order}{signs}"] = straight
            found[f"{order}{signs} oblique"] = turn @ straight
    return found


def make_findings(ct: Volume, approximate: bool = True) -> Findings:
    """Five blocks for lobes and a ball of lesion that crosses two of them."""
    shape = ct.array.shape
    z, y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    inside = (y > 3) & (y < shape[1] - 3) & (z > 1) & (z < shape[0] - 2)
    left, low = x > shape[2] // 2, z < shape[0] // 2
    right = x < shape[2] // 2 - 2
    labels[inside & left & ~low], labels[inside & left & low] = 1, 2
    labels[inside & right & ~low] = 3
    labels[inside & right & low & (y <= shape[1] // 2)] = 4
    labels[inside & right & low & (y > shape[1] // 2)] = 5
    center = np.array(shape) * (0.45, 0.6, 0.7)
    distance = np.sqrt(sum((c - m) ** 2 for c, m in zip((z, y, x), center, strict=True)))
    lesion = ((distance < min(shape) / 4) & (labels > 0)).astype(np.uint8)
    dram = (np.clip(1.2 - distance / min(shape) * 2.5, 0, 1) * (labels > 0)).astype(np.float32)
    lobes = LobeMap(labels, approximate, "blocks")
    return Findings(ct, lobes, dram, lesion, quantify(ct.array, lobes, lesion, ct.spacing_mm, dram))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ras_matrix(node) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
