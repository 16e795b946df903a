"""The neighbour attention against a plain loop over voxels, and what it must keep."""

import math

import numpy as np
import pytest
import torch

from DRAMLesionLib.lesions.networks.attention import (
    OFFSETS,
    NeighbourAttention,
    neighbour_weights,
    weighted_mean,
)
from DRAMLesionLib.lesions.networks.description import AttentionSettings
from DRAMLesionLib.system.errors import InputError

SIZE = (5, 4, 6)


def attention(grid=None, iterations=1, channels=3, features=(2, 4)) -> NeighbourAttention:
    torch.manual_seed(1)
    module = NeighbourAttention(AttentionSettings(channels, iterations, grid), features).double()
    with torch.no_grad():  # far from even weights, and query unlike key, as after a training
        module.query.weight.mul_(5).add_(torch.randn_like(module.query.weight) / 2)
    return module


def inputs(size=SIZE, batch=2, features=(2, 4), share=0.6):
    """A map, an image, two features of which the second lies on half the grid, and a ragged mask."""
    torch.manual_seed(2)
    half = [max(1, n // 2) for n in size]
    mask = torch.rand(batch, 1, *size) < share
    values = torch.rand(batch, 1, *size, dtype=torch.float64)
    seen = [
        torch.randn(batch, features[0], *size, dtype=torch.float64),
        torch.randn(batch, features[1], *half, dtype=torch.float64),
    ]
    return values, torch.rand(batch, 1, *size, dtype=torch.float64) * mask, seen, mask


def loop(module: NeighbourAttention, values, image, features, mask) -> np.ndarray:
    """The same on the map's own grid (all features lie on it), voxel by voxel, written from the formula alone."""

    def linear(layer, vector):
        weight = layer.weight.detach().numpy()[:, :, 0, 0, 0]
        return weight @ vector + layer.bias.detach().numpy()

    result = np.zeros(values.shape)
    for b in range(len(values)):
        inside = mask[b, 0].numpy()
        voxels = list(np.argwhere(inside))
        query, key = {}, {}
        for v in map(tuple, voxels):
            seen = [np.array([image[b, 0][v].item()])]
            for layer, feature in zip(module.projections, features, strict=True):
                seen.append(np.maximum(linear(layer, feature[b][(slice(None), *v)].numpy()), 0))
            seen = np.concatenate(seen)
            query[v], key[v] = linear(module.query, seen), linear(module.key, seen)
        current = {v: values[b, 0][v].item() for v in query}
        for _ in range(module.settings.iterations):
            following = {}
            for v in query:
                scores, means = [], []
                for w in query:
                    apart = [abs(i - j) for i, j in zip(v, w, strict=True)]
                    if max(apart) == 1 and sum(apart) <= 2:
                        score = max(0.0, float(query[v] @ key[w])) / math.sqrt(module.settings.channels)
                        scores.append(math.exp(score))
                        means.append(current[w])
                total = sum(scores)
                following[v] = (
                    sum(s * m for s, m in zip(scores, means, strict=True)) / total if scores else current[v]
                )
            current = following
        for v, value in current.items():
            result[b, 0][v] = value
    return result


def test_a_voxel_has_the_18_neighbours_that_share_a_face_or_an_edge():
    assert len(set(OFFSETS)) == 18
    assert {math.sqrt(z * z + y * y + x * x) for z, y, x in OFFSETS} == {1.0, math.sqrt(2)}


@pytest.mark.parametrize(("iterations", "share"), [(1, 0.6), (3, 0.6), (2, 0.1), (1, 1.0)])
def test_it_equals_a_loop_over_voxels(iterations, share):
    """A sparse mask leaves voxels without any neighbour, a full one has the grid's own border."""
    module = attention(iterations=iterations)
    values, image, features, mask = inputs(share=share)
    features[1] = torch.randn(2, 4, *SIZE, dtype=torch.float64)
    with torch.no_grad():
        found = module(values, image, features, mask).numpy()
    np.testing.assert_allclose(found, loop(module, values, image, features, mask), atol=1e-12)
    with torch.no_grad():
        module.query.weight.zero_()
        module.query.bias.zero_()
        even = module(values, image, features, mask).numpy()
    assert np.abs(even - found).max() > (0.05 if share > 0.1 else 0)  # the weights are far from even ones


def test_on_a_coarser_grid_it_equals_a_loop_over_the_means_of_coarse_voxels():
    """Each coarse voxel holds the mean over the lobe's part of it; the loop's result is read where nothing is blended."""
    module = attention(grid=2.0)
    size = (6, 4, 8)
    values, image, features, mask = inputs(size)
    coarse = [n // 2 for n in size]

    def blocks(a):
        z, y, x = coarse
        return a.reshape(*a.shape[:2], z, 2, y, 2, x, 2).permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5)

    inside = blocks(mask.double())
    amount = inside.sum(-1)
    mean = [(blocks(a) * inside).sum(-1) / amount.clamp_min(1) for a in (values, image)]
    fine_feature = blocks(features[0]).mean(-1)
    expected = loop(module, *mean, [fine_feature, features[1]], amount > 0)
    with torch.no_grad():
        found = module(values, image, features, mask)
    # Where all 27 coarse voxels about one hold the same number, interpolation changes nothing: compare block means of
    # an interpolation of the loop's result made with numpy.
    present = (amount > 0).double().numpy()
    brute = _enlarged(expected * present) / np.maximum(_enlarged(present), 1e-3) * mask.numpy()
    np.testing.assert_allclose(found.numpy(), brute, atol=1e-12)


def _enlarged(coarse: np.ndarray) -> np.ndarray:
    """Twice the size along each axis, trilinear, voxel edges coincide, the outermost values held."""
    for axis in (2, 3, 4):
        near = np.repeat(coarse, 2, axis)
        first, last = (np.take(coarse, [i], axis) for i in (0, -1))
        lower = np.concatenate([first, coarse], axis).take(range(coarse.shape[axis]), axis)
        upper = np.concatenate([coarse, last], axis).take(range(1, coarse.shape[axis] + 1), axis)
        far = np.stack([lower, upper], axis + 1).reshape(near.shape)
        coarse = 0.75 * near + 0.25 * far
    return coarse


@pytest.mark.parametrize("grid", [None, (3, 2, 2)])
def test_gradients_are_those_of_finite_differences(grid):
    module = attention(grid)
    values, image, features, mask = inputs((4, 2, 4), batch=1)
    values.requires_grad_()
    names = [name for name, _ in module.named_parameters()]

    def refined(map_, *weights):
        return torch.func.functional_call(
            module, dict(zip(names, weights, strict=True)), (map_, image, features, mask)
        )

    assert torch.autograd.gradcheck(refined, (values, *module.parameters()), fast_mode=True)


def test_features_and_image_get_no_gradient():
    module = attention(2.0)
    values, image, features, mask = inputs()
    leaves = [values, image, *features]
    for leaf in leaves:
        leaf.requires_grad_()
    module(values, image, features, mask).sum().backward()
    assert values.grad is not None and values.grad.abs().sum() > 0
    assert all(leaf.grad is None for leaf in leaves[1:])
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize("grid", [None, 2.0, 3.0, (4, 4, 4), (64, 64, 64)])
def test_a_constant_map_stays_and_the_outside_is_empty(grid):
    module = attention(grid, iterations=2)
    values, image, features, mask = inputs((9, 7, 8))
    refined = module(torch.full_like(values, 0.3), image, features, mask)
    torch.testing.assert_close(refined[mask], torch.full_like(refined[mask], 0.3))
    assert not refined[~mask].any()


def test_what_lies_outside_the_lobe_does_not_matter():
    module = attention(2.0)
    values, image, features, mask = inputs()
    other = torch.where(mask, values, torch.rand_like(values))
    with torch.no_grad():
        same = module(values, image, features, mask)
        torch.testing.assert_close(module(other, image + ~mask, features, mask), same)
        assert torch.equal(module(values, image, features, mask.double()), same)


def test_an_empty_lobe_gives_an_empty_map():
    values, image, features, mask = inputs()
    assert not attention(2.0)(values, image, features, torch.zeros_like(mask)).any()


def test_a_fresh_attention_has_a_gradient():
    """Scores that are all negative would stay so: relu lets no gradient through."""
    values, image, features, mask = inputs()
    for seed in range(20):
        torch.manual_seed(seed)
        module = NeighbourAttention(AttentionSettings(8, 1, None), (2, 4)).double()
        (module(values, image, features, mask) ** 2).sum().backward()
        assert module.query.weight.grad.abs().sum() > 1e-3


def test_alike_neighbours_weigh_more():
    """Two halves of unlike tissue: with query and key that tell them apart, the border stays sharp."""
    halves = torch.zeros(1, 2, 1, 1, 8)
    halves[:, 0, ..., :4] = halves[:, 1, ..., 4:] = 8.0
    weights, _ = neighbour_weights(halves, halves, torch.ones(1, 1, 1, 1, 8))
    step = (torch.arange(8) < 4).float().view(1, 1, 1, 1, 8)
    assert (weighted_mean(weights, step) - step).abs().max() < 1e-6
    even, _ = neighbour_weights(halves * 0, halves, torch.ones(1, 1, 1, 1, 8))
    assert weighted_mean(even, step).flatten()[4].item() == pytest.approx(0.5)


def test_autocast_and_channels_last_give_the_same_map():
    values, image, features, mask = inputs((12, 12, 12))
    module = attention(2.0).float()
    plain = module(values.float(), image.float(), [f.float() for f in features], mask)
    last = [f.float().to(memory_format=torch.channels_last_3d) for f in features]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module(values.float(), image.float(), [f.bfloat16() for f in last], mask)
    assert half.dtype == torch.float32 and torch.isfinite(half).all()
    torch.testing.assert_close(half, plain, atol=2e-3, rtol=0)
    torch.testing.assert_close(module(values.float(), image.float(), last, mask), plain)
    assert module(values.bfloat16(), image.bfloat16(), last, mask).dtype == torch.float32


def test_no_copies_of_18_times_the_channels_are_kept():
    """What backward keeps is a fixed number of one-channel maps per neighbour, however many channels there are."""
    kept = {}
    for channels in (4, 32):
        module = NeighbourAttention(AttentionSettings(channels, 1, None), (2, 2))
        features = [torch.randn(1, 2, 16, 16, 16) for _ in range(2)]
        storages = {}

        def note(tensor, storages=storages):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            module(
                torch.rand(1, 1, 16, 16, 16, requires_grad=True),
                torch.rand(1, 1, 16, 16, 16),
                features,
                torch.ones(1, 1, 16, 16, 16),
            )
        kept[channels] = sum(storages.values()) / (16**3 * 4)
    one_copy_of_all_keys = 18 * (32 - 4)
    assert kept[32] - kept[4] < one_copy_of_all_keys / 2
    assert kept[4] < 18 * 3.5


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"channels": 0}, "attention.channels"),
        ({"iterations": 1.5}, "attention.iterations"),
        ({"grid": 0.5}, "attention.grid"),
        ({"grid": [3, 3]}, "attention.grid"),
        ({"grid": "half"}, "attention.grid"),
        ({"size": 3}, "attention.size"),
        ([8], "attention: [8] is no table"),
    ],
)
def test_a_wrong_setting_is_named(values, named):
    with pytest.raises(InputError) as error:
        AttentionSettings.from_dict(values, "recipe.yaml: model.attention")
    assert named in str(error.value) and "recipe.yaml" in str(error.value)


@pytest.mark.parametrize("grid", [None, 2, 1.5, [64, 64, 64]])
def test_settings_survive_the_way_through_json(grid):
    settings = AttentionSettings.from_dict({"channels": 4, "grid": grid}, "here")
    assert AttentionSettings.from_dict(settings.to_dict(), "here") == settings


def test_the_grid_is_never_finer_than_the_network_s():
    assert AttentionSettings(grid=(64, 64, 64)).grid_size((80, 48, 64)) == (64, 48, 64)
    assert AttentionSettings(grid=2.0).grid_size((80, 48, 64)) == (40, 24, 32)
    assert AttentionSettings(grid=None).grid_size((80, 48, 64)) == (80, 48, 64)
