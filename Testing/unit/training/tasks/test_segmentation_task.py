"""Training of the final network: losses by hand, patches, weights of painted voxels, and the weak metric."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DRAMLesionLib.lesions.lung_grid import LungGrid
from DRAMLesionLib.lesions.networks.bundle import load_segmentation_model
from DRAMLesionLib.lesions.networks.final_description import (
    AmountSettings,
    SegmentationDescription,
    SegmentationNetworkDescription,
)
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import silent
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.recipes.recipe import Recipe, read_recipe
from DRAMLesionLib.training.recipes.settings import SegmentationSettings
from DRAMLesionLib.training.tasks.patches import PatchSampler, _share, load_lungs
from DRAMLesionLib.training.tasks.segmentation import SegmentationTask
from DRAMLesionLib.training.tasks.segmentation_losses import (
    DICE_SMOOTH,
    amount_loss,
    weighted_cross_entropy,
    weighted_dice_loss,
)

MODEL = SegmentationDescription(
    spacing_mm=(2, 2, 2),
    hu_window=(-1000, 0),
    patch=(16, 16, 16),
    network=SegmentationNetworkDescription((2, 4, 4)),
)
PERCENT = [0, None, 100 * 4 * 6 * 4 / (20 * 24 * 12), None, None]


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, 1, -1)


def test_cross_entropy_is_the_weighted_mean():
    logits, target, weight = torch.logit(row(0.5, 0.8, 0.9)), row(1, 0, 1), row(1, 3, 0)
    expected = (-math.log(0.5) - 3 * math.log(0.2)) / 4
    assert weighted_cross_entropy(logits, target, weight).item() == pytest.approx(expected, rel=1e-5)
    assert weighted_cross_entropy(logits, target, weight * 0).item() == 0


def test_dice_by_hand():
    logits, target, weight = torch.logit(row(0.5, 0.8, 0.9)), row(1, 0, 1), row(1, 3, 0)
    shared, both = 0.5, 0.5 + 3 * 0.8 + 1
    expected = 1 - (2 * shared + DICE_SMOOTH) / (both + DICE_SMOOTH)
    assert weighted_dice_loss(logits, target, weight).item() == pytest.approx(expected, rel=1e-5)
    perfect = torch.full((1, 1, 1, 1, 3), 20.0) * (2 * target - 1)
    assert weighted_dice_loss(perfect, target, weight).item() == pytest.approx(0, abs=1e-6)


def test_the_amount_is_compared_and_nothing_else():
    logits, target, weight = torch.logit(row(0.5, 0.8, 0.9)), row(1, 0, 1), row(1, 3, 0)
    assert amount_loss(logits, target, weight).item() == pytest.approx((0.5 + 2.4) / 4 - 1 / 4, rel=1e-5)
    moved = torch.logit(row(0.8, 0.5, 0.9))
    assert amount_loss(moved, target, row(1, 1, 0)).item() == pytest.approx(0.15, rel=1e-5)
    assert amount_loss(logits, target, weight * 0).item() == 0


def test_a_batch_is_the_mean_of_its_samples():
    """So that it does not matter which samples a process sees together."""
    logits, target = torch.randn(3, 1, 4, 4, 4), (torch.rand(3, 1, 4, 4, 4) > 0.7).float()
    weight = torch.rand(3, 1, 4, 4, 4) * torch.tensor([0.1, 1, 5]).view(3, 1, 1, 1, 1)
    for loss in (weighted_cross_entropy, weighted_dice_loss, amount_loss):
        apart = [loss(logits[i : i + 1], target[i : i + 1], weight[i : i + 1]) for i in range(3)]
        torch.testing.assert_close(loss(logits, target, weight), torch.stack(apart).mean())


def test_losses_have_gradients():
    logits = torch.randn(1, 1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    target, weight = (torch.rand(1, 1, 2, 3, 4, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: weighted_cross_entropy(x, target, weight), (logits,))
    assert torch.autograd.gradcheck(lambda x: weighted_dice_loss(x, target, weight), (logits,))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two scans: two blocks of lobe, a bright lesion in the right one of the first scan, edits beside it."""
    folder = tmp_path_factory.mktemp("lungs")
    labels = np.zeros((24, 28, 32), np.uint8)
    labels[2:22, 2:26, 2:14], labels[2:22, 2:26, 17:29] = 3, 1
    lesion = np.zeros(labels.shape, np.uint8)
    lesion[8:12, 8:14, 4:8] = 1
    edits = np.zeros(labels.shape, np.uint8)
    edits[8:12, 8:10, 4:8], edits[14:18, 14:20, 4:8], edits[14:18, 14:20, 20:24] = 2, 1, 2
    hu = np.where(labels > 0, -850, 40).astype(np.int16)
    hu[lesion > 0] = -300
    rows = []
    for number in range(2):
        files = {"image": hu, "lobes": labels, "label": lesion * (number == 0), "edits": edits}
        for key, array in files.items():
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((2.0, 2.0, 2.0))
            sitk.WriteImage(image, str(folder / f"{key}{number}.nii.gz"))
        names = {key: f"{key}{number}.nii.gz" for key in ("image", "lobes", "label")}
        rows.append({**names, "percent": PERCENT if number == 0 else [0, None, 0, None, None]})
    watched = [{key: value for key, value in rows[0].items() if key != "label"}]
    (folder / "list.json").write_text(json.dumps({"training": rows, "validation": watched}))
    return folder


