"""The lobes' shares of lesion from both lungs at once: what the network of the amounts says of a CT."""

import numpy as np
import torch
from torch.nn import functional

from DRAMLesionLib.lesions.whole_lungs.network import AmountNetwork
from DRAMLesionLib.lesions.whole_lungs.pooled import lobe_shares, pool_lungs
from DRAMLesionLib.lungs.lobes import LOBES


@torch.inference_mode()
def lobe_percents(
    network: AmountNetwork, image: np.ndarray, labels: np.ndarray, probability: np.ndarray
) -> dict[int, float]:
    """Percent of each lobe that is lesion; the mean over the lungs as they are and mirrored left to right.

    Args:
        network: In eval mode, where it computes.
        image: float32 (z, y, x) of the network's lung grid: the HU window as 0..1.
        labels: uint8, the same shape: lobes 1..5.
        probability: float32, the same shape, 0..1: the final network's.

    Returns:
        0..100 by the lobe's value; missing lobes are left out.
    """
    description = network.description
    seen = pool_lungs(image, labels, probability, description.block)
    size = seen.features.shape[-3:]
    padding = [p for n in reversed(size) for p in (0, -n % description.step)]
    device = next(network.parameters()).device
    features = functional.pad(seen.features, padding)[None].to(device)
    both = torch.cat([features, features.flip(-1)])
    odds = network(both)
    share = (torch.sigmoid(odds[:1]) + torch.sigmoid(odds[1:]).flip(-1)) / 2
    lobes = functional.pad(seen.lobes, padding)[None].to(device)
    shares = lobe_shares(torch.logit(share), lobes)[0].tolist()
    offset = description.offset
    return {
        lobe.value: max(0.0, 100 * share + offset)
        for lobe, share, here in zip(LOBES, shares, seen.lobes, strict=True)
        if bool(here.any())
    }
