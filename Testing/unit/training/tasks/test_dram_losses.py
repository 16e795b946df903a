"""The losses of the weak stages against numbers worked out by hand, and their gradients."""

import math

import pytest
import torch

from DRAMLesionLib.training.data.weak_label import WeakLabel
from DRAMLesionLib.training.tasks.dram_losses import (
    class_weights,
    interval_loss,
    percent_loss,
    refinement_loss,
    refinement_target,
    weak_loss,
)

ALL = torch.ones(1, 1, 1, 1, 4, dtype=torch.bool)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, 1, 1, -1)


def flat(*fractions: float) -> torch.Tensor:
    """One lobe of four voxels per fraction, all at its logit."""
    return torch.logit(torch.tensor(fractions)).view(-1, 1, 1, 1, 1).expand(-1, 1, 1, 1, 4)


def interval(p: float, low: float, high: float, space: str) -> float:
    return interval_loss(flat(p), ALL, torch.tensor([low]), torch.tensor([high]), space=space).item()


# --- interval ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["logit", "fraction"])
@pytest.mark.parametrize("p", [0.06, 0.15, 0.24])
def test_inside_the_range_nothing_is_lost(p, space):
    assert interval(p, 0.05, 0.25, space) == 0


def test_outside_it_is_the_square_beyond_that_of_the_half_width():
    # middle 0.375, half width 0.125: 0.275^2 - 0.125^2 = 0.075625 - 0.015625
    assert interval(0.10, 0.25, 0.50, "fraction") == pytest.approx(0.06, rel=1e-4)
    # 0.325^2 - 0.125^2 = 0.105625 - 0.015625
    assert interval(0.70, 0.25, 0.50, "fraction") == pytest.approx(0.09, rel=1e-4)


def test_in_logits_it_is_huber_to_the_nearer_end():
    near = math.log(0.25 / 0.75) - math.log(0.20 / 0.80)  # 0.288, in the quadratic part
    assert interval(0.20, 0.25, 0.50, "logit") == pytest.approx(near**2 / 2, rel=1e-4)
    far = math.log(0.90 / 0.10) - math.log(0.50 / 0.50)  # 2.197, in the linear part
    assert interval(0.90, 0.25, 0.50, "logit") == pytest.approx(far - 0.5, rel=1e-4)


def test_a_range_of_one_value_is_the_percent_loss():
    logits, fraction = flat(0.4), torch.tensor([0.1])
    loss = interval_loss(logits, ALL, fraction, fraction)
    assert loss.item() == pytest.approx(percent_loss(logits, ALL, fraction).item(), rel=1e-5)


@pytest.mark.parametrize(("p", "score"), [(1e-5, 0), (0.99999, 5)])
def test_zero_and_one_are_no_ends_in_logits(p, score):
    label = WeakLabel.from_score(score)
    assert interval(p, label.low, label.high, "logit") == 0


def test_weights_scale_each_lobe_and_the_batch_is_averaged():
    low, high = torch.tensor([0.25, 0.25]), torch.tensor([0.50, 0.50])
    loss = interval_loss(
        flat(0.10, 0.70),
        ALL.expand(2, -1, -1, -1, -1),
        low,
        high,
        space="fraction",
        weight=torch.tensor([2.0, 0.5]),
    )
    assert loss.item() == pytest.approx((2 * 0.06 + 0.5 * 0.09) / 2, rel=1e-4)


def test_only_the_lobe_counts():
    logits, mask = torch.logit(row(0.1, 0.1, 0.9, 0.9)), row(1, 1, 0, 0) > 0
    loss = interval_loss(logits, mask, torch.tensor([0.25]), torch.tensor([0.5]), space="fraction")
    assert loss.item() == pytest.approx(0.06, rel=1e-4)


def gradient(p: float, score: int, space: str) -> float:
    """How strongly a flat map of that fraction is pulled, by the sum over its voxels."""
    logits = flat(p).clone().requires_grad_()
    label = WeakLabel.from_score(score)
    interval_loss(logits, ALL, torch.tensor([label.low]), torch.tensor([label.high]), space=space).backward()
    return logits.grad.sum().item()


