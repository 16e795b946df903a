"""What a user can do wrong: one clear line that names the file and what to do, exit code 2, nothing written."""

import gzip
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.lesions.networks.bundle import find_model


@pytest.fixture
def ct(phantom_folder):
    return phantom_folder / "ct.nii.gz"


def assert_refused(run, out, *arguments, names):
    """The command ends with one line on standard error that holds ``names``, and writes nothing."""
    before = sorted(out.parent.rglob("*"))
    done = run(*arguments, "--out", out)
    assert done.code == 2, (done.code, done.out, done.err)
    lines = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, done.err
    assert "Traceback" not in done.err + done.out
    for name in names:
        assert name in lines[0], lines[0]
    assert sorted(out.parent.rglob("*")) == before


def write(image, path):
    sitk.WriteImage(image, str(path))
    return path


def like(ct, values: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(sitk.ReadImage(str(ct)))
    return image


def wrong_images(ct, folder):
    """Images that are no CT, by what is wrong with them."""
    image = sitk.ReadImage(str(ct))
    hu = sitk.GetArrayFromImage(image)
    yield "truncated", (folder / "cut.nii.gz"), ct.read_bytes()[: ct.stat().st_size // 2], ["cut.nii.gz"]
    plain = gzip.decompress(ct.read_bytes())
    yield "truncated plain", (folder / "cut.nii"), plain[: len(plain) // 2], ["cut.nii"]
    yield "empty", (folder / "empty.nii.gz"), b"", ["empty.nii.gz"]
    yield "text", (folder / "text.nrrd"), b"hello", ["text.nrrd"]
    yield "2-D", (folder / "flat.nii.gz"), image[:, :, 3], ["flat.nii.gz"]
    yield "one slice", (folder / "slice.nii.gz"), image[:, :, 3:4], ["slice.nii.gz"]
    yield "RGB", (folder / "rgb.nrrd"), sitk.Compose(*[sitk.Cast(image, sitk.sitkUInt8)] * 3), ["rgb.nrrd"]
    yield "constant", (folder / "flat.nrrd"), like(ct, np.full_like(hu, -1000)), ["flat.nrrd"]
    yield (
        "grey",
        (folder / "grey.nii.gz"),
        like(ct, ((hu + 1024) // 12).clip(0, 255).astype(np.uint8)),
        ["grey.nii.gz", "expected HU"],
    )
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        values = hu.astype(np.float32)
        values[5, 6, 7] = value
        yield name, (folder / f"{name}.nii.gz"), like(ct, values), [f"{name}.nii.gz"]


CASES = [
    "truncated",
    "truncated plain",
    "empty",
    "text",
    "2-D",
    "one slice",
    "RGB",
    "constant",
    "grey",
    "nan",
    "inf",
]


@pytest.mark.parametrize("case", CASES)
def test_wrong_image(run, ct, tmp_path, case):
    (tmp_path / "in").mkdir()
    _, path, content, names = next(c for c in wrong_images(ct, tmp_path / "in") if c[0] == case)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write(content, path)
    assert_refused(run, tmp_path / "out", "segment", path, names=names)


def test_missing_image(run, tmp_path):
    assert_refused(run, tmp_path / "out", "segment", tmp_path / "gone.nii.gz", names=["gone.nii.gz"])


def test_empty_folder(run, tmp_path):
    (tmp_path / "dicom").mkdir()
    assert_refused(run, tmp_path / "out", "segment", tmp_path / "dicom", names=["dicom"])


def test_lobes_of_another_geometry(run, ct, phantom_folder, tmp_path):
    lobes = sitk.ReadImage(str(phantom_folder / "lobes.nii.gz"))
    smaller = write(lobes[:, :, :-1], tmp_path / "short.nii.gz")
    shifted = sitk.Image(lobes)
    shifted.SetOrigin([v + 20 for v in lobes.GetOrigin()])
    shifted = write(shifted, tmp_path / "shifted.nii.gz")
    assert_refused(run, tmp_path / "out", "segment", ct, "--lobes", smaller, names=["short.nii.gz", "size"])
    assert_refused(run, tmp_path / "out", "segment", ct, "--lobes", shifted, names=["shifted.nii.gz"])


def test_a_lobe_without_voxels_unless_it_is_allowed(run, ct, phantom_folder, tmp_path):
    lobes = sitk.ReadImage(str(phantom_folder / "lobes.nii.gz"))
    values = sitk.GetArrayFromImage(lobes)
    values[values == 4] = 5
    path = write(like(ct, values), tmp_path / "four.nii.gz")
    assert_refused(
        run,
        tmp_path / "out",
        "segment",
        ct,
        "--lobes",
        path,
        names=["four.nii.gz", "middle lobe", "--allow-missing-lobes"],
    )
    done = run("segment", ct, "--lobes", path, "--allow-missing-lobes", "--out", tmp_path / "o", "--no-scene")
    assert done.code == 0, done.err
    regions = {r["region"]: r for r in json.loads((tmp_path / "o" / "summary.json").read_text())["regions"]}
    assert regions["RML"]["lesion_percent"] is None and regions["RML"]["volume_ml"] == 0


def test_unknown_device(run, ct, tmp_path):
    assert_refused(run, tmp_path / "out", "segment", ct, "--device", "cuda:9", names=["cuda:9", "cpu"])
    assert_refused(run, tmp_path / "out", "segment", ct, "--device", "gpu", names=["gpu", "auto"])


def test_unknown_model(run, ct, tmp_path):
    assert_refused(run, tmp_path / "out", "segment", ct, "--model", "best", names=["best", "dram-covid"])


def damage_weights(folder):
    path = folder / "models" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def drop_weights(folder):
    (folder / "models" / "model.safetensors").unlink()


def damage_metadata(folder):
    (folder / "configs" / "metadata.json").write_text("{")


def change_metadata(folder):
    path = folder / "configs" / "metadata.json"
    path.write_text(path.read_text().replace('"hu_window"', '"hu_windows"'))


@pytest.mark.parametrize("damage", [damage_weights, drop_weights, damage_metadata, change_metadata])
def test_corrupt_model(run, ct, tmp_path, damage):
    model = tmp_path / "model"
    shutil.copytree(find_model(None), model)
    damage(model)
    assert_refused(run, tmp_path / "out", "segment", ct, "--model", model, names=[str(model)])


def test_errors_as_json(run, tmp_path):
    done = run("segment", tmp_path / "gone.nii.gz", "--out", tmp_path / "o", "--json")
    assert done.code == 2
    assert done.events[-1]["event"] == "error" and "gone.nii.gz" in done.events[-1]["message"]


def test_debug_shows_the_traceback(run, tmp_path):
    done = run("segment", tmp_path / "gone.nii.gz", "--out", tmp_path / "o", "--debug")
    assert done.code != 0 and done.exception is not None


def test_out_that_is_a_file(run, ct, tmp_path):
    (tmp_path / "out").write_text("mine")
    done = run("segment", ct, "--out", tmp_path / "out", "--no-scene")
    assert done.code == 2 and "Traceback" not in done.err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_fault_in_the_middle_leaves_nothing(run, ct, tmp_path, monkeypatch):
    import DRAMLesionLib.results.report

    def full_disk(*arguments):
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr(DRAMLesionLib.results.report, "write_report", full_disk)
    done = run("segment", ct, "--out", tmp_path / "out", "--no-scene")
    assert done.code == 2 and "disk is full" in done.err
    assert not list(tmp_path.iterdir())


def test_bad_recipe_and_data_list(run, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("epochs: 0")
    assert_refused(
        run, tmp_path / "m", "train", recipe, "--data", tmp_path / "l.json", names=["r.yaml", "epochs"]
    )
    recipe.write_text("epochs: 1")
    assert_refused(run, tmp_path / "m", "train", recipe, "--data", tmp_path / "l.json", names=["l.json"])
