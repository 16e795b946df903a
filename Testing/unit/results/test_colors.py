"""Lesion map and lesion: told apart by eyes that see colours otherwise, and the same in all pictures."""

import json
from pathlib import Path

import numpy as np
import pytest

import DRAMLesionLib
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results import segments
from DRAMLesionLib.results.colors import LESION_COLOR, css, map_colormap, map_colors
from DRAMLesionLib.results.report import drawing

# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, A Physiologically-based Model for Simulation of Color Vision
# Deficiency, IEEE TVCG 2009;15:1291-1298: the matrices of severity 1, for linear RGB.
EYES = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)


def lab(rgb: np.ndarray, eye: str) -> np.ndarray:
    """CIE L*a*b* of what an eye sees; distances of 10 and more are plain."""
    rgb = np.asarray(rgb, float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.array(EYES[eye]).T, 0, 1) @ TO_XYZ.T / WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )


def apart(one: np.ndarray, other: np.ndarray, eye: str) -> float:
    return float(np.linalg.norm(lab(one, eye) - lab(other, eye), axis=-1).min())


@pytest.mark.parametrize("eye", EYES)
def test_the_map_grows_brighter_with_each_step(eye: str) -> None:
    seen = lab(map_colors(np.linspace(0, 1, 65)), eye)
    assert (np.diff(seen[:, 0]) > 0).all()
    assert np.linalg.norm(np.diff(seen[::8], axis=0), axis=-1).min() > 8


@pytest.mark.parametrize("eye", EYES)
def test_the_lesion_is_seen_on_the_map_and_beside_the_lobes(eye: str) -> None:
    value = np.linspace(0, 1, 101)[:, None, None]
    grey = np.linspace(0, 0.8, 17)[None, :, None]  # air to soft tissue in the lung window
    lesion = np.array(LESION_COLOR) / 255
    for opacity in (0.65 * value, np.where(value >= 0.1, 0.5, 0.0)):  # of the report, of the slice views
        ground = grey * (1 - opacity) + map_colors(value[..., 0]) * opacity
        assert apart(ground, lesion, eye) > 20
    assert apart(np.array([lobe.color for lobe in LOBES]) / 255, lesion, eye) > 20


def test_all_pictures_take_the_same_colors() -> None:
    path = Path(DRAMLesionLib.__file__).parent / "terminologies" / "DRAMLesion.term.json"
    terms = json.dumps(json.loads(path.read_text(encoding="utf-8")))
    assert segments.LESION.color == LESION_COLOR and str(list(LESION_COLOR)) in terms
    assert css(LESION_COLOR) == drawing.OUTLINE_COLOR == "#cc00ff"
    top = drawing.blend(np.array([-2000.0]), np.array([1.0]))[0]  # air is black
    np.testing.assert_allclose(top / 0.65, map_colors(np.array(1.0)), atol=1e-6)


def test_the_table_is_infernos() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    steps = np.linspace(0, 1, 256)
    wanted = matplotlib.colormaps["inferno"](steps)
    np.testing.assert_allclose(map_colormap()(steps), wanted, atol=0.03)