def test_a_mild_lobe_pulls_as_much_as_a_severe_one_in_logits_only():
    assert (
        gradient(0.002, 1, "logit")
        == pytest.approx(gradient(0.002, 4, "logit"), rel=1e-4)
        == pytest.approx(-1.0)
    )
    assert gradient(0.002, 4, "fraction") / gradient(0.002, 1, "fraction") > 20


def test_an_empty_map_is_still_pulled_up():
    """percent_loss has a floor at 0.3 % of the lobe, below which there is no gradient; the interval has none."""
    assert gradient(1e-4, 2, "logit") == pytest.approx(-1.0, rel=1e-3)


# --- percentages and scores in one batch -----------------------------------------------------------------------------


def test_percentages_and_scores_mix():
    logits, masks = flat(0.10, 0.10, 0.10), ALL.expand(3, -1, -1, -1, -1)
    labels = [WeakLabel.from_percent(12.0), WeakLabel.from_score(3), WeakLabel.from_score(2)]
    percent = percent_loss(flat(0.10), ALL, torch.tensor([0.12])).item()
    assert weak_loss(logits, masks, labels, space="fraction").item() == pytest.approx(
        (percent + 0.06 + 0) / 3, rel=1e-4
    )
    beyond = math.log(0.25 / 0.75) - math.log(0.10 / 0.90)  # 1.099
    assert weak_loss(logits, masks, labels).item() == pytest.approx((percent + beyond - 0.5) / 3, rel=1e-4)


@pytest.mark.parametrize(
    ("p", "percent"), [(0.05, 20), (0.5, 0), (0.5, 0.1), (0.001, 0), (0.4, 100), (0.999, 100)]
)
def test_a_percentage_counts_as_in_the_percent_loss(p, percent):
    expected = percent_loss(flat(p), ALL, torch.tensor([percent / 100])).item()
    assert weak_loss(flat(p), ALL, [WeakLabel.from_percent(percent)]).item() == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


def test_a_wrongly_empty_map_keeps_its_gradient():
    label = WeakLabel.from_percent(20)
    gradients = []
    for loss in (lambda x: weak_loss(x, ALL, [label]), lambda x: percent_loss(x, ALL, torch.tensor([0.2]))):
        logits = flat(1e-4).clone().requires_grad_()
        loss(logits).backward()
        gradients.append(logits.grad.sum().item())
    assert gradients == pytest.approx([-1.0, 0.0], rel=1e-3)


def test_weights_are_by_score_of_percentages_too():
    logits, masks = flat(0.10, 0.10), ALL.expand(2, -1, -1, -1, -1)
    labels = [WeakLabel.from_percent(12.0), WeakLabel.from_score(3)]
    percent = percent_loss(flat(0.10), ALL, torch.tensor([0.12])).item()
    loss = weak_loss(logits, masks, labels, space="fraction", weights=(1, 1, 3, 0.5, 1, 1))
    assert loss.item() == pytest.approx((3 * percent + 0.5 * 0.06) / 2, rel=1e-4)


def test_class_weights_by_hand():
    # frequencies 0.5, 0.3, 0.2: divided by them 2, 3.333, 5; mean over the ten lobes 1 + 1 + 1
    weights = class_weights([0] * 5 + [1] * 3 + [2] * 2)
    assert weights == pytest.approx((2 / 3, 10 / 9, 5 / 3, 5 / 3, 5 / 3, 5 / 3))


def test_class_weights_are_clamped():
    # 0.95 counts as 0.8 (1.25), 0.05 as 0.2 (5)
    weights = class_weights([1] * 19 + [4])
    assert weights[4] / weights[1] == pytest.approx(4)
    assert 19 * weights[1] + weights[4] == pytest.approx(20)


def test_class_weights_of_one_class_and_of_nothing():
    assert class_weights([2, 2])[2] == 1
    assert class_weights([]) == (1.0,) * 6


# --- refinement ------------------------------------------------------------------------------------------------------


def test_the_target_is_the_maps_decision_inside_the_candidates():
    dram = torch.cat([row(0.9, 0.8, 0.3, 0.6)] * 3).requires_grad_()
    candidates = torch.cat([row(1, 0, 1, 1)] * 3) > 0
    labels = [WeakLabel.from_percent(20), WeakLabel.from_score(0), WeakLabel.from_percent(0)]
    target = refinement_target(dram, candidates, labels)
    assert target[:, 0, 0, 0].tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert not target.requires_grad
    assert refinement_target(dram, candidates, labels, threshold=0.2)[0, 0, 0, 0].tolist() == [1, 0, 1, 1]


