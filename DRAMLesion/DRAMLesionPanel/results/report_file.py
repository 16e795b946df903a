"""The report as a file: HTML by the library, PDF by Qt's own printing."""

import base64
import html
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.results import table
from DRAMLesionLib.results.numbers import percent_text
from DRAMLesionLib.system.files import atomic_file
from DRAMLesionPanel.shared.worker_jobs import drawPictures

PICTURE_WIDTH = 620
"""Pixels at 96 per inch: as wide as a page of A4 or Letter between its margins."""

STYLE = """
h1 { font-size: 16pt; } h2 { font-size: 12pt; } p, td { font-size: 9pt; } th { font-size: 8pt; } .note { color: #55606d; }
.statement { color: #8a3b00; font-weight: bold; } th { background-color: #eef1f4; }
.page { page-break-before: always; }
"""


def saveReport(findings: Findings, path: str | Path) -> None:
    """Write the report at once, in this process; the file's ending says how: ``.pdf``, else HTML.

    Raises:
        OSError: The file can't be written.
    """
    if Path(path).suffix.lower() == ".pdf":
        writePdf(findings, path, drawPictures(findings))
    else:
        from DRAMLesionLib.results.report import write_report

        write_report(findings, path)


def writePdf(findings: Findings, path: str | Path, pictures: dict[str, bytes]) -> None:
    """Print the report into a PDF file, whole or not at all.

    Args:
        findings: The results.
        path: The file.
        pictures: PNG by name: see :func:`~DRAMLesionPanel.shared.worker_jobs.drawPictures`.

    Raises:
        OSError: The file can't be written.
    """
    document = qt.QTextDocument()
    document.setDefaultStyleSheet(STYLE)
    document.setHtml(printedHtml(findings, pictures))
    with atomic_file(path) as temporary:
        document.print(_printer(str(temporary)))
        if not temporary.is_file() or not temporary.stat().st_size:
            raise OSError(0, _("could not be printed"), str(path))


def _printer(path: str) -> Any:
    """What prints into a PDF file; a Slicer built with Qt 6 may lack Qt's print support, and has the writer alone."""
    if not hasattr(qt, "QPrinter"):
        return qt.QPdfWriter(path)
    printer = qt.QPrinter()
    printer.setOutputFormat(qt.QPrinter.PdfFormat)
    printer.setOutputFileName(path)
    return printer


def printedHtml(findings: Findings, pictures: dict[str, bytes]) -> str:
    """The report in the few elements of HTML that Qt prints; numbers and words are the library's."""
    facts = table.summary(findings)
    lines = [
        f"<h1>{_('Lung lesion report')}</h1>",
        f"<p>{html.escape(str(facts['ct']))}</p>",
        f"<p class='statement'>{html.escape(facts['statement'])}</p>",
        _headline(facts),
        *(
            f"<p class='note'>{html.escape(flag['sentence'])}: {html.escape(flag['remedy'])}</p>"
            for flag in facts["flags"]
        ),
        *(f"<p class='note'>{html.escape(warning)}</p>" for warning in facts["warnings"]),
        f"<h2>{_('Lobes and lungs')}</h2>",
        _table(facts["regions"]),
        _picture(pictures["lobes"]),
        f"<h2>{_('How it was made')}</h2>",
        *(f"<p class='note'>{line}</p>" for line in _details(facts)),
        # A page of its own for each: Qt would leave a heading alone at the foot of a page.
        f"<h2 class='page'>{_('Axial slices')}</h2>",
        _picture(pictures["axial"]),
        f"<h2 class='page'>{_('Coronal slices')}</h2>",
        _picture(pictures["coronal"]),
    ]
    return "\n".join(lines)


def _headline(facts: dict[str, Any]) -> str:
    percent = facts["total_lesion_percent"]
    text = _("Lesion: {percent} % of the lungs ({ml:.0f} mL), severity score {score} of {most}.").format(
        percent=percent_text(percent),
        ml=facts["total_lesion_ml"],
        score=facts["total_severity_score"],
        most=facts["total_severity_score_maximum"],
    )
    if facts["lobes"]["approximate"]:
        text += " " + _("The lobes are approximate: the lungs were cut by planes.")
    return f"<p><b>{html.escape(text)}</b></p>"


def _table(regions: list[dict[str, Any]]) -> str:
    columns = (
        (_("Region"), "name", None),
        (_("Volume (mL)"), "volume_ml", 0),
        (_("Lesion (mL)"), "lesion_ml", 1),
        (_("Lesion (%)"), "lesion_percent", 1),
        (_("Score"), "severity_score", 0),
        (_("Ground glass (mL)"), "ground_glass_ml", 1),
        (_("Consolidation (mL)"), "consolidation_ml", 1),
        (_("Other density (mL)"), "other_ml", 1),
    )
    head = "".join(
        f"<th align='{'left' if digits is None else 'right'}'>{html.escape(title)}</th>"
        for title, _key, digits in columns
    )
    rows = "".join(
        "<tr>" + "".join(_cell(region[key], key, digits) for _title, key, digits in columns) + "</tr>"
        for region in regions
    )
    return f"<table border='1' cellspacing='0' cellpadding='3' width='100%'><tr>{head}</tr>{rows}</table>"


def _cell(value: Any, key: str, digits: int | None) -> str:
    if digits is None:
        return f"<td width='20%'>{html.escape(str(value))}</td>"
    text = percent_text(value) if key == "lesion_percent" else "-" if value is None else f"{value:.{digits}f}"
    return f"<td align='right'>{html.escape(text)}</td>"


def _picture(png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f"<p><img width='{PICTURE_WIDTH}' src='data:image/png;base64,{data}'></p>"


def _details(facts: dict[str, Any]) -> list[str]:
    record = facts["record"]
    versions = record.get("versions", {})
    names = {"model": _("Lesion map"), "segmentation_model": _("Lesion")}
    found = [
        *(
            _("{what}: model {name}, version {version}, checksum {checksum}.").format(
                what=what,
                name=record[key].get("name", "-"),
                version=record[key].get("version", "-"),
                checksum=str(record[key].get("checksum", "-"))[:12],
            )
            for key, what in names.items()
            if key in record
        ),
        _("Lobes: {source}.").format(source=facts["lobes"]["source"]),
        facts["definitions"]["severity_score_source"],
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return [html.escape(line) for line in found if line]
