"""Networks and sliding window that are written here for their start-up time compute what MONAI's do."""

import subprocess
import sys

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import BasicUNet as MonaisBasicUNet
from monai.networks.nets import DynUNet as MonaisDynUNet

from DRAMLesionLib.lesions.networks.basic_unet import BasicUNet
from DRAMLesionLib.lesions.networks.final_description import SegmentationNetworkDescription
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.lesions.networks.norm import instance_norm
from DRAMLesionLib.lesions.networks.sliding_window import in_windows
from DRAMLesionLib.lesions.run_models import load_case_models

FEATURES = (4, 6, 8, 8, 10, 4)
LAST = torch.channels_last_3d


def monais_dyn_unet(filters, heads=0, norm="batch"):
    depth = len(filters)
    size = {"kernel_size": [3] * depth, "strides": [1, *[2] * (depth - 1)]}
    deep = {"deep_supervision": heads > 0, "deep_supr_num": max(1, heads)}
    network = MonaisDynUNet(
        3, 1, 1, **size, upsample_kernel_size=[2] * (depth - 1), filters=filters, norm_name=norm, **deep
    )
    for name in ("input_block", "downsamples", "bottleneck", "upsamples", "deep_supervision_heads"):
        network._modules.pop(name, None)  # the same blocks a second time
    return network


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return one.state_dict().keys() == theirs.keys() and all(
        torch.equal(value, theirs[key]) for key, value in one.state_dict().items()
    )


def test_basic_u_net_is_monais():
    torch.manual_seed(0)
    ours = BasicUNet(1, 1, FEATURES)
    torch.manual_seed(0)
    theirs = MonaisBasicUNet(3, 1, 1, FEATURES, upsample="nontrainable")
    assert same_weights(ours, theirs)
    image = torch.rand(2, 1, 32, 33, 35)  # odd sides are padded on the way up
    torch.testing.assert_close(ours(image), theirs(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("heads", [0, 2])
def test_dyn_u_net_is_monais(heads):
    filters = (4, 6, 8, 8)
    torch.manual_seed(0)
    ours = SegmentationNetwork(SegmentationNetworkDescription(filters, heads > 0, "batch")).unet
    torch.manual_seed(0)
    theirs = monais_dyn_unet(filters, heads)
    theirs.output_block.conv.conv.bias.data.fill_(-2.0)  # the head's bias that lesions' rarity asks for
    assert same_weights(ours, theirs)
    image = torch.rand(2, 1, 16, 24, 32)
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.train()(image), theirs.train()(image), atol=1e-5, rtol=1e-5)


def test_shipped_weights_give_the_same_in_monais_networks():
    models = load_case_models()
    assert models.final is not None
    dram, final = models.dram, models.final
    theirs = MonaisBasicUNet(3, 1, 1, dram.description.network.features, upsample="nontrainable").eval()
    theirs.load_state_dict(dram.network.unet.state_dict())
    others = monais_dyn_unet(final.description.network.filters).eval()
    others.load_state_dict(final.network.unet.state_dict())
    image = torch.rand(2, 1, 32, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(dram.network.unet(image), theirs(image), atol=1e-5, rtol=1e-5)
        expected = others(image)
        torch.testing.assert_close(final.network(image), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            final.network.for_cpu(torch.float32)(image), expected, atol=1e-4, rtol=1e-4
        )
        half = final.network.for_cpu(torch.bfloat16)(image.bfloat16())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            by_autocast = others(image)
    assert half.dtype == by_autocast.dtype == torch.bfloat16
    torch.testing.assert_close(half.float().sigmoid(), by_autocast.float().sigmoid(), atol=0.01, rtol=0)


def test_a_copy_for_the_cpu_leaves_the_network_that_it_was_made_of():
    network = SegmentationNetwork(SegmentationNetworkDescription((2, 4, 4), norm="batch"))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.for_cpu(torch.bfloat16)
    assert network.training and all(torch.equal(network.state_dict()[key], before[key]) for key in before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_instance_normalisation_is_the_same_in_both_layouts(dtype):
    values = (torch.randn(2, 5, 6, 7, 8) * 3 + 10).to(dtype)
    weight, bias = torch.rand(5), torch.rand(5)
    expected = torch.nn.functional.instance_norm(values.float(), weight=weight, bias=bias)
    with torch.inference_mode():
        normed = instance_norm(values.contiguous(memory_format=LAST), weight, bias)
    assert normed.dtype == dtype and normed.is_contiguous(memory_format=LAST)
    atol = 1e-4 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(normed.float(), expected, atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("shape", "window", "overlap"),
    [((20, 33, 18), (16, 16, 16), 0.25), ((7, 20, 40), (16, 16, 32), 0.5), ((5, 6, 7), (8, 8, 8), 0.25)],
)
def test_sliding_window_is_monais(shape, window, overlap):
    torch.manual_seed(0)
    values = torch.rand(1, 2, *shape)
    slope = torch.linspace(0, 1, window[-1])

    def predict(part: torch.Tensor) -> torch.Tensor:  # depends on the place in the window
        return torch.cat([part * slope, part[:, :1] + slope], dim=1)

    expected = SlidingWindowInferer(window, overlap=overlap, mode="gaussian")(values, predict)
    torch.testing.assert_close(in_windows(values, window, overlap, predict), expected, atol=1e-5, rtol=1e-5)


def test_a_segmentation_does_not_import_monai():
    """It takes longer to import than these networks take."""
    code = (
        "import sys, numpy as np\n"
        "from DRAMLesionLib.lesions.find import find_lesions\n"
        "from DRAMLesionLib.lesions.probability import predict_lesion\n"
        "from DRAMLesionLib.lesions.run_models import load_case_models\n"
        "final = load_case_models().final\n"
        "labels = np.ones((9, 9, 9), np.uint8)\n"
        "hu = np.full((9, 9, 9), -800, np.int16)\n"
        "predict_lesion(final.network, final.description, hu, labels, (4.0, 4.0, 4.0))\n"
        "sys.exit('monai' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
