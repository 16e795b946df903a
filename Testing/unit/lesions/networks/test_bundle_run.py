"""The shipped bundles by MONAI's own command line, away from the repository, against our own command."""

import json
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.case import segment_case
from DRAMLesionLib.lesions.networks.bundle import SHIPPED, list_models
from DRAMLesionLib.phantom import make_phantom, save_phantom

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def phantom_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    save_phantom(make_phantom((64, 64, 48), (5.4, 5.4, 6.0), orientation="RAS"), folder)
    return folder


MODELS = [name for name, path in list_models().items() if path.parent == SHIPPED]
AMOUNTS = "amounts-covid"  # runs with the final network whose map it reads


@pytest.mark.parametrize("name", [*MODELS, AMOUNTS])
def test_a_shipped_bundle_gives_the_results_of_segment(name, phantom_folder, tmp_path):
    arguments = {
        "config_file": SHIPPED / name / "configs" / "inference.json",
        "bundle_root": SHIPPED / name,
        "image": phantom_folder / "ct.nii.gz",
        "lobes": phantom_folder / "lobes.nii.gz",
        "output_dir": tmp_path / "monai",
        "device": "cpu",
    }
    words = [word for key, value in arguments.items() for word in (f"--{key}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    findings = segment_case(
        phantom_folder / "ct.nii.gz",
        tmp_path / "own",
        lobes=phantom_folder / "lobes.nii.gz",
        model=None if name == AMOUNTS else SHIPPED / name,
        device="cpu",
        with_scene=False,
    )
    masks = [
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / run / "lesion.nii.gz")))
        for run in ("monai", "own")
    ]
    np.testing.assert_array_equal(*masks)
    assert masks[0].any()
    summary = json.loads((tmp_path / "monai" / "summary.json").read_text())
    assert summary["total_severity_score"] == findings.quantification.total_score
    record = summary["record"]
    named = record["amount_model"] if name == AMOUNTS else record.get("segmentation_model") or record["model"]
    assert named["name"] == name
