"""The table as a DICOM measurement report (TID 1500), with a group per lobe that references its segment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import DRAMLesionLib
from DRAMLesionLib.lesions.quantify import Region
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.dicom_seg import (
    MANUFACTURER,
    SEGMENTS,
    SERIES_NUMBER,
    coded,
    instance_attributes,
    save_dataset,
)
from DRAMLesionLib.results.dicom_source import SourceSeries, highdicom
from DRAMLesionLib.results.segments import LESION
from DRAMLesionLib.system.record import RESEARCH_USE

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings

SCHEME = "99DRAMLESION"
"""The private coding scheme of the measurements that no public one has a code for."""


def write_dicom_report(findings: Findings, segmentation: Any, source: SourceSeries, path: str | Path) -> Any:
    """Write volumes, lesion percentages and severity scores as a Comprehensive 3D SR.

    Args:
        findings: The results; ``quantification`` is written.
        segmentation: What :func:`~DRAMLesionLib.results.dicom_seg.make_dicom_seg` made of the same findings.
        source: The series that both reference.
        path: The file to make or replace.

    Returns:
        The data set that was written.
    """
    hd = highdicom()
    report = hd.sr.Comprehensive3DSR(
        evidence=[*source.images, segmentation],
        content=_content(findings, segmentation),
        series_number=SERIES_NUMBER["SR"],
        is_complete=True,
        **instance_attributes(),
    )
    save_dataset(report, path)
    return report


def _content(findings: Findings, segmentation: Any) -> Any:
    hd = highdicom()
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    device = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(prefix=None),
            name=f"DRAMLesion ({RESEARCH_USE})",
            manufacturer_name=MANUFACTURER,
            model_name=f"DRAMLesion {DRAMLesionLib.__version__}",
        ),
    )
    regions = zip(range(2, 2 + len(LOBES)), findings.quantification.lobes, strict=True)
    lobes = [_lobe(findings, segmentation, number, region) for number, region in regions if region.volume_ml]
    return hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=device),
        procedure_reported=hd.sr.CodedConcept("24627-2", "LN", "CT Chest"),
        imaging_measurements=[*lobes, _total(findings)],
        title=codes.DCM.ImagingMeasurementReport,
    )


def _lobe(findings: Findings, segmentation: Any, number: int, region: Region) -> Any:
    """One lobe: its volume, and how much of it is lesion."""
    hd = highdicom()
    category, kind, side, _ = coded(SEGMENTS[number - 1])
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(region),
        referenced_segment=hd.sr.ReferencedSegment.from_segmentation(segmentation, segment_number=number),
        finding_category=category,
        finding_type=kind,
        finding_sites=[hd.sr.FindingSite(anatomic_location=kind, laterality=side)],
        method=_lobe_source(findings),
        measurements=_measurements(region),
    )


def _total(findings: Findings) -> Any:
    """Both lungs: a group without region, so that a scan without lesion has it too."""
    hd = highdicom()
    category, kind, _, lung = coded(LESION)
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(findings.quantification.total),
        finding_category=category,
        finding_type=kind,
        finding_sites=[hd.sr.FindingSite(anatomic_location=lung)],
        method=_lobe_source(findings),
        measurements=_measurements(findings.quantification.total),
    )


def _tracking(region: Region) -> Any:
    from pydicom.uid import generate_uid

    return highdicom().sr.TrackingIdentifier(uid=generate_uid(prefix=None), identifier=region.key)


def _measurements(region: Region) -> list[Any]:
    hd = highdicom()
    from pydicom.sr.codedict import codes

    concept = hd.sr.CodedConcept
    millilitre = concept("mL", "UCUM", "milliliter")
    rows = [
        (codes.SCT.Volume, region.volume_ml, millilitre),
        (
            concept("LESION_VOLUME", SCHEME, "Volume of the lesion in the region"),
            region.lesion_ml,
            millilitre,
        ),
        (
            concept("LESION_PERCENT", SCHEME, "Part of the region that is lesion"),
            region.percent,
            concept("%", "UCUM", "percent"),
        ),
        (
            concept("SEVERITY_SCORE", SCHEME, "CT severity score, 0 to 5 per lobe, 0 to 25 in total"),
            region.score,
            concept("{score}", "UCUM", "score"),
        ),
    ]
    return [
        hd.sr.Measurement(name=name, value=float(f"{value:.6g}"), unit=unit)
        for name, value, unit in rows
        if value is not None
    ]


def _lobe_source(findings: Findings) -> Any:
    """How the lobes were found: a reader has to know where they are approximate."""
    kind = ("APPROXIMATE", "Lobes cut by planes (approximate)") if findings.lobes.approximate else None
    value, meaning = kind or ("GIVEN", "Lobes as they were given")
    return highdicom().sr.CodedConcept(f"LOBES_{value}", SCHEME, meaning)
