"""A compiled network gives what the same network gives without."""

import copy

import pytest
import torch
from monai.networks.nets import DynUNet

from DRAMLesionLib.lesions.networks.description import NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.training.precision import autocast, compile_network, prepare_network

SIZES = ((32, 32, 48), (40, 33, 32), (48, 48, 32))
TINY = NetworkDescription((2, 2, 4, 4, 4, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_dense_network_on_lobes_of_any_size(dtype):
    torch.manual_seed(0)
    network = DenseNetwork(TINY)
    prepare_network(network, dtype)
    compiled = copy.deepcopy(network)
    compile_network(compiled, backend="eager")
    assert list(compiled.state_dict()) == list(network.state_dict())
    for size in SIZES:
        image = torch.rand(1, 1, *size)
        with autocast(torch.device("cpu"), dtype):
            one, other = (n.forward_with_refined(image, image > 0.1)[0] for n in (network, compiled))
        assert torch.allclose(one, other, atol=1e-5)
    other.sum().backward()
    copy.deepcopy(compiled)  # the moving average of the weights is a copy


def test_a_final_network():
    torch.manual_seed(0)
    network = DynUNet(3, 1, 1, (3, 3, 3), (1, 2, 2), (2, 2), filters=(2, 4, 4))
    image = torch.rand(1, 1, 8, 8, 8)
    expected = network(image)
    compile_network(network, backend="eager")
    assert torch.allclose(network(image), expected, atol=1e-5)
