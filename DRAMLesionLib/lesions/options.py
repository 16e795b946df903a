"""What a user may choose for a CT, in one value that travels from the command line to the last step."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from DRAMLesionLib.lesions.reading import Reading

SECONDS = {
    "Starting": 0.5,
    "Reading the CT": 1.4,
    "Loading the models": 1.0,
    "Lobes": 4.5,
    "Segmenting the lesions": 2.0,
    "Computing the dRAM": 3.0,
    "Refining the dRAM": 2.7,
    "Writing the results": 2.6,
    "Writing the DICOM Segmentation": 2.0,
    "Drawing the report": 2.0,
    "Making the Slicer scene": 0.1,
    "Scene: start": 2.0,
    "Scene: nodes": 0.5,
    "Scene: surfaces": 1.5,
    "Scene: scene.mrb": 1.5,
    "Scene: pictures": 2.5,
    "Writing the report": 0.3,
}
"""The stages of a run that does everything, in their order, and what each takes: see :meth:`Options.seconds`."""


@dataclass(frozen=True)
class Options:
    """How one CT is segmented, and what is written.

    Attributes:
        lobes: A label map or segmentation of the five lobes on the CT's grid; None finds approximate ones.
        series: UID of the DICOM series, where the folder holds several.
        model: A bundle's folder or name, of either kind; None is the default model.
        method: ``final`` or ``dram``; None: see :func:`~DRAMLesionLib.lesions.run_models.load_case_models`.
        device: ``auto``, ``cpu``, ``cuda:N`` or ``mps``: see :func:`~DRAMLesionLib.system.device.find_device`.
        crf: Sharpen the map by the dense CRF.
        allow_missing_lobes: Accept a lobe without voxels, for instance after a lobectomy.
        with_scene: Write ``scene.mrb`` and its pictures where slicer-core is installed.
        dicom_seg: Write ``lesion.dcm`` too, a DICOM Segmentation that references the CT, which has to be DICOM.
        keep_identifiers: Results may show the name of a DICOM folder, study date and slice thickness. Other tags are
            never shown, but in ``lesion.dcm``, which belongs to the patient's study and names both, as the standard asks.
        with_study: Study date and slice thickness may be shown; None: as ``keep_identifiers``. A batch gives its cases
            neutral names and keeps those, but no dates.
        name: What the report calls the CT; None: its file's name, and a case number for DICOM without
            ``keep_identifiers``.
        reading: A reader's numbers that steer the mask; None leaves it as the model found it.
    """

    lobes: str | Path | None = None
    series: str | None = None
    model: str | Path | None = None
    method: str | None = None
    device: str = "auto"
    crf: bool = True
    allow_missing_lobes: bool = False
    with_scene: bool = True
    dicom_seg: bool = False
    keep_identifiers: bool = False
    with_study: bool | None = None
    name: str | None = None
    reading: Reading | None = None

    def __post_init__(self) -> None:
        """Take a reading from JSON values, too."""
        if isinstance(self.reading, dict):
            object.__setattr__(self, "reading", Reading(**self.reading))

    def seconds(self) -> dict[str, float]:
        """The stages of a run with these options, in their order, and the seconds that each usually takes.

        Measured on one core with a CT of 512 x 512 x 300 voxels; on other machines and CTs the proportions are alike.
        """
        stages = dict(SECONDS)
        if not self.crf:
            del stages["Refining the dRAM"]
        if self.method == "dram":
            del stages["Segmenting the lesions"]
        if self.lobes is not None:
            stages["Lobes"] = 0.5
        if not self.dicom_seg:
            del stages["Writing the DICOM Segmentation"]
        if not self.with_scene:
            stages = {name: seconds for name, seconds in stages.items() if "cene" not in name}
        return stages

    def seconds_after(self, work: Mapping[str, float]) -> dict[str, float]:
        """The stages of a command that reads results, changes them and writes them again, with their usual seconds.

        Args:
            work: The stages of the change itself.
        """
        stages = self.seconds()
        reading = {name: stages[name] for name in ("Starting", "Reading the CT")}
        writing = list(stages)[list(stages).index("Writing the results") :]
        return reading | dict(work) | {name: stages[name] for name in writing}

    def to_dict(self) -> dict[str, Any]:
        """The choices that differ from the defaults, as JSON values: ``Options(**values)`` is the way back."""
        chosen = {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if getattr(self, one.name) != one.default
        }
        return {name: _as_json(value) for name, value in chosen.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, Reading):
        return value.to_dict()
    return str(value) if isinstance(value, Path) else value
