"""The parts of a training: its networks, optimisers and averages, and their state as numbers."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.profiler import record_function

from course_lib.errors import CourseError
from course_lib.training.average import EMA
from course_lib.training.machine import PARTS_OF_A_STEP, few_threads, share

Part = nn.Module | torch.optim.Optimizer | EMA | torch.Generator


class Parts:
    """All that a training changes, by name; TypeError for what cannot be kept."""

    def __init__(
        self,
        keep: Mapping[str, Part] | None,
        accelerator: Accelerator,
        schedule: Callable[[float], float] | None = None,
    ):
        self.by_name: dict[str, Any] = dict(keep or {})
        if accelerator.scaler:  # of fp16
            self.by_name["scaler"] = accelerator.scaler
        for part in self.by_name.values():
            state_of(part)  # raises now, not at the first checkpoint
        kept = [_unwrapped(part) for part in self.by_name.values()]
        self.networks = [part for part in kept if isinstance(part, nn.Module)]
        self.averages = [part for part in kept if isinstance(part, EMA)]
        self.optimisers = [part for part in kept if isinstance(part, torch.optim.Optimizer)]
        self.rates = [[group["lr"] for group in one.param_groups] for one in self.optimisers]
        self.accelerator, self.schedule = accelerator, schedule

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Afterwards threads and rates are as before, and all processes have the averages."""
        with few_threads(self.networks, self.accelerator):
            try:
                yield
            finally:
                if self.schedule:
                    self._multiply_rates(1.0)
        for average in self.averages:
            share(average.network, self.accelerator)

    def turn_rates(self, progress: float) -> None:
        """As the schedule says, with progress from 0 to 1; without one they are `step`'s own."""
        if self.schedule:
            self._multiply_rates(self.schedule(progress))

    def _multiply_rates(self, factor: float) -> None:
        for optimiser, own in zip(self.optimisers, self.rates, strict=True):
            for group, rate in zip(optimiser.param_groups, own, strict=True):
                group["lr"] = rate * factor

    def update_averages(self) -> None:
        """In the main process alone: the weights are the same in all."""
        with record_function(PARTS_OF_A_STEP[2]):
            for average in self.averages if self.accelerator.is_main_process else ():
                average.update()


def linear_decay(start: float = 0.5, end: float = 0.0) -> Callable[[float], float]:
    """A schedule: 1 until the part `start` of the training, then a straight line down to `end`."""
    if not 0 <= start < 1:
        raise CourseError(f"start is {start}; choose 0 ≤ start < 1, a part of the training")

    def factor(progress: float) -> float:
        return 1.0 if progress < start else end + (1 - end) * (1 - progress) / (1 - start)

    return factor


def one_cycle(warm: float = 0.1, start: float = 0.02) -> Callable[[float], float]:
    """A schedule: from `start` up to 1 in a straight line, then down to 0 along a cosine.

    Smith & Topin 2017 (arXiv 1708.07120). warm: the part of the training that goes up.
    """

    def factor(progress: float) -> float:
        if progress < warm:
            return start + (1 - start) * progress / warm
        return (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) / 2

    return factor


def state_of(part: Any) -> dict[str, Any]:
    """All that `part` would need to go on, as a flat dictionary of tensors and plain numbers."""
    part = _unwrapped(part)
    if isinstance(part, torch.Generator):
        return {"state": part.get_state()}
    if isinstance(part, EMA):
        return part.network.state_dict() | {"updates": part.updates}
    if isinstance(part, nn.Module | torch.amp.GradScaler):
        return part.state_dict()
    if isinstance(part, torch.optim.Optimizer):
        states = part.state_dict()["state"]
        return {f"{i}/{k}": v for i, s in states.items() for k, v in s.items() if v is not None}
    raise TypeError(
        f"`keep` takes networks, optimisers, EMAs and generators, not {type(part).__name__}"
    )


def restore_state(part: Any, state: dict[str, Any]) -> None:
    """Put back what `state_of` gave."""
    part = _unwrapped(part)
    if isinstance(part, EMA):
        part.updates = state.pop("updates")
        part.network.load_state_dict(state)
    elif isinstance(part, torch.Generator):
        part.set_state(state["state"])
    elif isinstance(part, nn.Module):
        part.load_state_dict(state)
    elif isinstance(part, torch.amp.GradScaler):
        if state:  # none was saved by a training in another precision
            part.load_state_dict(state)
    else:
        # Learning rates and the like come from your code, the moments from the checkpoint: so a
        # training that went wrong can go on from its last good checkpoint with a lower rate.
        parameters = [p for group in part.param_groups for p in group["params"]]
        states: dict[int, dict[str, Any]] = {}
        for key, value in state.items():
            index, name = key.split("/", 1)
            like = parameters[int(index)]
            if isinstance(value, Tensor) and value.shape == like.shape and value.ndim:
                value = torch.empty_like(like, dtype=value.dtype).copy_(value)  # its memory layout
            states.setdefault(int(index), {})[name] = value
        part.load_state_dict({"state": states, "param_groups": part.state_dict()["param_groups"]})


def _unwrapped(part: Any) -> Any:
    """Without what accelerate put around it."""
    inner = getattr(part, "optimizer", part)
    if isinstance(inner, torch.optim.Optimizer):
        return inner
    return part.module if isinstance(part, nn.parallel.DistributedDataParallel) else part
