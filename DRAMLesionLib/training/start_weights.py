"""Weights of a trained model as the start of a training."""

import torch

from DRAMLesionLib.system.errors import InputError


def load_start_weights(network: torch.nn.Module, model: str) -> None:
    """Put a model's weights into a network; parts that the model does not have stay as they are.

    Args:
        network: Is changed.
        model: A bundle's folder or name.

    Raises:
        InputError: There is no such model, or its network is another one.
    """
    from DRAMLesionLib.lesions.networks.bundle import load_any_model

    found = load_any_model(model)
    weights = found.network.state_dict()
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
