"""The average of the weights, which paints steadier pictures than the last step's."""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.pixels import evaluating


class EMA:
    """A slow copy of a network: average ← decay · average + (1 − decay) · weights, at every step.

    The last few hundred steps' weights, averaged, paint steadier pictures than the last step's
    alone (Yazıcı et al. 2018, arXiv 1806.04498). `decay` starts low and rises to its value, so that
    the noise of the first steps is soon forgotten. BatchNorm's running averages are averaged too;
    its integer counter is copied. (`torch.optim.swa_utils.AveragedModel` would do without the
    warm-up; with it, it is longer than this.)
    """

    def __init__(self, network: nn.Module, decay: float = 0.998):
        if not 0 <= decay < 1:
            raise CourseError(f"decay is {decay}; choose 0 ≤ decay < 1, such as 0.998")
        self.source = network
        self.network = deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        now = self.source.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(now[name], 1 - decay)
            else:
                average.copy_(now[name])
        self.updates += 1


@torch.no_grad()
def refresh_batchnorm(network: nn.Module, inputs: Iterator[Tensor]) -> None:
    """Measure BatchNorm's means and variances anew for the weights as they are, over `inputs`.

    Averaged weights want the statistics of *their* activations, not an average of other weights'.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's way to ask for the plain mean over all batches
    with evaluating(network):  # puts every mode back
        network.train()
        for batch in inputs:
            network(*batch) if isinstance(batch, tuple) else network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
