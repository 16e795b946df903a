"""bfloat16 training on the small grids of small lobes: finite, and about the gradient of float32."""

import copy

import pytest
import torch
from torch import nn

from DRAMLesionLib.lesions.networks.description import NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.training.precision import autocast, choose_precision, prepare_network

CPU = torch.device("cpu")


def leave_nan_in_memory():
    """What is freed here is what the next allocations find, if they do not write it."""
    for size in (64, 256, 1024, 4096, 16384, 65536, 262144):
        torch.full((size,), float("nan"))


def gradients(network, image, target, dtype):
    network.zero_grad()
    leave_nan_in_memory()
    with autocast(CPU, dtype):
        logits = network(image)
    ((logits.float() - target) ** 2).mean().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def difference(one, other):
    return ((one - other).norm() / other.norm().clamp_min(1e-8)).item()


@pytest.mark.parametrize("size", [(2, 2, 2), (2, 5, 3), (1, 4, 4), (4, 2, 2)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_weights_of_a_convolution_have_the_right_gradient_on_flat_grids(size, kernel):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv3d(16, 16, kernel, padding=kernel // 2))
    prepared = copy.deepcopy(plain)
    prepare_network(prepared, torch.bfloat16)
    image, target = torch.randn(1, 16, *size), torch.randn(1, 16, *size)
    expected = gradients(plain, image, target, torch.float32)
    for _ in range(3):
        found = gradients(prepared, image, target, torch.bfloat16)
        assert all(difference(found[name], expected[name]) < 0.05 for name in expected)


def test_a_small_lobe_trains_in_bfloat16():
    """A lobe of 32 voxels a side has two voxels a side at the coarsest level."""
    torch.manual_seed(0)
    plain = DenseNetwork(NetworkDescription(features=(4, 4, 8, 8, 8, 4)))
    prepared = copy.deepcopy(plain)
    prepare_network(prepared, torch.bfloat16)
    image = torch.zeros(1, 1, 32, 32, 32)
    image[..., 6:26, 6:26, 6:26] = torch.rand(20, 20, 20)
    target = (image > 0.8).float()
    expected = gradients(plain, image, target, torch.float32)
    found = gradients(prepared, image, target, torch.bfloat16)
    assert all(value.isfinite().all() for value in found.values())
    whole = [torch.cat([g[name].flatten() for name in expected]) for g in (found, expected)]
    assert difference(*whole) < 0.1
    constant = gradients(prepared, torch.zeros_like(image), target, torch.bfloat16)
    assert all(value.isfinite().all() for value in constant.values())


def test_a_prepared_network_keeps_its_weights_their_names_and_its_copies_apart():
    network = DenseNetwork(NetworkDescription(features=(2, 2, 4, 4, 4, 2)))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    prepare_network(network, torch.bfloat16)
    after = network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert {value.dtype for value in after.values()} == {torch.float32}
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(0.0)
        assert not other(torch.rand(1, 1, 32, 32, 32)).any()


def test_normalisation_computes_in_float32():
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.InstanceNorm3d(4, affine=True))
    seen = []
    network[1].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    prepare_network(network, torch.bfloat16)
    with autocast(CPU, torch.bfloat16):
        assert network[0](torch.rand(1, 1, 4, 4, 4)).dtype == torch.bfloat16
        network(torch.rand(1, 1, 4, 4, 4))
    assert seen == [torch.float32]


@pytest.mark.parametrize(
    ("norm", "dtype"), [(nn.InstanceNorm3d, torch.float32), (nn.BatchNorm3d, torch.bfloat16)]
)
def test_in_validation_only_kept_statistics_stay_in_bfloat16(norm, dtype):
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), norm(4, affine=True)).eval()
    prepare_network(network, torch.bfloat16)
    with torch.no_grad(), autocast(CPU, torch.bfloat16):
        assert network(torch.rand(1, 1, 4, 4, 4)).dtype == dtype


def test_precision_by_name():
    assert choose_precision("float32", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16
    assert choose_precision("auto", CPU) in (torch.float32, torch.bfloat16)
    assert choose_precision("auto", torch.device("mps")) == torch.float32
