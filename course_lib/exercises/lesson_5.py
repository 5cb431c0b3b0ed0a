"""Lesson 5's exercises: noise on the way, guidance, and another sampler."""

from collections.abc import Callable
from itertools import pairwise

import torch

from course_lib.exercises.frame import call, checker, kind, require


@checker("5.1")
def add_noise(noisy: Callable) -> str:
    """`noisy(data, noise, time)`: the place on the way from data to noise, a time for each."""
    data, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    time = torch.tensor([0.0, 0.25, 1.0])
    answer = call(noisy, data, noise, time)
    require(isinstance(answer, torch.Tensor), f"Return a tensor, not {kind(answer)}.")
    require(
        answer.shape == data.shape,
        f"The answer is {tuple(answer.shape)}, the data {tuple(data.shape)}: give each time the "
        "shape (B, 1, 1, 1), so that it counts for a whole picture.",
    )
    beside = time.view(-1, 1, 1, 1)

    def close(value: torch.Tensor) -> bool:
        return torch.allclose(answer, value, atol=1e-5)

    require(
        not close(beside * data + (1 - beside) * noise),
        "Turned round: at time 0 there is no noise, at time 1 nothing else.",
    )
    require(
        not close(data + beside * noise),
        "You add noise and keep all of the data: at time 1 the picture would still be there.",
    )
    require(
        not close((1 - beside).sqrt() * data + beside.sqrt() * noise),
        "That is the round road of Ho et al. 2020, which keeps the variance. Ours is straight.",
    )
    require(
        close((1 - beside) * data + beside * noise), "Not on the straight road between the two."
    )
    return "At time 0 a picture, at time 1 noise, and a straight road between."


@checker("5.2")
def guidance(guided: Callable) -> str:
    """`guided(without, with_words, scale)`: the direction, further than the words say."""
    without, told = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    for scale in (0.0, 1.0, 4.0):
        answer = call(guided, without, told, scale)
        require(
            isinstance(answer, torch.Tensor) and answer.shape == without.shape,
            f"Return one direction, {tuple(without.shape)}, not {kind(answer)}.",
        )
        right = without + scale * (told - without)
        if torch.allclose(answer, right, atol=1e-4):
            continue
        require(
            not torch.allclose(answer, told + scale * (told - without), atol=1e-4),
            "You begin at the direction *with* words: then scale 0 would still be told. Begin at "
            "the one without.",
        )
        require(
            not torch.allclose(answer, without + scale * told, atol=1e-4),
            "What is multiplied is the *difference* that the words make.",
        )
        require(False, f"With scale {scale:g} it should be {_says(scale)}.")
    return "0 hears nothing, 1 hears, 4 exaggerates."


def _says(scale: float) -> str:
    return {0.0: "the direction without words", 1.0: "the direction with words"}.get(
        scale, "four times as far from the one without as the one with words is"
    )


@checker("5.3")
def sampler(walk: Callable) -> str:
    """`walk(velocity, noise, times)`: Euler's way from noise to data."""
    target = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    noise = torch.randn(2, 2)
    asked = []

    def velocity(places: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        asked.append(torch.as_tensor(time).flatten()[0].item())
        return (places - target) / torch.as_tensor(time).reshape(-1, 1)  # to one point, straight

    times = torch.tensor([1.0, 0.7, 0.2, 0.0])
    answer = call(walk, velocity, noise, times)
    require(
        isinstance(answer, torch.Tensor) and answer.shape == noise.shape,
        "Return the last places only, a tensor of the noise's shape.",
    )
    require(
        len(asked) == 3,
        f"There are 3 pieces between 4 times; the network was asked {len(asked)} times.",
    )
    require(
        torch.allclose(torch.tensor(asked), times[:-1], atol=1e-6),
        "Ask the network at the time at which a piece begins.",
    )
    away = noise
    for now, then in pairwise(times):
        away = away - (then - now) * (away - target) / now
    require(
        not torch.allclose(answer, away, atol=1e-3),
        "You walk away from the data: times fall, so a piece's length, then − now, is negative.",
    )
    require(torch.allclose(answer, target, atol=1e-4), "The walk does not end where it should.")
    return "Straight pieces, each in the direction asked for at its beginning."
