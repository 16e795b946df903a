"""What all cases start from: a small phantom, its lobes, a small model, and what they should give."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from harness import Job
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.phantom import Phantom, make_phantom

SIZE, SPACING = (48, 48, 40), (7.4, 7.4, 7.4)
SEVERITY = (12.0, 25.0, 8.0, 0.0, 30.0)
LOBES = ("LUL", "LLL", "RUL", "RML", "RLL")
NEAR_POINTS = 1.5
"""The percentages of a good input may differ by so much from those of the plain one."""


class World:
    """Made once for all cases.

    Attributes:
        phantom: A chest with lesions in four lobes, in plain LPS axes.
        folder: Holds ``ct.nii.gz``, ``lobes.nii.gz``, ``map.nii.gz`` and the model.
        model: A bundle that marks what is bright inside the lobes: its percentages follow the HU.
        plain: Volume in ml and lesion percentage of each lobe of the phantom, segmented as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.phantom: Phantom = make_phantom(SIZE, SPACING, seed=3, severity=SEVERITY)
        self.hu, self.labels = self.phantom.ct.array, self.phantom.lobes.labels
        self.model = _save_model(folder / "models")
        self.ct = self.image(self.hu)
        self.ct_path, self.lobes_path = folder / "ct.nii.gz", folder / "lobes.nii.gz"
        self.map_path = folder / "map.nii.gz"
        sitk.WriteImage(self.ct, str(self.ct_path))
        sitk.WriteImage(self.image(self.labels), str(self.lobes_path))
        soft = 0.9 * self.phantom.lesion.astype(np.float32)
        sitk.WriteImage(self.image(soft), str(self.map_path))
        done = CliRunner().invoke(
            app, [str(a) for a in self.segment(self.ct_path, folder / "plain", lobes=True)]
        )
        assert done.exit_code == 0, done.stderr
        self.plain = _regions(folder / "plain")

    def image(
        self,
        array: np.ndarray,
        spacing: Sequence[float] = SPACING,
        origin: Sequence[float] = (-170.0, -170.0, -140.0),
        direction: Sequence[float] | None = None,
    ) -> sitk.Image:
        """An image of an array (z, y, x)."""
        image = sitk.GetImageFromArray(np.ascontiguousarray(array))
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        if direction is not None:
            image.SetDirection(direction)
        return image

    def segment(self, source: Path, out: Path, *more: Any, lobes: bool | Path = False) -> tuple[Any, ...]:
        """The command for a source, with the phantom's lobes or others or none."""
        given: tuple[Any, ...] = ()
        if lobes:
            given = ("--lobes", self.lobes_path if lobes is True else lobes)
        return (
            "segment",
            source,
            "--out",
            out,
            "--model",
            self.model,
            "--device",
            "cpu",
            "--no-crf",
            "--no-scene",
            *given,
            *more,
        )

    def refuses(
        self, source: Path, *words: str, lobes: bool | Path = False, more: tuple[Any, ...] = ()
    ) -> Job:
        """The job that a source is refused, with its name."""
        out = source.parent / "results"
        return Job(self.segment(source, out, *more, lobes=lobes), (source.name, *words))

    def accepts(
        self,
        source: Path,
        like: sitk.Image | None = None,
        *,
        lobes: sitk.Image | Path | None = None,
        more: tuple[Any, ...] = (),
        check: Callable[[dict[str, Any], Path], None] | None = None,
        same: bool = True,
        out: Path | None = None,
    ) -> Job:
        """The job that a source is segmented, and right.

        Args:
            source: The CT.
            like: Has the geometry that all results must have; None: the source as ITK reads it.
            lobes: Their labels, or their file; None: the phantom's in the geometry of ``like``, if that has its size.
            more: Further arguments.
            check: Looks at the summary and the folder.
            same: The volumes and percentages must be those of the plain phantom.
            out: The folder for the results.
        """
        out = out or source.parent / "results"
        like = like if like is not None else sitk.ReadImage(str(source))
        if lobes is None:
            lobes = self.image(self.labels)
            lobes.CopyInformation(like)
        if isinstance(lobes, sitk.Image):
            path = source.parent / "given_lobes.nrrd"
            sitk.WriteImage(lobes, str(path))
            lobes = path

        def judge() -> None:
            assert_geometry(out, like)
            found = _regions(out)
            if same:
                self.assert_plain(found)
            if check is not None:
                check(_summary(out), out)

        return Job(self.segment(source, out, *more, lobes=lobes), None, judge)

    def assert_plain(self, found: dict[str, tuple[float, float]]) -> None:
        """That lobes are as large and as ill as the phantom's."""
        for lobe in LOBES:
            (volume, percent), (wanted_ml, wanted) = found[lobe], self.plain[lobe]
            assert abs(volume - wanted_ml) < 0.02 * wanted_ml, (lobe, volume, wanted_ml)
            assert abs(percent - wanted) < NEAR_POINTS, (lobe, percent, wanted)


def write(image: sitk.Image, path: Path) -> Path:
    """Write an image by ITK."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def assert_geometry(out: Path, like: sitk.Image) -> None:
    """That the images of a folder of results have exactly the geometry of ``like``, and table and mask agree."""
    lesion = sitk.ReadImage(str(out / "lesion.nii.gz"))
    for name in ("lesion.nii.gz", "dram.nii.gz", "lobes.nii.gz"):
        image = sitk.ReadImage(str(out / name))
        assert image.GetSize() == like.GetSize(), (name, image.GetSize(), like.GetSize())
        for ask in ("GetSpacing", "GetOrigin", "GetDirection"):
            mine, its = getattr(image, ask)(), getattr(like, ask)()
            assert np.allclose(mine, its, rtol=1e-4, atol=2e-3), (name, ask, mine, its)
        assert np.isfinite(sitk.GetArrayViewFromImage(image)).all(), name
    millilitres = float(sitk.GetArrayViewFromImage(lesion).sum() * np.prod(lesion.GetSpacing()) / 1000)
    total = next(region for region in _summary(out)["regions"] if region["region"] == "total")
    assert abs(total["lesion_ml"] - millilitres) <= 0.01 * millilitres + 1e-6, (
        total["lesion_ml"],
        millilitres,
    )
    with (out / "lobes.csv").open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) > 5


def _summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


def _regions(out: Path) -> dict[str, tuple[float, float]]:
    return {r["region"]: (r["volume_ml"], r["lesion_percent"]) for r in _summary(out)["regions"]}


def _save_model(folder: Path) -> Path:
    import torch

    from DRAMLesionLib.lesions.networks.bundle import save_model
    from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
    from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork

    small = NetworkDescription(features=(2, 2, 4, 4, 4, 2))
    description = ModelDescription(spacing_mm=(8.0, 8.0, 8.0), candidate_hu=-600.0, network=small)
    network = DenseNetwork(small, head_bias=2.0)
    torch.nn.init.zeros_(network.unet.final_conv.weight)
    words = {"version": "0", "card": "-", "summary": "For tests.", "data": "none", "licence": "none"}
    return save_model(folder / "tiny", network, description, name="tiny", **words)