def recipe(**settings) -> Recipe:
    return Recipe("segmentation", SegmentationSettings(**settings), MODEL, name="tiny", licence="MIT", seed=3)


def task(data: Path, model: SegmentationDescription = MODEL, **settings) -> SegmentationTask:
    torch.manual_seed(0)
    made = replace(recipe(**settings), model=model)
    return SegmentationTask(made, data / "list.json", torch.device("cpu"), silent)


def lungs(data: Path, *, edits: bool, weight: float = 5.0):
    missing = (None,) * 5
    painted = data / "edits0.nii.gz" if edits else None
    scan = Scan(
        data / "image0.nii.gz", data / "lobes0.nii.gz", missing, None, data / "label0.nii.gz", painted
    )
    return load_lungs([scan], MODEL, weight, silent, "")[0]


def test_the_label_becomes_the_target_inside_the_lobes(data):
    found = lungs(data, edits=False)
    assert found.target.sum().item() == pytest.approx(4 * 6 * 4, rel=0.02)
    np.testing.assert_array_equal(found.weight.numpy(), found.labels > 0)
    assert found.image.numpy()[found.target.numpy() > 0.9].min() > 0.6


def test_what_was_painted_counts_more_and_wins_over_the_label(data):
    plain, painted = lungs(data, edits=False), lungs(data, edits=True, weight=5.0)
    moved = (painted.target - plain.target).numpy()
    # Two of six rows rubbed out, a block as large as the lesion added.
    assert (moved < -0.5).sum() == pytest.approx(4 * 2 * 4, rel=0.1)
    assert (moved > 0.5).sum() == pytest.approx(4 * 6 * 4, rel=0.1)
    counts = (painted.weight > 4).sum().item()
    assert counts == pytest.approx((4 * 2 + 4 * 6 + 4 * 6) * 4, rel=0.1)
    assert painted.weight.max().item() == pytest.approx(5, abs=0.01)
    assert not painted.weight[torch.from_numpy(painted.labels) == 0].any()


def test_edits_with_other_values_are_refused(data, tmp_path):
    image = sitk.ReadImage(str(data / "edits0.nii.gz")) * 3
    sitk.WriteImage(image, str(tmp_path / "edits.nii.gz"))
    scan = Scan(
        data / "image0.nii.gz",
        data / "lobes0.nii.gz",
        label=data / "label0.nii.gz",
        edits=tmp_path / "edits.nii.gz",
    )
    with pytest.raises(InputError, match=r"edits\.nii\.gz"):
        load_lungs([scan], MODEL, 1.0, silent, "")


def sampler(**changes) -> PatchSampler:
    plain = {"lesion_share": 1.0, "rotation": 0.0, "scaling": 0.0, "intensity": 0.0, "flip_all": False}
    return PatchSampler((16, 16, 16), **{"seed": 1, **plain, **changes})


def test_patches_lie_where_they_should(data):
    found = lungs(data, edits=False)
    about_lesion = [sampler()(found, 1, index) for index in range(8)]
    assert all(patch.target[0, 4:12, 4:12, 4:12].max() > 0.5 for patch in about_lesion)
    elsewhere = [sampler(lesion_share=0.0)(found, 1, index) for index in range(8)]
    assert sum(patch.target.sum() for patch in elsewhere) < sum(patch.target.sum() for patch in about_lesion)
    for patch in about_lesion + elsewhere:
        assert patch.image.shape == patch.target.shape == patch.weight.shape == (1, 16, 16, 16)
        bright = (patch.image > 0.6) & (patch.weight > 0)
        np.testing.assert_array_equal(bright.numpy(), patch.target.numpy() > 0.5)


def test_image_target_and_weight_are_moved_together(data):
    vary = sampler(rotation=25.0, scaling=0.3, flip_all=True)
    for index in range(6):
        patch = vary(lungs(data, edits=False), 1, index)
        inside = patch.weight > 0
        contrast = patch.image[inside & (patch.target > 0.7)], patch.image[inside & (patch.target < 0.1)]
        assert contrast[0].mean() > contrast[1].mean() + 0.3


