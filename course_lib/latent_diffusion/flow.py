"""Diffusion in a few lines: what is added, what is learnt, and how it is walked back.

Everything here works on anything: points of the plane (B, 2), latents (B, C, H, W). Times run from
0, the data, to 1, pure noise. It is flow matching (Lipman et al. 2023, arXiv 2210.02747; rectified
flow, Liu et al. 2023, arXiv 2209.03003): a straight road from each thing to each noise, and a
network that learns the mean direction of all roads that pass a place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from course_lib.errors import CourseError

Velocity = Callable[[Tensor, Tensor], Tensor]  # places (B, …) and times (B,) → directions (B, …)


def add_noise(data: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """q(x_t | x_0): a place on the straight road from data (B, …) to noise (B, …).

    time: (B,) in 0…1, or one number for all. At 0 it is the data, at 1 the noise.
    """
    time = _beside(time, data)
    return (1 - time) * data + time * noise


def direction(data: Tensor, noise: Tensor) -> Tensor:
    """What the network should say everywhere on that road: dx/dt, from the data to the noise."""
    return noise - data


def random_times(number: int, rng: torch.Generator | None = None, shift: float = 0.0) -> Tensor:
    """Times (number,) to train at, most of them in the middle: logit-normal.

    Esser et al. 2024 (arXiv 2403.03206, eq. 19). shift: of the normal's mean; above 0 there are
    more noisy times, at which is decided what comes to be where, and in which colour.
    """
    return torch.sigmoid(torch.randn(number, generator=rng) + shift)


def data_at_end(place: Tensor, velocity: Tensor, time: Tensor) -> Tensor:
    """Where the straight road from here ends: the network's guess of the data, seen from time t."""
    return place - _beside(time, place) * velocity


def guided(unconditional: Tensor, conditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): further than told.

    The difference that the words make, times `scale`. 1 is as told, 0 without words.
    """
    if scale < 0:
        raise CourseError(f"guidance is {scale}; choose 0 or more, such as 2")
    return unconditional + scale * (conditional - unconditional)


def times_of(steps: int, start: float = 1.0) -> Tensor:
    """From 1, the noise, or from `start` down to 0, the data, in equal steps: (steps + 1,)."""
    if steps < 1:
        raise CourseError(f"steps is {steps}; choose 1 or more, such as 10")
    return torch.linspace(start, 0, steps + 1)


@torch.no_grad()
def euler(velocity: Velocity, noise: Tensor, times: Sequence[float] | Tensor) -> list[Tensor]:
    """Walk from noise (B, …) back to the data, one straight piece for each pair of times.

    Returns all the places passed, the noise first: with n + 1 times n + 1 of them.
    """
    places = [noise]
    for now, then in pairwise(times):
        here = places[-1]
        places.append(here + (then - now) * velocity(here, _all_at(now, here)))
    return places


@torch.no_grad()
def two_step(velocity: Velocity, noise: Tensor, times: Sequence[float] | Tensor) -> list[Tensor]:
    """The same with a memory of one step, which saves steps where roads bend: DPM-Solver++(2M).

    Lu et al. 2022 (arXiv 2211.01095, algorithm 2). It follows the guess of the data instead of the
    velocity: how the guess has changed since the last step says how it will go on changing. λ is
    the logarithm of signal over noise, in which steps are measured. At pure noise and at the data λ
    has no end: there, in the first two steps and in the last, it walks as `euler` does.
    """
    times = torch.as_tensor(times)
    lambdas = ((1 - times) / times).log()  # −∞ at pure noise, ∞ at the data
    places, before = [noise], None
    for i in range(len(times) - 1):
        now, then, here = times[i], times[i + 1], places[-1]
        guess = data_at_end(here, velocity(here, _all_at(now, here)), now)
        follow = guess
        if before is not None and i < len(times) - 2 and lambdas[i - 1].isfinite():
            ratio = (lambdas[i + 1] - lambdas[i]) / (lambdas[i] - lambdas[i - 1])
            follow = guess + ratio / 2 * (guess - before)
        places.append(then / now * here + (1 - then / now) * follow)
        before = guess
    return places


def _beside(time: Tensor | float, data: Tensor) -> Tensor:
    """Times (B,) in the shape (B, 1, …, 1), to be multiplied with data (B, …)."""
    time = torch.as_tensor(time, dtype=data.dtype, device=data.device)
    return time.view(-1, *[1] * (data.ndim - 1)) if time.ndim else time


def _all_at(time: Tensor | float, places: Tensor) -> Tensor:
    return torch.full((len(places),), float(time), dtype=places.dtype, device=places.device)
