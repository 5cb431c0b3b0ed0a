"""Three small tools to look inside a network: shapes, parameters, operations."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from course_lib.pixels import evaluating


class Layer(NamedTuple):
    name: str
    shape: tuple[int, ...]  # of the output, with the batch
    parameters: int


class Trace(list[Layer]):
    """What `trace_shapes` returns: a list of layers that prints as a table."""

    def __repr__(self) -> str:
        rows = [(row.name, " × ".join(map(str, row.shape)), f"{row.parameters:,}") for row in self]
        rows = [("layer", "output", "parameters"), *rows]
        rows += [("", "all", f"{sum(row.parameters for row in self):,}")]
        name, shape, number = (max(len(row[i]) for row in rows) for i in range(3))
        return "\n".join(f"{a:{name}}  {b:>{shape}}  {c:>{number}}".rstrip() for a, b, c in rows)


def trace_shapes(network: nn.Module, x: Tensor) -> Trace:
    """Send x through the network and note each layer's output shape and number of parameters.

    The network is left as it was found: no gradients, no change of BatchNorm's running averages.
    """
    trace = Trace()

    def note(layer: nn.Module, _inputs: tuple, output: Tensor) -> None:
        name = type(layer).__name__.removeprefix("Parametrized")
        trace.append(Layer(name, tuple(output.shape), count_parameters(layer)))

    hooks = [layer.register_forward_hook(note) for layer in _layers(network)]
    try:
        _run_untouched(network, x)
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    """The parts that are not made of parts; a spectrally normalised convolution is one."""
    if is_parametrized(network) or not any(True for _ in network.children()):
        yield network
    else:
        for child in network.children():
            yield from _layers(child)


def count_parameters(network: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(network: nn.Module, x: Tensor) -> int:
    """Floating-point operations of one forward pass over the batch x; a multiply-add is two.

    Counted by PyTorch's FlopCounterMode, which counts convolutions and matrix products only: next
    to them BatchNorm and the activations are small change.
    """
    from torch.utils.flop_counter import FlopCounterMode  # here: it takes half a second to import

    counter = FlopCounterMode(display=False)
    with counter:
        _run_untouched(network, x)
    return counter.get_total_flops()


def _run_untouched(network: nn.Module, x: Tensor) -> None:
    """A forward pass that leaves no trace."""
    with evaluating(network), torch.no_grad():
        network(x)