def test_refinement_by_hand():
    refined, target = row(0.8, 0.4, 0.2, 0.1), row(1, 0, 0, 0)
    # alpha = 1 - 1/4 = 0.75: weights 0.75, 0.25, 0.25, 0.25, their sum 1.5
    cross = -(0.75 * math.log(0.8) + 0.25 * (math.log(0.6) + math.log(0.8) + math.log(0.9))) / 1.5
    own = -(math.log(0.8) + math.log(0.6) + math.log(0.8) + math.log(0.9)) / 4
    loss = refinement_loss(refined, target, ALL, smoothing=0.1)
    assert loss.item() == pytest.approx(0.9 * cross + 0.1 * own, rel=1e-5)


def test_the_balance_is_clamped():
    refined, target = row(0.6, 0.6, 0.6, 0.6), row(1, 1, 1, 1)
    everything = refinement_loss(refined, target, ALL, smoothing=0).item()
    assert everything == pytest.approx(-math.log(0.6), rel=1e-5)
    # an empty target: alpha would be 1 and all weights 0; at 0.75 they are 0.25 each
    nothing = refinement_loss(refined, torch.zeros_like(target), ALL, smoothing=0).item()
    assert nothing == pytest.approx(-math.log(0.4), rel=1e-5)


def test_a_confident_map_may_differ_from_its_target():
    """The more its own decision weighs, the less a wrong target costs."""
    refined, target = row(0.95, 0.95, 0.05, 0.05), row(1, 0, 0, 0)
    losses = [refinement_loss(refined, target, ALL, smoothing=s).item() for s in (0, 0.5, 1)]
    assert losses[0] > losses[1] > losses[2] == pytest.approx(-math.log(0.95), rel=1e-4)


def test_refinement_counts_only_the_lobe_and_each_lobe_alike():
    refined = torch.cat([row(0.8, 0.4, 0.2, 0.1), row(0.8, 0.8, 0.3, 0.3)])
    target = torch.cat([row(1, 0, 0, 0), row(1, 1, 1, 1)])
    mask = torch.cat([row(1, 1, 1, 1), row(1, 1, 0, 0)]) > 0
    each = [refinement_loss(refined[i : i + 1], target[i : i + 1], mask[i : i + 1]).item() for i in range(2)]
    assert each[1] == pytest.approx(-math.log(0.8), rel=1e-5)
    assert refinement_loss(refined, target, mask).item() == pytest.approx(sum(each) / 2, rel=1e-5)


def test_extreme_maps_and_an_empty_lobe_stay_finite():
    refined, target = row(0.0, 1.0, 0.0, 1.0).requires_grad_(), row(1, 0, 0, 1)
    loss = refinement_loss(refined, target, ALL) + refinement_loss(refined, target, torch.zeros_like(ALL))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(refined.grad).all()


def test_the_loss_is_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        loss = refinement_loss(row(0.8, 0.4, 0.2, 0.1).bfloat16(), row(1, 0, 0, 0), ALL)
    assert loss.dtype == torch.float32


def test_gradients_are_right():
    torch.manual_seed(0)
    logits = torch.randn(3, 1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(3, 1, 2, 3, 4) > 0.3
    low, high = (torch.tensor(v, dtype=torch.float64) for v in ([0.05, 0.7, 0.0], [0.25, 0.8, 0.01]))
    labels = [WeakLabel.from_percent(10), WeakLabel.from_score(5), WeakLabel.from_score(0)]
    target = (torch.rand(3, 1, 2, 3, 4) > 0.6).double()

    def total(x):
        refined = torch.sigmoid(x)
        parts = [interval_loss(x, mask, low, high, space=space) for space in ("logit", "fraction")]
        parts.append(weak_loss(x, mask, labels, weights=class_weights([2, 5, 0])))
        return sum(parts) + refinement_loss(refined, target, mask)

    assert total(logits).item() > 0
    assert torch.autograd.gradcheck(total, (logits,))
