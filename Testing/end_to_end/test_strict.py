"""The option ``--strict``: exit code 4 where a result should be looked at, and results all the same."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import DRAMLesionLib.batch
from DRAMLesionLib.batch.run import BatchResult
from DRAMLesionLib.batch.tables import VOLUMES_NAME
from DRAMLesionLib.commands.terminal.options import FLAGGED
from DRAMLesionLib.phantom import make_phantom, save_phantom
from DRAMLesionLib.results.folder import REPORT
from DRAMLesionLib.results.table import FLAGS_COLUMN

QUICK = ("--no-scene", "--no-crf", "--model", "dram-covid", "--method", "dram")


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strict") / "usual"
    save_phantom(make_phantom((64, 56, 48), (5.5, 5.2, 6.4), seed=4, severity=8.0), folder)
    return folder


@pytest.fixture(scope="module")
def cut(usual: Path) -> Path:
    """The upper half of the same scan, in a folder of its own."""
    folder = usual.parent / "cut"
    folder.mkdir()
    for name in ("ct.nii.gz", "lobes.nii.gz"):
        image = sitk.ReadImage(str(usual / name))
        lungs = sitk.GetArrayFromImage(sitk.ReadImage(str(usual / "lobes.nii.gz"))) > 0
        middle = int(np.flatnonzero(lungs.any(axis=(1, 2))).mean())
        sitk.WriteImage(image[:, :, middle:], str(folder / name))
    return folder


def test_a_usual_scan_ends_well(run, usual: Path, tmp_path: Path) -> None:
    command = ("segment", usual / "ct.nii.gz", "--lobes", usual / "lobes.nii.gz", "--out", tmp_path / "out")
    done = run(*command, *QUICK, "--strict")
    assert done.code == 0, done.out + done.err


def test_lungs_that_the_scan_cuts_off_end_with_code_4_only_where_asked(
    run, cut: Path, tmp_path: Path
) -> None:
    command = ("segment", cut / "ct.nii.gz", "--lobes", cut / "lobes.nii.gz", *QUICK)
    strict = run(*command, "--out", tmp_path / "strict", "--strict")
    assert strict.code == FLAGGED == 4
    assert "Look: The lowest slice holds" in strict.err + strict.out
    assert (tmp_path / "strict" / REPORT).is_file()
    assert run(*command, "--out", tmp_path / "plain").code == 0


def test_a_batch_with_a_flagged_case_ends_with_code_4_only_where_asked(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = BatchResult(tmp_path, count=2, statuses=Counter(done=2))
    monkeypatch.setattr(DRAMLesionLib.batch, "segment_batch", lambda *_, **__: done, raising=False)
    command = ("batch", tmp_path, tmp_path)
    head = f"case,region,{FLAGS_COLUMN}\n"
    (tmp_path / VOLUMES_NAME).write_text(head + "one,total,\ntwo,total,lung-volume;air-hu\n")
    assert [run(*command, "--strict").code, run(*command).code] == [FLAGGED, 0]
    (tmp_path / VOLUMES_NAME).write_text(head + "one,total,\ntwo,total,\n")
    assert run(*command, "--strict").code == 0
