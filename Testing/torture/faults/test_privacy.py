"""Nothing of the patient leaves the input unless it is asked for, and nothing goes over a network."""

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from killing import needs_fork
from nursery import REPOSITORY
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.images.volume import to_image
from DRAMLesionLib.phantom import make_phantom

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid  # noqa: E402

TAGS = {
    "PatientName": "Zyxwv^Quentina",
    "PatientID": "PID-90817263",
    "PatientBirthDate": "19310729",
    "OtherPatientIDs": "OTHER-55443322",
    "PatientAddress": "Kirschweg 77123-Hinterhof",
    "PatientTelephoneNumbers": "0815-998877",
    "StudyDate": "20180317",
    "SeriesDate": "20180318",
    "AcquisitionDate": "20180319",
    "ContentDate": "20180320",
    "StudyTime": "131517.432",
    "AccessionNumber": "ACC-66778899",
    "StudyID": "STUDY-13579",
    "ReferringPhysicianName": "Haruspex^Doctor",
    "PerformingPhysicianName": "Operator^Xaver",
    "InstitutionName": "Klinikum Nirgendwo",
    "StationName": "STATION-424242",
    "DeviceSerialNumber": "SERIAL-31415926",
    "StudyDescription": "Thorax of Zyxwv",
    "SeriesDescription": "Lung of Quentina",
    "ImageComments": "comment on Zyxwv",
    "ProtocolName": "PROTOCOL-27182",
}
REQUIRED = {
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
    "StudyDescription",
}
"""What a DICOM object of the same study repeats: all that describes patient and study, and nothing of the series."""
FOLDER = "Zyxwv_Quentina_19310729"
FILE = "ACC-66778899-{:03d}.dcm"


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    """A phantom as a DICOM series that is full of identifiers, in tags and names."""
    folder = tmp_path_factory.mktemp("patients") / FOLDER
    folder.mkdir()
    made = make_phantom((64, 56, 40), (5.4, 6.0, 7.0), seed=0, severity=(12.0, 25.0, 8.0, 0.0, 30.0))
    hu = sitk.GetArrayFromImage(to_image(made.ct.array, made.ct)).astype(np.int16)
    study, uid, frame = generate_uid(), generate_uid(), generate_uid()
    for number, plane in enumerate(hu):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, uid, frame
        for keyword, value in TAGS.items():
            setattr(data, keyword, value)
        data.add_new(0x00091001, "LO", "private of Zyxwv")
        data.Modality, data.PatientSex, data.Manufacturer, data.PositionReferenceIndicator = (
            "CT",
            "F",
            "Maker",
            "",
        )
        data.SeriesNumber, data.InstanceNumber, data.ImageType = (
            2,
            number + 1,
            ["ORIGINAL", "PRIMARY", "AXIAL"],
        )
        data.Rows, data.Columns, data.SamplesPerPixel = *plane.shape, 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = 0, 1, "HU"
        data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [6.0, 5.4]
        data.ImagePositionPatient, data.SliceThickness = [-170, -160, 7.0 * number], 7.0
        data.PixelData = plane.tobytes()
        data.save_as(folder / FILE.format(number), enforce_file_format=True)
    return folder


