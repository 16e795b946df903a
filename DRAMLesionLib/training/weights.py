"""The moving average of a network's weights, and a network with other weights for a while."""

import contextlib
from collections.abc import Iterator

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


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
