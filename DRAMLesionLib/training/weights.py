"""The moving average of a network's weights, and a network with other weights for a while."""

import contextlib
from collections.abc import Iterator

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from DRAMLesionLib.system.errors import InputError


def make_average(network: torch.nn.Module) -> AveragedModel:
    """An average that has seen nothing yet."""
    return AveragedModel(network, use_buffers=True)


def update_average(average: AveragedModel, network: torch.nn.Module, decay: float, step: int) -> None:
    """Let the average follow the network.

    Args:
        average: Is changed.
        network: After a step of the optimizer.
        decay: What remains of the average in a step, once it has seen enough.
        step: Steps that the average has seen.
    """
    # A short memory at first: the random weights of the beginning would stay in the average of a short training.
    average.multi_avg_fn = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))
    average.update_parameters(network)


@contextlib.contextmanager
def other_weights(network: torch.nn.Module, weights: dict[str, torch.Tensor] | None) -> Iterator[None]:
    """The network with other weights inside the block; with None it keeps its own."""
    if weights is None:
        yield
        return
    before = {key: value.detach().clone() for key, value in network.state_dict().items()}
    network.load_state_dict(weights)
    try:
        yield
    finally:
        network.load_state_dict(before)


def load_start_weights(network: torch.nn.Module, model: str) -> None:
    """Put a model's weights into a network; parts that the model does not have stay as they are.

    Args:
        network: Is changed.
        model: A bundle's folder or name; ``lungs`` is the lung network in use
            (:func:`~DRAMLesionLib.lungs.lung_bundle.lung_model_folder`).

    Raises:
        InputError: There is no such model, or its network is another one.
    """
    weights = _weights_of(network, model)
    own = network.state_dict()
    for key, value in weights.items():
        if key not in own:
            raise InputError(
                f"start_from: {model}: its network is another one: it has {key}: use a model of the same kind"
            )
        if own[key].shape != value.shape:
            raise InputError(
                f"start_from: {model}: {key} has size {tuple(value.shape)}, the recipe's {tuple(own[key].shape)}: "
                "give the recipe the model's network section"
            )
    network.load_state_dict({**own, **weights})


def _weights_of(network: torch.nn.Module, model: str) -> dict[str, torch.Tensor]:
    """The weights of a model of the network's kind."""
    from DRAMLesionLib.lesions.networks.bundle import load_any_model
    from DRAMLesionLib.lungs.lung_bundle import KIND, load_lung_weights, lung_model_folder
    from DRAMLesionLib.lungs.lung_network import LungNetwork

    if isinstance(network, LungNetwork):
        return load_lung_weights(lung_model_folder() if model == KIND else model)
    return load_any_model(model).network.state_dict()