def test_a_sample_depends_on_seed_epoch_and_index_alone(data):
    first, second = task(data), task(data)
    second.sample(5, 7)
    expected = first.sample(3, 2)
    again = second.sample(3, 2)
    for key in ("image", "target", "weight"):
        assert torch.equal(getattr(again, key), getattr(expected, key))
    for other in (first.sample(3, 3), first.sample(1, 2), first.sample(5, 2)):
        assert not torch.equal(other.image, expected.image)


def test_each_scan_has_its_share_of_an_epoch(data):
    made = task(data, patches_per_scan=3)
    assert len(made) == 6
    names = [made.sample(index, 1).name for index in range(6)]
    assert sorted(names) == ["image0"] * 3 + ["image1"] * 3


def test_the_network_learns_the_lesion_and_the_weak_metric_shows_it(data):
    made = task(data, patches_per_scan=4, intensity=0.3)
    optimizer = torch.optim.AdamW(made.network.parameters(), lr=0.02)
    before, losses = made.validate()["mae_points"], []
    for step in range(40):
        loss, parts = made.loss([made.sample(2 * step % 8, step), made.sample((2 * step + 1) % 8, step)], 0.0)
        assert loss.item() == pytest.approx(parts["cross_entropy"] + parts["dice_loss"], rel=1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-8:]) < 0.75 * np.mean(losses[:8])
    after = made.validate()
    assert set(after) == {"mae_points"} and made.weak_metric == "mae_points"
    assert after["mae_points"] < max(1.0, 0.5 * before)
    assert made.network.training


def constant(value: float) -> torch.nn.Module:
    class Constant(torch.nn.Module):
        def forward(self, image):
            return torch.full_like(image, value)

    return Constant()


def test_the_weak_metric_by_hand(data):
    made = task(data)
    made.network = constant(5.0)
    expected = np.mean([100 - PERCENT[2], 100])  # two lobes have voxels and a known percentage
    assert made.validate()["mae_points"] == pytest.approx(expected, abs=1e-4)
    made.network = constant(-5.0)
    assert made.validate()["mae_points"] == pytest.approx(PERCENT[2] / 2, abs=1e-4)


def test_a_score_is_met_anywhere_in_its_range(data, tmp_path):
    content = json.loads((data / "list.json").read_text())
    content["validation"][0] = {
        "image": "image0.nii.gz",
        "lobes": "lobes0.nii.gz",
        "score": [0, None, 1, None, None],
    }
    (data / "scores.json").write_text(json.dumps(content))
    made = SegmentationTask(recipe(), data / "scores.json", torch.device("cpu"), silent)
    made.network = constant(-5.0)
    assert made.validate()["mae_points"] == pytest.approx(1 / 2)  # 1 to 5 %, and 0 to 1 %
    made.network = constant(5.0)
    assert made.validate()["mae_points"] == pytest.approx((95 + 99) / 2)


