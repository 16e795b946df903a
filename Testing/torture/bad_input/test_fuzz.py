"""Whatever our own files hold, reading them gives a right value or an InputError of one line, never another exception."""

import hashlib
import json
import multiprocessing
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from fuzzing import damaged, fuzz, mutated, reads, texts
from hypothesis import strategies as st

from DRAMLesionLib.batch.listing import list_cases
from DRAMLesionLib.batch.manifest import COLUMNS, MANIFEST_NAME, Manifest
from DRAMLesionLib.batch.scan_numbers import read_scan_numbers
from DRAMLesionLib.batch.work import read_record
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.correction.store import SESSION_FILE
from DRAMLesionLib.correction.strokes import Change
from DRAMLesionLib.images.image_file import read_image
from DRAMLesionLib.lesions.networks.bundle import load_any_model
from DRAMLesionLib.results.folder import _read_summary, threshold_of
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.case_table import read_table
from DRAMLesionLib.training.data.datalist import read_datalist
from DRAMLesionLib.training.evaluation.study_recipe import read_study
from DRAMLesionLib.training.recipes.recipe import read_recipe


def test_data_list(world, folder):
    row = {
        "image": str(world.ct_path),
        "lobes": str(world.lobes_path),
        "percent": [1, 2.5, None, 4, 100],
        "score": [0, 1, 2, None, 5],
    }
    path = folder / "list.json"
    fuzz(texts({"training": [row, row], "validation": [row]}), reads(path, lambda: read_datalist(path)))


RECIPE = {
    "task": "dram",
    "epochs": 2,
    "learning_rate": 0.01,
    "precision": "auto",
    "start_from": None,
    "dram": {"synthetic_share": 0.5, "crf": "none", "balance": True},
    "model": {
        "spacing_mm": [2.5, 2.5, 2.5],
        "hu_window": [-1000, 0],
        "candidate_hu": -750,
        "threshold": 0.5,
        "crf": {"iterations": 5, "gaussian_mm": 3.0},
        "network": {"features": [8, 16, 32, 64, 64, 8], "in_channels": 1},
        "attention": {"channels": 8, "iterations": 1, "grid": 2},
    },
}
FINAL = {
    "task": "segmentation",
    "segmentation": {},
    "model": {
        "patch": [64, 64, 64],
        "overlap": 0.5,
        "lobes_only": True,
        "dram_share": 0.5,
        "network": {"filters": [8, 16, 32, 64], "deep_supervision": False},
    },
}


def _yaml(value: Any) -> str:
    import yaml

    try:
        return yaml.safe_dump(value)
    except yaml.YAMLError:
        return json.dumps(value)


@pytest.mark.parametrize("good", (RECIPE, FINAL), ids=("dram", "segmentation"))
def test_recipe(folder, good):
    path = folder / "recipe.yaml"
    fuzz(texts(good, _yaml), reads(path, lambda: read_recipe(path)))


def test_study(folder):
    (folder / "dram.yaml").write_text(_yaml(RECIPE))
    rows = [
        {"name": "threshold", "mask": "threshold", "cut": 0.5},
        {"name": "dRAM", "mask": "dram", "recipe": "dram.yaml", "change": {"model": {"attention": None}}},
        {
            "name": "final",
            "mask": "crf",
            "model_of": "dRAM",
            "labels_of": "expert",
            "labels": {"rule": "quantile"},
        },
    ]
    path = folder / "study.yaml"
    fuzz(texts({"seeds": [0, 1], "rows": rows}, _yaml), reads(path, lambda: read_study(path)))


def test_table(folder):
    good = (
        b"name,percent_LUL,percent_LLL,percent_RUL,percent_RML,percent_RLL\na,1,2,3,4,5\nb,0,0.5,,100%,na\n"
    )
    path = folder / "table.csv"
    fuzz(
        damaged(good)
        | st.binary(max_size=200)
        | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")),
        reads(path, lambda: read_table(path)),
    )


def test_list_of_cases(folder):
    good = b"image,lobes,name,series\na.nii.gz,a_lobes.nii.gz,a,\nb/dicom,,b,1.2.3\n"
    path = folder / "cases.csv"
    fuzz(
        damaged(good) | st.binary(max_size=200),
        reads(path, lambda: list_cases(path, lobes="{name}.nii.gz")),
    )


def test_manifest_and_key(folder):
    lines = (
        ",".join(COLUMNS)
        + "\na,done,1,2.0,100,,aa,lesion.nii.gz:00,host:1,2020\nb,crashed,2,2.0,,no memory,,,host:1,2020\n"
    )

    def read(content: bytes) -> None:
        (folder / MANIFEST_NAME).write_bytes(content)
        with Manifest(folder, resume=True) as manifest:
            manifest.compact(["a", "b"])

    fuzz(damaged(lines.encode()) | st.binary(max_size=200), read)
    key = folder / "key.csv"
    fuzz(damaged(b"case,image,series\ncase0001,/a/b,1.2.3\n"), reads(key, lambda: read_scan_numbers(folder)))