def identifiers(series: Path) -> dict[str, str]:
    """Each text that says who it is, by where it comes from."""
    data = pydicom.dcmread(next(series.glob("*.dcm")))
    found = {
        f"{keyword} {part}": part for keyword, value in TAGS.items() for part in re.split(r"[\^ ]", value)
    }
    found |= {"folder": FOLDER, "file": "ACC-66778899", "path": str(series)}
    found |= {
        name: str(getattr(data, name)) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }
    found |= {"date": "1931-07-29", "study's date": "2018-03-17", "private tag": "private of"}
    return {name: text for name, text in found.items() if len(text) > 4 and text not in ("Thorax", "comment")}


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of a file as they are and unpacked: gzip, zip, pictures in HTML, what NRRD has compressed."""
    raw = path.read_bytes()
    found = {path.name: raw}
    if path.name.endswith(".gz"):
        found["gunzipped"] = gzip.decompress(raw)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                found[f"{path.name}:{name}"] = name.encode() + packed.read(name)
    for number, picture in enumerate(re.findall(rb"data:image/png;base64,([A-Za-z0-9+/=]+)", raw)):
        found[f"{path.name}: picture {number}"] = base64.b64decode(picture)
    for name, data in list(found.items()):
        head, mark, body = data.partition(b"\n\n")
        if head.startswith(b"NRRD") and mark and b"gzip" in head:
            found[f"{name} unpacked"] = gzip.decompress(body)
    return found


def leaks(folder: Path, series: Path) -> list[str]:
    """Which identifiers lie where below a folder, in files and their names; DICOM is looked at elsewhere."""
    known = identifiers(series)
    found = []
    for path in (p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".dcm"):
        texts = {"its name": str(path.relative_to(folder)).encode(), **contents(path)}
        for place, data in texts.items():
            for name, text in known.items():
                forms = {
                    text.encode(),
                    text.encode("utf-16-le"),
                    text.lower().encode(),
                    text.upper().encode(),
                }
                if any(form in data for form in forms):
                    found.append(f"{path.name}, {place}: {name}")
    return found


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_search_finds_what_is_there(series, tmp_path):
    with gzip.open(tmp_path / "a.json.gz", "wb") as file:
        file.write(b"x Quentina x")
    with zipfile.ZipFile(tmp_path / "scene.mrb", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("scene/a.mrml", "PID-90817263")
    (tmp_path / "report.html").write_bytes(
        b'<img src="data:image/png;base64,' + base64.b64encode(b"20180317") + b'">'
    )
    found = " ".join(leaks(tmp_path, series))
    assert "Quentina" in found and "PID-90817263" in found and "StudyDate" in found


@pytest.mark.parametrize("scene", [False, pytest.param(True, marks=pytest.mark.torture)])
def test_segment_tells_nothing_of_the_patient(series, models, tmp_path, scene):
    out = tmp_path / "out"
    words = ["segment", series, "--model", models / "a", "--out", out, "--device", "cpu", "--dicom-seg"]
    said = run(*words, "--json", *([] if scene else ["--no-scene"]))
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "summary.json", "lobes.csv", "lesion.seg.nrrd", "lesion.dcm"} <= names
    assert leaks(out, series) == []
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    result = json.dumps([event for event in events if event["event"] == "result"])
    assert not [name for name, text in identifiers(series).items() if text in result]

    # The DICOM Segmentation belongs to the patient's study: it has what the standard asks for, and no more.
    data = pydicom.dcmread(out / "lesion.dcm")
    assert {keyword for keyword in TAGS if data.get(keyword) == TAGS[keyword]} <= REQUIRED
    assert data.PatientID == TAGS["PatientID"] and data.StudyDate == TAGS["StudyDate"]
    source = pydicom.dcmread(next(series.glob("*.dcm")))
    assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    others = [text for name, text in identifiers(series).items() if name.split()[0] in set(TAGS) - REQUIRED]
    raw = (out / "lesion.dcm").read_bytes()
    allowed = {TAGS[name] for name in REQUIRED}
    assert not [text for text in others if text.encode() in raw and not any(text in one for one in allowed)]

    report = tmp_path / "report.dcm"
    run("dicom-seg", out, "--dicom", series, "--out", tmp_path / "again.dcm", "--report", report)
    said = report.read_bytes()
    assert TAGS["PatientID"].encode() in said
    assert not [text for text in others if text.encode() in said and not any(text in one for one in allowed)]

    refined = tmp_path / "refined"
    run("refine", series, "--map", out / "dram.nii.gz", "--lobes", out / "lobes.nii.gz", "--out", refined)
    assert leaks(refined, series) == []

    kept = tmp_path / "kept"
    run(*words[:-1], "--no-scene", "--keep-identifiers", "--out", kept)
    assert FOLDER in (kept / "report.html").read_text() and FOLDER in (kept / "summary.json").read_text()
    assert "study of 2018-03-17" in (kept / "report.html").read_text()
    found = leaks(kept, series)
    assert found and {line.split(": ")[-1] for line in found} <= {
        "folder", "PatientName Quentina", "PatientName Zyxwv", "PatientBirthDate 19310729",
        "StudyDescription Zyxwv", "SeriesDescription Quentina", "ImageComments Zyxwv", "study's date",
    }  # fmt: skip


@pytest.mark.torture
def test_batch_tells_nothing_of_the_patient(series, models, tmp_path):
    """In no file but the key, which its owner alone may read; the same of a case that fails."""
    broken = tmp_path / "in" / "Xenia_Broken_19310729"
    shutil.copytree(series, tmp_path / "in" / FOLDER)
    shutil.copytree(series, broken)
    uid = generate_uid()
    for path in broken.iterdir():
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID = uid
        data.save_as(path)
    last = sorted(broken.iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-2000])
    out = tmp_path / "out"
    words = [
        "batch",
        tmp_path / "in",
        out,
        "--model",
        models / "a",
        "--no-scene",
        "--device",
        "cpu",
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 3, done.output
    key = out / "key.csv"
    assert FOLDER in key.read_text() and key.stat().st_mode & 0o077 == 0
    key.unlink()
    assert leaks(out, series) == []
    assert not [path for path in out.rglob("*") if path.is_file() and b"Xenia" in path.read_bytes()]
    assert len(list((out / "cases").iterdir())) == 1


SITE = """
import sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        if event != "socket.getaddrinfo" and isinstance(arguments[1], (str, bytes)):
            return  # a socket in the file system
        with open({log!r}, "a") as log:
            log.write(f"{{event}} {{arguments}} {{sys.argv}}\\n")
        raise PermissionError(f"no network: {{event}}")
sys.addaudithook(hook)
"""


@needs_fork
def test_the_main_job_opens_no_socket(nursery, phantoms, models, tmp_path):
    words = ["segment", phantoms / "0" / "ct.nii.gz", "--model", models / "a", "--out", tmp_path / "out"]
    words = [*words, "--device", "cpu", "--no-scene"]
    done = nursery.run("offline", {"words": [str(word) for word in words]}, tmp_path)
    assert done.code == 0, done.said
    assert nursery.run("offline", {"words": []}, tmp_path).code != 0, "sockets are not forbidden"


@pytest.mark.torture
def test_the_main_job_needs_no_network(phantoms, tmp_path):
    """With the shipped models and the scene; also in its child processes, and where the system has no network at all."""
    site = tmp_path / "site"
    site.mkdir()
    log = tmp_path / "network.txt"
    (site / "sitecustomize.py").write_text(SITE.format(log=str(log)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)])}
    check = subprocess.run(
        [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "no network" in check.stderr and log.exists(), "the hook does not work"
    log.unlink()
    alone = (
        ["unshare", "-n"]
        if not subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode
        else []
    )
    words = ["segment", phantoms / "0" / "ct.nii.gz", "--out", tmp_path / "out", "--device", "cpu", "--json"]
    command = [*alone, sys.executable, "-m", "DRAMLesionLib", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert not log.exists(), log.read_text()
    html = (tmp_path / "out" / "report.html").read_text()
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", html.replace('href="https://github.com', "")), (
        "loads something"
    )
