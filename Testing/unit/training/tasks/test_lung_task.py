"""The lung network's training: samples whose truth is known, a loss that leaves out what nobody knows, a bundle."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.lungs.lung_bundle import load_lung_network
from DRAMLesionLib.lungs.lung_description import LungDescription
from DRAMLesionLib.lungs.lung_mask import segment_lungs
from DRAMLesionLib.lungs.lung_network import LungNetwork
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.engine import train
from DRAMLesionLib.training.recipes.recipe import recipe_from_dict
from DRAMLesionLib.training.tasks.lungs.samples import LungScan, SampleMaker
from DRAMLesionLib.training.tasks.lungs.task import hard_places, keep_statistics, lung_loss, read_lung_scan
from DRAMLesionLib.training.tasks.lungs.transforms import IGNORED, UNKNOWN, along_axes
from DRAMLesionLib.training.weights import load_start_weights

SHAPE, GRID_MM = (48, 48, 64), 6.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lungs")
    phantom = make_phantom((80, 64, 50), (4.5, 4.5, 6.0), seed=2, severity=0)
    write_volume(phantom.ct.array, phantom.ct, folder / "p_ct.nii.gz")
    write_volume(phantom.lobes.labels, phantom.ct, folder / "p_lobes.nii.gz")
    label = np.array([0, 1, 1, 2, 2, 2], np.uint8)[phantom.lobes.labels]
    label[:, :4] = 255
    write_volume(label, phantom.ct, folder / "p_label.nii.gz")
    return folder


@pytest.fixture(scope="module")
def scan(files: Path) -> LungScan:
    return read_lung_scan(Scan(files / "p_ct.nii.gz", files / "p_lobes.nii.gz"), GRID_MM)


def test_label_counts_more_than_lobes_and_255_is_unknown(files: Path, scan: LungScan) -> None:
    labelled = read_lung_scan(
        Scan(files / "p_ct.nii.gz", files / "p_lobes.nii.gz", label=files / "p_label.nii.gz"), GRID_MM
    )
    assert not (scan.lobes == UNKNOWN).any()
    assert (labelled.lobes == UNKNOWN).any()
    assert set(np.unique(scan.lobes.numpy())) == {0, 1, 2, 3, 4, 5}
    assert scan.hu.shape == scan.lobes.shape


def test_a_label_with_other_values_is_refused(files: Path) -> None:
    with pytest.raises(InputError, match=r"p_lobes\.nii\.gz: other values than 0, 1 \(left lung\)"):
        read_lung_scan(
            Scan(files / "p_ct.nii.gz", files / "p_lobes.nii.gz", label=files / "p_lobes.nii.gz"), GRID_MM
        )


def test_the_same_seed_gives_the_same_sample(scan: LungScan) -> None:
    one, same, other = (SampleMaker(SHAPE, GRID_MM, seed)(scan) for seed in (3, 3, 4))
    assert torch.equal(one.hu, same.hu) and torch.equal(one.target, same.target)
    assert not torch.equal(one.hu, other.hu)


def test_samples_have_both_lungs_and_disease_that_stays_lung(scan: LungScan) -> None:
    dense, sides = 0, set()
    for seed in range(12):
        sample = SampleMaker(SHAPE, GRID_MM, seed, disease=1.0)(scan)
        assert sample.hu.shape == sample.target.shape == SHAPE
        assert sample.hu.min() >= -1024
        dense += int(((sample.target > 0) & (sample.hu > -300)).sum())
        sides |= set(sample.target.unique().tolist())
    assert sides == {0, 1, 2}
    healthy = [SampleMaker(SHAPE, GRID_MM, seed, disease=0.0)(scan) for seed in range(12)]
    assert dense > 2 * sum(int(((s.target > 0) & (s.hu > -300)).sum()) for s in healthy)


def test_what_nobody_knows_is_no_part_of_the_loss() -> None:
    logits = torch.randn(1, 3, 4, 4, 4)
    target = torch.randint(0, 3, (1, 4, 4, 4))
    target[:, 2:] = IGNORED
    changed = logits.clone()
    changed[:, :, 2:] += 7 * torch.randn(1, 3, 2, 4, 4)
    weights = torch.rand(1, 4, 4, 4)
    expected = pytest.approx(float(lung_loss(changed, target, weights)[0]), abs=1e-5)
    assert lung_loss(logits, target, weights)[0] == expected


def test_dense_lung_and_dense_tissue_beside_it_count_more() -> None:
    target = torch.zeros(1, 1, 1, 40, dtype=torch.int64)
    target[..., :10] = 1
    hu = torch.full((1, 1, 1, 1, 40), 40.0)
    hu[..., :5] = -850.0  # aerated lung, then a consolidation up to 10
    weights = hard_places(target, hu, 4.0)[0, 0, 0]
    assert weights[:5].eq(1).all()
    assert weights[5:15].eq(4).all()
    assert weights[15:].eq(1).all()  # far from lung


def test_pooling_along_the_axes_equals_pooling_in_a_cube() -> None:
    values = torch.rand(2, 1, 9, 8, 7)
    for pool in (torch.nn.functional.max_pool3d, torch.nn.functional.avg_pool3d):
        torch.testing.assert_close(along_axes(pool, values, 2), pool(values, 5, 1, 2))


def test_a_training_goes_on_from_the_lung_network_that_ships_and_keeps_its_statistics() -> None:
    network = LungNetwork(LungDescription())
    load_start_weights(network, "lungs")
    keep_statistics(network.train())
    images = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        one, folded = (model(images).float().softmax(1) for model in (network, load_lung_network()))
    torch.testing.assert_close(
        one, folded, atol=0.01, rtol=0
    )  # the folded one computes in bfloat16 where it can


def test_a_training_writes_a_bundle_that_finds_lungs_and_learns(files: Path, tmp_path: Path) -> None:
    rows = {"training": [{"image": "p_ct.nii.gz", "lobes": "p_lobes.nii.gz", "percent": [None] * 5}]}
    (files / "list.json").write_text(json.dumps(rows | {"validation": rows["training"]}))
    recipe = recipe_from_dict(
        {
            "task": "lungs",
            "name": "tiny",
            "epochs": 12,
            "batch": 2,
            "learning_rate": 0.01,
            "validate_every": 12,
            "lungs": {"samples_per_scan": 4, "size": list(SHAPE), "disease": 0.0},
            "model": {"spacing_mm": GRID_MM, "features": [8, 12, 16]},
        },
        "test",
    )
    events: list[dict] = []
    bundle = train(recipe, files / "list.json", tmp_path / "tiny", device="cpu", log=events.append)
    assert (tmp_path / "tiny" / "docs" / "README.md").read_text().startswith("# tiny 0.1.0")
    dices = [event["validation_dice"] for event in events if "validation_dice" in event]
    assert dices[-1] > 0.3  # a network that says nothing, or anything, has less than 0.2
    assert load_lung_network(tmp_path / "tiny").description.spacing_mm == GRID_MM
    phantom = make_phantom((80, 64, 50), (4.5, 4.5, 6.0), seed=2, severity=0)
    lungs = segment_lungs(phantom.ct.array, phantom.ct.spacing_mm, tmp_path / "tiny")
    assert set(np.unique(lungs)) <= {0, 1, 2}
    assert Path(bundle) == tmp_path / "tiny"


def test_a_sample_that_does_not_fit_the_network_is_refused(files: Path, tmp_path: Path) -> None:
    (files / "one.json").write_text(
        json.dumps({"training": [{"image": "p_ct.nii.gz", "lobes": "p_lobes.nii.gz", "percent": [None] * 5}]})
    )
    recipe = recipe_from_dict({"task": "lungs", "lungs": {"size": [40, 40, 40]}}, "test")
    with pytest.raises(InputError, match=r"lungs\.size.*multiples of 32"):
        train(recipe, files / "one.json", tmp_path / "out", device="cpu")
