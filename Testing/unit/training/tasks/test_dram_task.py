"""The dRAM's task: what each kind of sample is told, and what is saved."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DRAMLesionLib.lesions.networks.bundle import load_model
from DRAMLesionLib.lesions.networks.candidates import dram_and_refined
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import silent
from DRAMLesionLib.training.recipes.recipe import recipe_from_dict
from DRAMLesionLib.training.tasks.dram import DramTask

RECIPE = {
    "task": "dram",
    "name": "tiny",
    "epochs": 10,
    "model": {
        "spacing_mm": [4, 4, 4],
        "candidate_hu": -750,
        "network": {"features": [2, 2, 4, 4, 4, 2]},
        "attention": {"channels": 2, "grid": 2},
    },
}


@pytest.fixture(scope="module")
def datalist(tmp_path_factory) -> Path:
    """One scan of five slabs; the fourth lobe has a score alone, the fifth is healthy."""
    folder = tmp_path_factory.mktemp("scan")
    rng = np.random.default_rng(0)
    lobes = np.zeros((20, 30, 40), np.uint8)
    for slab, lobe in enumerate((3, 4, 5, 1, 2)):  # from the patient's right to the left
        lobes[2:18, 2:28, 8 * slab + 1 : 8 * slab + 8] = lobe
    hu = np.where(lobes > 0, rng.normal(-860, 20, lobes.shape), 40)
    hu[5:12, 5:15, 26:31] = -400
    for name, array in (("ct", hu.astype(np.int16)), ("lobes", lobes)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((4.0, 4.0, 4.0))
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    row = {
        "image": "ct.nii.gz",
        "lobes": "lobes.nii.gz",
        "percent": [15.0, 2.0, None, None, 0.0],
        "score": [None, None, None, 2, None],
    }
    path = folder / "list.json"
    path.write_text(json.dumps({"training": [row], "validation": [row]}))
    return path


def make(datalist: Path, seed: int = 0, attention: bool = True, **settings) -> DramTask:
    torch.manual_seed(seed)
    recipe = recipe_from_dict({**RECIPE, "seed": seed, "dram": settings}, "test")
    if not attention:
        recipe = replace(recipe, model=replace(recipe.model, attention=None))
    return DramTask(recipe, datalist, torch.device("cpu"), silent)


def gradients(task: DramTask, sample, done: float) -> tuple[dict[str, float], dict[str, float]]:
    task.network.zero_grad()
    loss, parts = task.loss([sample], done)
    loss.backward()
    found = {
        name: float(p.grad.abs().sum()) for name, p in task.network.named_parameters() if p.grad is not None
    }
    return parts, found


def test_lobes_of_which_nothing_is_known_are_left_out(datalist):
    task = make(datalist)
    assert len(task) == 4
    names = [task._samples[i].name for i in range(4)]
    assert not any("RUL" in name for name in names)


def test_nothing_known_at_all_is_a_clear_error(datalist, tmp_path):
    content = json.loads(datalist.read_text())
    row = {**content["training"][0], "percent": [None] * 5}
    del row["score"]
    for key in ("image", "lobes"):
        row[key] = str(datalist.parent / row[key])
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": [row]}))
    with pytest.raises(InputError, match="no lobe has a known"):
        make(path)


def test_the_training_begins_with_pasted_lesions_alone(datalist):
    task = make(datalist, synthetic_first=0.3, synthetic_share=0.5)
    for epoch in (1, 2, 3):
        for index in range(len(task)):
            sample = task.sample(index, epoch)
            assert sample.lesion is not None
            assert "RLL" in sample.name  # the only healthy lobe
            assert not (sample.lesion & ~sample.mask).any()
    later = [task.sample(i, e).lesion is not None for i in range(4) for e in range(4, 24)]
    assert 0.3 < np.mean(later) < 0.7


def test_without_synthetic_share_nothing_is_pasted(datalist):
    task = make(datalist, synthetic_share=0.0, synthetic_first=0.5)
    assert all(task.sample(i, 1).lesion is None for i in range(4))


def test_a_sample_depends_on_seed_epoch_and_index_alone(datalist):
    one, other = make(datalist), make(datalist)
    other.sample(0, 3)
    for epoch in (1, 6):
        a, b = one.sample(2, epoch), other.sample(2, epoch)
        assert torch.equal(a.image, b.image)
        assert a.name == b.name
    assert not torch.equal(one.sample(2, 1).image, make(datalist, seed=1).sample(2, 1).image)


@pytest.mark.parametrize("crf", ["none", "target", "layer"])
def test_a_weak_sample_teaches_network_attention_and_crf(datalist, crf):
    task = make(datalist, synthetic_share=0.0, crf=crf)
    parts, found = gradients(task, task._samples[0], 1.0)
    assert {"weak_loss", "softness", "roughness", "refinement_loss"} <= set(parts)
    assert all(np.isfinite(value) for value in parts.values())
    assert any(name.startswith("unet") and value > 0 for name, value in found.items())
    assert any(name.startswith("attention") and value > 0 for name, value in found.items())
    learned = [name for name in found if name.startswith("crf_layer") and found[name] > 0]
    assert len(learned) == (2 if crf == "layer" else 0)
    assert ("crf_loss" in parts) == (crf == "layer")


def test_refinement_waits_for_its_time(datalist):
    task = make(datalist, refinement_from=0.5, crf="layer")
    parts, found = gradients(task, task._samples[0], 0.4)
    assert "refinement_loss" not in parts
    assert not any(name.startswith("attention") for name in found)


def test_a_pasted_sample_is_told_each_voxel(datalist):
    task = make(datalist)
    sample = task.sample(0, 1)
    parts, _ = gradients(task, sample, 0.0)
    assert set(parts) == {"synthetic_cross_entropy", "synthetic_dice_loss", "synthetic_refinement_loss"}


def test_the_target_has_as_many_voxels_as_the_percentage_says(datalist):
    task = make(datalist, target="quantile")
    sample = task._samples[0]  # 15 %
    mask = sample.mask[None]
    chance = torch.Generator().manual_seed(0)
    decided = torch.rand(mask.shape, generator=chance) * mask
    bright = replace(
        sample, image=(0.2 + 0.7 * decided[0]) * sample.mask
    )  # the lesion's voxels are candidates
    target = task._target(decided, mask, bright)
    assert target.sum() / mask.sum() == pytest.approx(0.15, abs=0.01)
    assert decided[target > 0].min() > decided[mask & (target == 0)].max()
    healthy = task._samples[3]
    decided = torch.rand(healthy.mask[None].shape, generator=chance)
    assert task._target(decided, healthy.mask[None], healthy).sum() == 0


def test_balanced_weights_follow_the_scores(datalist):
    plain, balanced = make(datalist, balance="none"), make(datalist, balance="loss")
    sample = plain._samples[0]
    one, other = (t.loss([sample], 0.0)[1]["weak_loss"] for t in (plain, balanced))
    assert one != other


def test_saving_takes_the_crfs_weights_into_the_description(datalist, tmp_path):
    task = make(datalist, crf="layer", calibrate=False)
    with torch.no_grad():
        task.network.crf_layer.gaussian_weight.fill_(2.25)
        task.network.crf_layer.bilateral_weight.fill_(-1.0)
    task.save(tmp_path / "model", {"epoch": 1})
    model = load_model(tmp_path / "model")
    assert model.description.crf.gaussian_weight == 2.25
    assert model.description.crf.bilateral_weight == 0  # never repels
    assert "crf_layer.gaussian_weight" in task.network.state_dict()  # the training can go on


def test_calibration_takes_the_cut_that_fits_the_weak_labels(datalist, tmp_path, monkeypatch):
    task = make(datalist, calibrate=True)

    def known_map(network, image, mask, description):
        # Values spread evenly over 0..1 in every lobe: the cut c gives 100 (1 - c) percent.
        values = torch.zeros(image.shape)
        values[mask] = torch.linspace(0, 1, int(mask.sum()))
        return values, values

    monkeypatch.setattr("DRAMLesionLib.training.tasks.dram.dram_and_refined", known_map)
    cut = task._fitting_threshold()
    shares = np.array([0.15, 0.02, 0.0])
    cuts = np.linspace(0.05, 0.95, 91)
    errors = [
        np.abs(shares - (1 - c)).sum()
        + max(0.05 - (1 - c), (1 - c) - task._samples[2].label.known_range[1], 0)
        for c in cuts
    ]
    assert cut == pytest.approx(cuts[int(np.argmin(errors))], abs=0.011)


def test_validation_counts_a_score_by_its_range(datalist, monkeypatch):
    task = make(datalist)

    def flat(network, image, mask, description):
        logits = torch.logit(torch.full(image.shape, 0.10))
        return logits, torch.sigmoid(logits)

    monkeypatch.setattr("DRAMLesionLib.training.tasks.dram.dram_and_refined", flat)
    low, high = task._watched[2].label.known_range
    outside = 100 * max(low - 0.1, 0.1 - high, 0)
    assert task.validate()["mae_points"] == pytest.approx((5 + 8 + outside + 10) / 4, abs=1e-3)


@pytest.mark.parametrize(("crf", "asked"), [("none", False), ("target", True), ("layer", True)])
def test_the_refined_map_learns_from_what_the_crf_makes_of_it(datalist, monkeypatch, crf, asked):
    """The CRF is told to call the lobe's brighter half lesion: the loss follows it, or asks the dRAM alone."""
    task = make(datalist, synthetic_share=0.0, target="fixed", crf=crf)
    sample = task._samples[0]
    plain = task.loss([sample], done=1.0)[1]["refinement_loss"]
    given = []

    def target(refined, hu, mask):
        given.append((refined.detach(), hu, mask))
        return torch.where(hu > -860, 0.99, 0.01) * mask

    monkeypatch.setattr(task._crf, "target", target)
    told = task.loss([sample], done=1.0)[1]["refinement_loss"]
    assert (abs(told - plain) > 0.01) == asked
    if asked:
        ((refined, hu, mask),) = given
        _, expected = dram_and_refined(
            task.network, sample.image[None], sample.mask[None], task._recipe.model
        )
        torch.testing.assert_close(refined, expected.detach())
        low, high = task._recipe.model.hu_window
        torch.testing.assert_close(hu, low + sample.image[None] * (high - low))
        assert torch.equal(mask, sample.mask[None])
