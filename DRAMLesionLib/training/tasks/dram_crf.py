"""The dense CRF within the dRAM's training: as the target of the refined map, or as a layer whose weights learn."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import torch

from DRAMLesionLib.lesions.crf.crf import DenseCRF
from DRAMLesionLib.lesions.networks.description import ModelDescription

LAYER = "crf_layer"
"""The child of the network that holds the CRF while it learns; a saved model has its weights as settings."""


class CRFTraining:
    """What a training asks of the CRF."""

    def __init__(self, description: ModelDescription, mode: str, network: torch.nn.Module):
        """Prepare the CRF with the model's settings.

        Args:
            description: The model's.
            mode: ``none``, ``target`` or ``layer``.
            network: Gets the CRF as a child where its weights learn.
        """
        self._description, self._mode, self._network = description, mode, network
        self._crf = DenseCRF(**asdict(description.crf))
        self._shift = torch.logit(torch.tensor(description.threshold)).item()
        if mode == "layer":
            device = next(network.parameters()).device
            network.add_module(LAYER, self._crf.to(device))

    @torch.no_grad()
    def target(self, refined: torch.Tensor, hu: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What the CRF makes of the refined map, for it to learn from.

        Args:
            refined: (batch, 1, z, y, x), 0..1.
            hu: (batch, 1, z, y, x), the CT in HU.
            mask: (batch, 1, z, y, x): the lobe.

        Returns:
            (batch, 1, z, y, x), 0..1, without a gradient.
        """
        return torch.sigmoid(self.layer_logits(refined, hu, mask))

    def layer_logits(self, refined: torch.Tensor, hu: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of the map after the CRF; gradients reach the map and, in ``layer`` mode, the CRF's weights.

        The model's threshold is where the CRF is undecided, see :func:`DRAMLesionLib.lesions.refined_dram.refine_dram`.
        """
        logits = torch.logit(refined.float().clamp(1e-4, 1 - 1e-4)) - self._shift
        return self._crf(logits, hu.float(), self._description.spacing_mm, mask) + self._shift

    def description(self) -> ModelDescription:
        """The model's description, with the weights that were learned."""
        if self._mode != "layer":
            return self._description
        learned = {
            key: round(max(0.0, getattr(self._crf, key).item()), 4)
            for key in ("gaussian_weight", "bilateral_weight")
        }
        return replace(self._description, crf=replace(self._description.crf, **learned))

    @contextmanager
    def detached(self) -> Iterator[None]:
        """The network without the CRF for a while, as it is saved."""
        child = self._network._modules.pop(LAYER, None)
        try:
            yield
        finally:
            if child is not None:
                self._network.add_module(LAYER, child)
