"""Watch a network at work: which convolutions it makes, and what it does between them.

A checker that only looks at the modules is deceived by a layer that is there and not used, and
misses `F.relu`; one that only looks at the pictures cannot tell BatchNorm from luck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_lib.exercises.frame import run

# What PyTorch's two functions call their arguments, in their order.
_ARGUMENTS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose2d": (
        *("input", "weight", "bias", "stride", "padding"),
        *("output_padding", "groups", "dilation"),
    ),
}
_SHAPING = {"reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "to", "contiguous"}


@dataclass
class Convolution:
    """One convolution that a network made, ordinary or transposed."""

    transposed: bool
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int
    dilation: tuple[int, ...]
    bias: bool
    taken: Tensor  # what went in
    made: Tensor  # what came out
    then: list[str] = field(default_factory=list)  # what the network did next, in PyTorch's words


class _Watch(TorchFunctionMode):
    """Sees every function of PyTorch that is called, by a module or by hand."""

    def __init__(self):
        super().__init__()
        self.first: list[str] = []
        self.convolutions: list[Convolution] = []

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", "?"), kwargs or {}
        if name in _ARGUMENTS:
            asked = dict(zip(_ARGUMENTS[name], args, strict=False)) | kwargs
            taken = asked["input"].detach().clone()
            result = func(*args, **kwargs)
            self.convolutions.append(_convolution(name, asked, taken, result.detach().clone()))
            return result
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.is_floating_point() and result.ndim == 4:
            then = self.convolutions[-1].then if self.convolutions else self.first
            if not name.startswith("__") and name not in _SHAPING:
                then.append(name.rstrip("_"))
        return result


def _convolution(name: str, asked: dict, taken: Tensor, made: Tensor) -> Convolution:
    def pair(argument: str) -> tuple[int, ...]:
        value = asked.get(argument, 1)
        return (value, value) if isinstance(value, int) else tuple(value)

    return Convolution(
        transposed=name == "conv_transpose2d",
        kernel=tuple(asked["weight"].shape[2:]),
        stride=pair("stride"),
        groups=asked.get("groups", 1),
        dilation=pair("dilation"),
        bias=asked.get("bias") is not None,
        taken=taken,
        made=made,
    )


def watch(network: nn.Module, x: Tensor) -> tuple[Any, list[Convolution], list[str]]:
    """What comes out of a network, its convolutions, and what it did before the first of them.

    The network trains, and every BatchNorm's own scale and shift are set to 1 and 0.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    with torch.no_grad(), _Watch() as seen:
        result = run(network, x.clone())
    return result, seen.convolutions, seen.first


def normalised(maps: Tensor) -> Tensor:
    """What BatchNorm makes of maps, before its scale and shift."""
    return F.batch_norm(maps, None, None, training=True)


def bend(made: Tensor, taken: Tensor) -> tuple[str, float]:
    """How `made` became `taken`: by which of these, and by which slope below zero (1: no bend).

    "norm, bend" is BatchNorm and then a ReLU, leaky or not; "bend", no norm; "bend, norm", the
    wrong order; "instance norm, bend", every picture normalised by itself; or "other".
    """
    if made.shape != taken.shape:
        return "other", 1.0
    for what, straight in (
        ("norm, bend", normalised(made)),
        ("bend", made),
        ("instance norm, bend", F.instance_norm(made)),
    ):
        below = straight < 0
        slope = (taken[below].sum() / straight[below].sum()).item()
        if torch.allclose(F.leaky_relu(straight, slope), taken, rtol=1e-3, atol=1e-3):
            return what, slope
    for slope in (0.0, 0.2, 0.01, 0.1, 0.25, 0.3):
        if torch.allclose(normalised(F.leaky_relu(made, slope)), taken, rtol=1e-3, atol=1e-3):
            return "bend, norm", slope
    return "other", 1.0


def words(names: list[str]) -> str:
    """The names of functions, for messages."""
    return ", ".join(names) or "nothing"