def test_record_of_a_case(folder):
    good = {
        "case": "a",
        "run": "1",
        "made_with": "2",
        "model_checksum": "3",
        "seconds": 1.5,
        "peak_memory_mb": None,
        "outputs": {"lesion.nii.gz": "00"},
    }
    path = folder / "cases" / "a" / "case.json"
    path.parent.mkdir(parents=True)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        record = read_record(folder, "a")
        assert record is None or all(".." not in Path(name).parts for name in record["outputs"])

    fuzz(texts(good), read)


def test_metadata_of_a_model(world, folder):
    model = folder / "tiny"
    shutil.copytree(world.model, model)
    path = model / "configs" / "metadata.json"
    fuzz(texts(json.loads(path.read_text())), reads(path, lambda: load_any_model(model)))


def test_weights_of_a_model(world, folder):
    """Damaged and signed anew, as by somebody who means harm."""
    model = folder / "tiny"
    shutil.copytree(world.model, model)
    path, weights = model / "configs" / "metadata.json", model / "models" / "model.safetensors"
    good, metadata = weights.read_bytes(), json.loads(path.read_text())
    (length,) = struct.unpack_from("<Q", good)

    def read(content: bytes) -> None:
        weights.write_bytes(content)
        metadata["checksum"] = {"models/model.safetensors": hashlib.sha256(content).hexdigest()}
        path.write_text(json.dumps(metadata))
        load_any_model(model)

    def with_header(header: bytes) -> bytes:
        return struct.pack("<Q", len(header)) + header + good[8 + length :]

    fuzz(damaged(good) | damaged(good[8 : 8 + length]).map(with_header), read)


def test_summary_of_results(folder):
    good = {
        "lobes": {"approximate": True, "source": "x"},
        "record": {"settings": {"threshold": 0.4, "segmentation": {"threshold": 0.5}}},
    }
    path = folder / "summary.json"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        assert 0 < threshold_of(folder / "dram.nii.gz") < 1
        _read_summary(path)

    fuzz(texts(good), read)


@pytest.fixture
def session(world, folder):
    made = CorrectionSession(
        world.hu,
        world.phantom.lobes,
        world.phantom.lesion * np.float32(0.9),
        (7.4, 7.4, 7.4),
        directory=folder / "s",
        ct=world.phantom.ct,
    )
    made.paint(np.array([[20, 20, 12]]), 1)
    made.undo()
    made.redo()
    made.save(folder / "s")
    return folder / "s"


def test_header_of_a_session(session):
    path = session / SESSION_FILE

    def read(content: bytes) -> None:
        path.write_bytes(content)
        opened = CorrectionSession.load(session)
        assert opened.provenance is not None and opened.label.any()

    fuzz(texts(json.loads(path.read_text())), read)


def test_journal_of_a_session(session):
    """Records with the right checksum and the wrong content."""
    (path,) = session.glob("journal-*")
    good = [json.loads(line.partition(b" ")[2]) for line in path.read_bytes().splitlines()]

    def line(record: Any) -> bytes:
        text = json.dumps(record).encode("utf-8", "replace")
        return b"%08x " % zlib.crc32(text) + text + b"\n"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        CorrectionSession.load(session)

    signed = mutated(good).map(
        lambda value: b"".join(map(line, value if isinstance(value, list) else [value]))
    )
    fuzz(signed | damaged(path.read_bytes()), read)


def test_a_stroke_of_a_journal(session):
    (path,) = session.glob("journal-*")
    (record, *_) = [json.loads(line.partition(b" ")[2]) for line in path.read_bytes().splitlines()]

    def read(value: Any) -> None:
        try:
            Change.from_record(value, (40, 48, 48))
        except ValueError:
            return

    fuzz(mutated(record), read)


@pytest.mark.parametrize("suffix", (".nii", ".nrrd", ".mha"))
def test_headers_of_images(world, folder, suffix):
    """Read in a process of its own: a reader that writes beyond its memory ends the process."""

    small = world.ct[10:18, 10:18, 10:16]
    path = folder / f"odd{suffix}"
    sitk.WriteImage(small, str(path))
    good = path.read_bytes()
    head = len(good) - small.GetNumberOfPixels() * 2
    children = multiprocessing.get_context("fork")

    def read(contents: list[bytes]) -> None:
        def work() -> None:
            code = 0
            for content in contents:
                path.write_bytes(content)
                try:
                    read_image(path)
                except InputError:
                    pass
                except BaseException:
                    code = 3
                    break
            os._exit(code)

        child = children.Process(target=work)
        child.start()
        child.join(60)
        if child.is_alive():
            child.kill()
            raise AssertionError("a reader hangs")
        assert child.exitcode == 0, f"a reader ended its process by {child.exitcode}"

    fuzz(st.lists(damaged(good[:head]).map(lambda start: start + good[head:]), min_size=1, max_size=8), read)
