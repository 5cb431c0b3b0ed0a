"""What lesson 5's checkers say about the mistakes that students make."""

import pytest

from course_lib import exercises as check
from course_lib.latent_diffusion import flow


def on_the_way(data, noise, time):
    time = time.view(-1, 1, 1, 1)
    return (1 - time) * data + time * noise


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda d, n, t: on_the_way(n, d, t), "Turned round"),
        (lambda d, n, t: d + t.view(-1, 1, 1, 1) * n, "keep all of the data"),
        (
            lambda d, n, t: (1 - t.view(-1, 1, 1, 1)).sqrt() * d + t.view(-1, 1, 1, 1).sqrt() * n,
            "round road",
        ),
        (lambda d, n, t: on_the_way(d, n, t)[:, :1], "shape"),
        (lambda d, n, t: on_the_way(d, n, t) * 0.9, "straight road"),
        (lambda d, n, t: 1, "Return a tensor"),
    ],
)
def test_add_noise(answer, says):
    verdict = check.add_noise(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.add_noise(on_the_way).passed
    assert check.add_noise(flow.add_noise).passed


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda a, b, s: b + s * (b - a), "Begin at the one without"),
        (lambda a, b, s: a + s * b, "difference"),
        (lambda a, b, s: a + s * (b - a) * 0.5, "With scale 1"),
        (lambda a, b, s: 1, "Return one direction"),
    ],
)
def test_guidance(answer, says):
    verdict = check.guidance(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.guidance(flow.guided).passed


def walk(velocity, noise, times, sign=1, late=False, skip=0):
    places = noise
    for i in range(skip, len(times) - 1):
        now, then = times[i], times[i + 1]
        asked = then if late else now
        places = places + sign * (then - now) * velocity(places, asked.expand(len(places)))
    return places


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda v, n, t: walk(v, n, t, sign=-1), "walk away"),
        (lambda v, n, t: walk(v, n, t, late=True), "at which a piece begins"),
        (lambda v, n, t: walk(v, n, t, skip=1), "3 pieces"),
        (lambda v, n, t: [walk(v, n, t)], "last places only"),
    ],
)
def test_sampler(answer, says):
    verdict = check.sampler(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.sampler(walk).passed
    assert check.sampler(lambda v, n, t: flow.euler(v, n, t)[-1]).passed


def in_decibels(one, other, peak=4.0):
    squares = (one - other).square().mean((1, 2, 3))
    return (10 * (peak / squares).log10()).mean()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda a, b: in_decibels(a, b, 1.0), "the range is 2"),
        (lambda a, b: -in_decibels(a, b), "The sign"),
        (lambda a, b: in_decibels(a, b) * 2.302585, "natural logarithm"),
        (lambda a, b: 10 * (4 / (a - b).square().mean()).log10(), "over all images"),
        (lambda a, b: 10 * (2 / (a - b).abs().mean((1, 2, 3))).log10().mean(), "squares"),
        (lambda a, b: (a - b).square(), "one number"),
        (lambda a, b: 12.0, "not 12.0"),
    ],
)
def test_decibels(answer, says):
    verdict = check.decibels(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.decibels(in_decibels).passed
    assert check.decibels(lambda a, b: in_decibels(a, b).item()).passed


def test_an_empty_exercise_waits():
    assert check.add_noise(lambda *_: ...).passed is None
    assert check.guidance(lambda *_: ...).passed is None
    assert check.sampler(lambda *_: ...).passed is None
    assert check.decibels(lambda *_: ...).passed is None
