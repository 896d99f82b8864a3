"""The size of a network."""

from torch import nn


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters; running statistics of batch norm are not among them."""
    return sum(parameter.numel() for parameter in network.parameters())
