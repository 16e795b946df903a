"""Losses against hand-worked numbers; data lists that are wrong; samples and how they are varied."""

import json
import math

import pytest
import torch

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.datalist import read_datalist
from DRAMLesionLib.training.data.weak_label import WeakLabel
from DRAMLesionLib.training.tasks.dram_losses import percent_loss, roughness, softness
from DRAMLesionLib.training.tasks.dram_samples import TrainingSample, Variation

ALL = torch.ones(1, 1, 1, 1, 4, dtype=torch.bool)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, 1, 1, -1)


def test_percent_loss_is_zero_at_the_right_percentage():
    logits = torch.logit(row(0.1, 0.3, 0.2, 0.2))
    assert percent_loss(logits, ALL, torch.tensor([0.2])).item() == pytest.approx(0, abs=1e-6)


def test_percent_loss_is_huber_between_logits():
    logits = torch.zeros(1, 1, 1, 1, 4)  # predicts 0.5, logit 0
    near = math.log(0.6 / 0.4)
    assert percent_loss(logits, ALL, torch.tensor([0.6])).item() == pytest.approx(near**2 / 2, rel=1e-5)
    far = math.log(0.9 / 0.1)
    assert percent_loss(logits, ALL, torch.tensor([0.9])).item() == pytest.approx(far - 0.5, rel=1e-5)


def test_percent_loss_counts_only_the_lobe():
    logits = torch.logit(row(0.2, 0.2, 0.9, 0.9))
    mask = row(1, 1, 0, 0) > 0
    assert percent_loss(logits, mask, torch.tensor([0.2])).item() == pytest.approx(0, abs=1e-6)


def test_percent_loss_of_a_healthy_lobe_rests_at_an_empty_map():
    logits = torch.full((1, 1, 1, 1, 4), -12.0)
    assert percent_loss(logits, ALL, torch.tensor([0.0])).item() == pytest.approx(0, abs=1e-6)


def test_softness_by_hand():
    # sum p(1-p) / (sum p + 1) = (0.25 + 0) / (0.5 + 1 + 1)
    assert softness(row(0.5, 1.0, 0.0, 0.0), ALL).item() == pytest.approx(0.1)
    assert softness(row(1.0, 1.0, 0.0, 0.0), ALL).item() == 0


def test_roughness_by_hand():
    # |steps| 1 + 1 + 0 over the sum 1 + 1 voxel
    assert roughness(row(0.0, 1.0, 0.0, 0.0), ALL).item() == pytest.approx(2 / 2)
    # the same map, its step at the lobe's border not counted
    assert roughness(row(0.0, 1.0, 0.0, 0.0), row(0, 1, 1, 1) > 0).item() == pytest.approx(1 / 2)


def test_roughness_prefers_a_patch_to_a_thread():
    patch, thread = torch.zeros(1, 1, 8, 8, 8), torch.zeros(1, 1, 8, 8, 8)
    patch[..., 2:4, 2:4, 2:4] = 1
    thread[..., 3, 3, :] = 1
    mask = torch.ones_like(patch, dtype=torch.bool)
    assert roughness(patch, mask) < roughness(thread, mask)


def test_losses_have_gradients():
    logits = torch.randn(1, 1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(1, 1, 3, 4, 5) > 0.3
    fraction = torch.tensor([0.2], dtype=torch.float64)

    def total(x):
        dram = torch.sigmoid(x)
        return percent_loss(x, mask, fraction) + softness(dram, mask) + roughness(dram, mask)

    assert torch.autograd.gradcheck(total, (logits,))


def test_data_list_names_every_bad_row_at_once(tmp_path):
    (tmp_path / "ct.nii.gz").touch()
    good = {"image": "ct.nii.gz", "lobes": "ct.nii.gz", "percent": [1, 2, None, 4, 5]}
    rows = [
        good,
        {**good, "image": "gone.nii.gz"},
        {**good, "percent": [1, 2, 3]},
        {**good, "percent": [1, 2, 3, 4, 500]},
    ]
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": rows, "validation": [{"lobes": 3, "extra": 1}]}))
    with pytest.raises(InputError) as error:
        read_datalist(path)
    text = str(error.value)
    for part in ("training[1]", "gone.nii.gz", "training[2]", "training[3]", "RLL", "validation[0]", "extra"):
        assert part in text
    assert "training[0]" not in text


@pytest.mark.parametrize("text", ["", "[]", '{"training": 3}', '{"training": []}', "\x00"])
def test_no_data_list(tmp_path, text):
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"list\.json"):
        read_datalist(path)


def blob(seed: int = 0) -> TrainingSample:
    image = torch.zeros(1, 12, 14, 16)
    image[:, 3:9, 3:11, 4:12] = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.8 + 0.1
    return TrainingSample(image, image > 0, WeakLabel.from_percent(20), "blob")


def test_a_variation_depends_on_seed_epoch_and_sample_alone():
    vary, sample = Variation(3), blob()
    first = vary(sample, 1, 5)
    others = [vary(sample, 2, 5), vary(sample, 1, 6), Variation(4)(sample, 1, 5)]
    assert not any(torch.equal(first.image, other.image) for other in others)
    again = Variation(3)(sample, 1, 5)
    assert torch.equal(first.image, again.image) and torch.equal(first.mask, again.mask)
    assert torch.equal(vary(sample, 1, 5).image, first.image), "whatever was varied in between"


def test_variations_keep_the_lobe_and_its_label():
    vary, sample = Variation(0), blob()
    before = sample.image.clone()
    for index in range(20):
        varied = vary(sample, 1, index)
        assert varied.image.shape == varied.mask.shape == sample.image.shape
        assert type(varied.image) is torch.Tensor and varied.mask.dtype == torch.bool
        assert varied.image.min() >= 0 and varied.image.max() <= 1
        assert not varied.image[~varied.mask].any()
        assert 0.5 < varied.mask.sum() / sample.mask.sum() < 2
        assert (varied.label, varied.name) == (sample.label, sample.name)
    assert torch.equal(sample.image, before)


def test_a_lobe_that_a_rotation_takes_away_stays_as_it_is():
    image = torch.zeros(1, 8, 8, 8)
    image[0, 0, 0, 0] = 0.5
    sample = TrainingSample(image, image > 0, WeakLabel.from_percent(20), "one voxel")
    vary = Variation(0)
    assert all(vary(sample, 1, index).mask.any() for index in range(40))