def test_deep_supervision_counts_the_full_resolution_most(data):
    from dataclasses import replace

    network = SegmentationNetworkDescription((2, 4, 4, 4), deep_supervision=True)
    deep = replace(recipe(), model=replace(MODEL, network=network))
    made = SegmentationTask(deep, data / "list.json", torch.device("cpu"), silent)
    samples = [made.sample(0, 1)]
    stages = made.network(samples[0].image[None]).unbind(1)
    target, weight = samples[0].target[None], samples[0].weight[None]
    each = [weighted_cross_entropy(s, target, weight) + weighted_dice_loss(s, target, weight) for s in stages]
    loss, _ = made.loss(samples, 0.5)
    expected = (each[0] + each[1] / 2 + each[2] / 4) / 1.75
    assert len(stages) == 3 and loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_scan_without_label_is_named(data):
    content = json.loads((data / "list.json").read_text())
    del content["training"][1]["label"]
    (data / "without.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"without\.json: no label for image1: .*pseudo-label"):
        SegmentationTask(recipe(), data / "without.json", torch.device("cpu"), silent)


def test_the_bundle_has_a_card(data, tmp_path):
    made = task(data)
    made.save(tmp_path / "tiny", {"loss": 0.5})
    model = load_segmentation_model(tmp_path / "tiny")
    assert model.description == MODEL
    card = (tmp_path / "tiny" / "docs" / "README.md").read_text()
    for part in (
        "esearch use only",
        "Training data",
        "Limits",
        "Licence",
        "16 x 16 x 16",
        "loss 0.5",
        "Scans | 2 |",
    ):
        assert part in card
    assert "mediastinum" not in card
    other = task(data, replace(MODEL, without_hilum=True)).save(tmp_path / "other", {})
    assert "along the mediastinum alone is lost |" in (other / "docs" / "README.md").read_text()


def test_recipes_of_the_final_network_can_be_read():
    final, supervised = read_recipe("final"), read_recipe("supervised")
    assert final.task == supervised.task == "segmentation"
    # A fair comparison: only the labels differ.
    assert (final.settings, final.epochs, final.learning_rate) == (
        supervised.settings,
        supervised.epochs,
        supervised.learning_rate,
    )


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"patches_per_scan": 0}, "patches_per_scan"),
        ({"lesion_share": 1.2}, "lesion_share"),
        ({"rotation": "wide"}, "rotation"),
        ({"flip_all": 1}, "flip_all"),
        ({"colour": 1}, "colour"),
    ],
)
def test_wrong_settings_name_the_key(values, named):
    with pytest.raises(InputError, match=rf"r\.yaml: segmentation\.{named}"):
        SegmentationSettings.from_dict(values, "r.yaml: segmentation")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_coarse_voxel_s_target_is_the_part_of_it_that_is_lesion(axis):
    """Every other plane is lesion: a third or two thirds of a coarse voxel, never all or nothing."""
    size = [24, 24, 24]
    fine = np.indices(size)[axis] % 2 == 1
    size[axis] //= 3
    step = [1.0, 1.0, 1.0]
    step[axis] = 3.0
    labels = np.ones(size, np.uint8)
    grid = LungGrid(labels.astype(np.float32), labels, (slice(0, 24),) * 3, (step[0], step[1], step[2]))
    share = _share(fine, grid)
    assert share.shape == tuple(size) and share.dtype == np.float32
    parts = np.moveaxis(fine, axis, 0).reshape(8, 3, 24, 24).mean(1)
    np.testing.assert_allclose(np.moveaxis(share, axis, 0), parts, atol=0.25)
    np.testing.assert_array_equal(_share(fine | True, grid), 1.0)


def test_pasted_disease_comes_from_healthy_lobes_alone_and_is_new_in_each_epoch(data):
    made = task(data, pasted_share=1.0, patches_per_scan=4)
    first, again, other = made.sample(0, 1), made.sample(0, 1), made.sample(0, 2)
    assert "with pasted disease" in first.name
    assert torch.equal(first.image, again.image) and torch.equal(first.target, again.target)
    assert not torch.equal(first.image, other.image)
    sick = [made.sample(index, epoch).target.sum().item() for epoch in range(1, 6) for index in range(8)]
    assert max(sick) > 20 and min(sick) == 0


def test_a_transplant_puts_lesions_of_a_labelled_scan_into_a_healthy_lobe(data):
    made = task(data, pasted_share=1.0, transplant_share=1.0, lesion_share=1.0)
    patches = [made.sample(index, 1) for index in range(6)]
    assert all("with lesions of" in patch.name for patch in patches)
    sick = [patch for patch in patches if (patch.target > 0.9).any()]
    assert sick
    for patch in sick:
        assert patch.image[patch.target > 0.9].mean() > 0.5
        assert (patch.target[patch.weight == 0] == 0).all()


def test_scans_without_lesion_need_no_label(data, tmp_path):
    rows = json.loads((data / "list.json").read_text())["training"]
    rows[1] = {**rows[1], "percent": [0, 0, 0, 0, 0], "label": None}
    rows[1].pop("label")
    for key in ("image", "lobes", "label"):
        for row_ in rows:
            if key in row_:
                row_[key] = str(data / row_[key])
    (tmp_path / "list.json").write_text(json.dumps({"training": rows}))
    assert len(task(tmp_path, patches_per_scan=3)) == 6
    for middle in (2, None):
        rows[1]["percent"] = [0, 0, middle, 0, 0]
        (tmp_path / "list.json").write_text(json.dumps({"training": rows}))
        with pytest.raises(
            InputError, match=r"no label for image1: .* all five lobes is 0 .*null: not known"
        ):
            task(tmp_path)


def test_what_a_lobe_s_mean_stands_for_is_fitted_at_the_end(data, tmp_path):
    made = task(data, fit_amount=True, pasted_share=0.5)
    folder = made.save(tmp_path / "bundle", {})
    amount = load_segmentation_model(folder).description.amount
    assert amount is not None and amount.mean >= 0.3 and amount.sure is None
    sure = replace(MODEL, amount=AmountSettings(mean=0.0, sure=0.7))
    folder = task(data, sure, fit_amount=True).save(tmp_path / "sure", {})
    amount = load_segmentation_model(folder).description.amount
    assert amount is not None and amount.mean >= 0.3 and amount.sure == 0.7
    assert load_segmentation_model(task(data).save(tmp_path / "other", {})).description.amount is None
