"""What segmenting one CT gives: read it, steer it, correct it, save it, and read it again."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.api.inputs import ct_of, folder_of, numbers_of, strokes_of
from DRAMLesionLib.api.table import Table, table_of
from DRAMLesionLib.images.paths import is_volume_file
from DRAMLesionLib.images.volume import to_image, without_identifiers
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quality import Flag, flags_of
from DRAMLesionLib.results import folder as results_folder
from DRAMLesionLib.results.numbers import ml_text, percent_text
from DRAMLesionLib.results.table import summary, warnings_of
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import RESEARCH_USE

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

    from DRAMLesionLib.api.show import Picture

IMAGES = ("ct", "lobes", "lesion", "map", "edits")
"""What :meth:`Result.image` gives."""


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The lesions of one CT, with the numbers of each lobe. Results never change: steering and correction give new ones.

    Arrays have shape (z, y, x), canonical axes: z to superior, y to posterior, x to the patient's left; treat them as
    read-only. :meth:`image` gives them as SimpleITK images in exactly the geometry of the CT that was given.

    Attributes:
        findings: The library's own value behind this object.
        edits: uint8 (z, y, x): 1 painted as lesion, 2 as not lesion, 0 not painted; None where nothing was painted.
    """

    findings: Findings
    edits: np.ndarray | None = None

    @property
    def table(self) -> Table:
        """A row for each lobe, each lung and the total; :meth:`~DRAMLesionLib.api.table.Table.to_pandas` where wanted."""
        return table_of(self.findings)

    @property
    def ct(self) -> np.ndarray:
        """The CT in HU: int16 or float32 (z, y, x)."""
        return self.findings.ct.array

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in mm."""
        return self.findings.ct.spacing_mm

    @property
    def lesion(self) -> np.ndarray:
        """The lesion mask: uint8 (z, y, x), 1 lesion."""
        return self.findings.lesion

    @property
    def lobes(self) -> np.ndarray:
        """The lobes: uint8 (z, y, x), 1 LUL, 2 LLL, 3 RUL, 4 RML, 5 RLL, 0 outside."""
        return self.findings.lobes.labels

    @property
    def approximate_lobes(self) -> bool:
        """Whether the lobes were found by this software, and not given."""
        return self.findings.lobes.approximate

    @property
    def map(self) -> np.ndarray:
        """The lesion map that the mask was cut from: float32 (z, y, x), 0..1."""
        return self.findings.map

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Signs that a person should look: each has a ``code``, a ``sentence`` and a ``remedy``."""
        return flags_of(self.findings.record)

    @property
    def warnings(self) -> list[str]:
        """What a reader of the result should know, one sentence each."""
        return warnings_of(self.findings)

    @property
    def percent(self) -> float:
        """Lesion in percent of both lungs, 0..100."""
        return self.findings.quantification.total.percent or 0.0

    @property
    def score(self) -> int:
        """The total CT severity score, 0..25."""
        return self.findings.quantification.total_score

    @property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds: table, definitions, settings, versions, model and times; JSON values."""
        return summary(self.findings)

    def image(self, name: str) -> sitk.Image:
        """One of :data:`IMAGES` as a SimpleITK image in exactly the geometry of the CT that was given.

        Args:
            name: ``ct``, ``lobes``, ``lesion``, ``map`` or ``edits``.

        Raises:
            InputError: There is no such image, or nothing was painted.
        """
        if name not in IMAGES:
            raise InputError(f"image {name!r}: use one of {', '.join(IMAGES)}")
        array = getattr(self, name)
        if array is None:
            raise InputError("image 'edits': nothing was painted: call refine first")
        return to_image(array, self.findings.ct)

    def show(self, dpi: float = 100) -> Picture:
        """Draw slices with map, lesion and lobes, and the lobes' percentages: a matplotlib figure.

        A notebook shows it where it is the value of a cell; a script saves it by ``result.show().savefig("result.png")``.

        Args:
            dpi: Dots per inch; the figure is 11 inches wide.
        """
        from DRAMLesionLib.api.show import draw_result

        return draw_result(self.findings, dpi)

    def steer(
        self,
        percent: Sequence[float | None] | Mapping[str, float] | None = None,
        score: Sequence[int | None] | Mapping[str, int] | None = None,
        who: str = "",
    ) -> Result:
        """Cut the mask anew so that lobes have the numbers that a reader gives; what was painted always holds.

        Args:
            percent: Lesion in percent, 0..100: five in the order LUL, LLL, RUL, RML, RLL with None for a lobe to leave,
                or a dict such as ``{"LLL": 65}``.
            score: Severity scores, 0..5, likewise. Where a lobe has both, the percentage counts.
            who: Who gave the numbers, for the record.

        Returns:
            The new result; lobes without a number stay as they are.

        Raises:
            InputError: Numbers are out of range, or a lobe with a number other than 0 has no voxels.
        """
        from DRAMLesionLib.lesions.steer import steer

        numbers: dict[str, Any] = {
            "percent": numbers_of("percent", percent),
            "score": numbers_of("score", score),
        }
        return replace(self, findings=steer(self.findings, **numbers, who=who, painted=self.edits))

    def refine(self, strokes: Any, *, progress: Progress | None = None) -> Result:
        """Correct the mask around painted voxels, as the correction panel does; far from them nothing changes.

        Args:
            strokes: An array of shape (z, y, x), a SimpleITK image or a file on the CT's grid, 1 lesion, 2 not lesion,
                0 not painted; or a list of ``(voxels, value)`` in the order of painting, voxels as a boolean array or
                as rows (z, y, x).
            progress: Told how many strokes were applied.

        Returns:
            The new result, with all that was painted so far in :attr:`edits`.

        Raises:
            InputError: The strokes do not fit the CT, or have other values.
        """
        from DRAMLesionLib.correction.correct_results import correct_findings

        given = strokes_of(strokes, self.findings.ct)
        corrected, refined = correct_findings(
            self.findings, given, held=self.edits, progress=progress or silent
        )
        return Result(corrected, refined.edits)

    def save(
        self,
        folder: str | Path,
        *,
        scene: bool = False,
        ct: bool | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Write all results into a folder, all of them or none: masks, maps, table, summary and report.

        Args:
            folder: The folder, which need not be there; an earlier result in it is replaced, other files stay.
            scene: Write ``scene.mrb`` and its pictures, too, where slicer-core is installed.
            ct: Write the CT, too, as ``segmented_ct.nii.gz``. None: where it came from memory or from DICOM, so that
                :meth:`load` needs nothing else.
            progress: Told the stage and how much of it is done.

        Returns:
            The folder.

        Raises:
            InputError: It is no path, or can't be written.
        """
        folder = folder_of(folder)
        record = {**self.findings.record, "seconds": dict(self.findings.record.get("seconds", {}))}
        record["warnings"] = list(record.get("warnings", ()))
        results_folder.write_findings(
            replace(self.findings, record=record),
            folder,
            with_scene=scene,
            edits=self.edits,
            with_ct=not self._has_a_file if ct is None else ct,
            progress=progress or silent,
        )
        return folder

    @classmethod
    def load(cls, folder: str | Path, ct: Any = None, *, series: str | None = None) -> Result:
        """Read the results of a folder, whether this class or a command wrote them.

        Args:
            folder: What ``save``, or the command ``segment``, ``steer`` or ``refine``, wrote.
            ct: The CT, as :func:`DRAMLesionLib.segment` takes it; None where its file still lies where it was, or in the
                folder. For DICOM that a command segmented it has to be named: its place is not kept.
            series: UID of the DICOM series, where the folder holds several.

        A DICOM folder's name, study date and slice thickness, which ``keep_identifiers`` showed, are left behind.

        Raises:
            InputError: The results are damaged, or the CT is not to be found or another one.
        """
        folder = folder_of(folder)
        volume = without_identifiers(ct_of(results_folder.ct_of(folder) if ct is None else ct, series))
        findings = results_folder.read_findings(folder, results_folder.known_again(folder, volume))
        results_folder.check_same_ct(folder, findings)
        findings.record.pop("study", None)
        return cls(findings, results_folder.read_edits(folder, volume))

    @property
    def _has_a_file(self) -> bool:
        """Whether the CT lies in a file that the results can name."""
        path = self.findings.ct.path
        return path is not None and is_volume_file(path)

    def __repr__(self) -> str:
        """One line: the CT, its percentage, score and flags."""
        total, ct = self.findings.quantification.total, self.findings.ct
        name = ct.path.name if ct.path is not None else ct.name
        words = [f"{percent_text(total.percent)} % lesion", f"{ml_text(total.lesion_ml)} mL"]
        words.append(f"score {self.score}/25")
        words += ["approximate lobes"] if self.approximate_lobes else []
        words += [f"flags: {', '.join(flag.code for flag in self.flags)}"] if self.flags else []
        return f"<Result of {name}: {', '.join(words)}>"

    def _repr_html_(self) -> str:
        import base64

        picture = base64.b64encode(self.show(80)._repr_png_()).decode("ascii")
        flags = "".join(f"<li>{html.escape(f'{flag.sentence}: {flag.remedy}')}</li>" for flag in self.flags)
        return (
            f"<p>{html.escape(repr(self)[1:-1])}</p><img src='data:image/png;base64,{picture}' alt='slices'>"
            f"{self.table._repr_html_()}{f'<ul>{flags}</ul>' if flags else ''}<p><small>{RESEARCH_USE}.</small></p>"
        )
