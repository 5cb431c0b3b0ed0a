"""What lesson 7's checkers say about the mistakes that students make."""

import math
from collections import Counter

import pytest
import torch

from course_lib import exercises as check


def apart(images, known):
    return torch.cdist(images.flatten(1), known.flatten(1))


def nearest(images, known):
    both = torch.stack([apart(images, known), apart(images, known.flip(-1))])
    return both.min(0).values.argmin(1)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda images, known: apart(images, known).argmin(1), "the nearer of both"),
        (lambda images, known: apart(images, known).argmax(1), "*farthest*"),
        (lambda images, known: apart(images, known).min(1).values, "the rows alone"),
        (lambda images, known: apart(images, known).argmin(0), "whole numbers, one an image"),
        (
            lambda images, known: apart(images, torch.cat([known, known.flip(-1)])).argmin(1),
            "has number N + i",
        ),
        (
            lambda images, known: torch.minimum(
                apart(images, known), apart(images, known.flip(-2))
            ).argmin(1),
            "stand on their heads",
        ),
        (lambda images, known: apart(images, known.flip(-1)).argmin(1), "not only mirrored"),
        (
            lambda images, known: (apart(images, known) + apart(images, known.flip(-1))).argmin(1),
            "take the smaller",
        ),
        (lambda images, known: torch.full((len(images),), 3), "you found 0"),
        (lambda images, known: apart(images, known).min(1), "the rows alone"),
        (lambda images, known: [0] * len(images), "not an object of type list"),
    ],
)
def test_nearest_face(answer, says):
    verdict = check.nearest_face(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.nearest_face(nearest).passed
    assert check.nearest_face(lambda images, known: ...).passed is None


def long(base, power):
    return math.floor(power * math.log10(base) + 1e-9) + 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda s, c, v: math.floor(v * math.log10(s * s * c)) + 1, "the article's mistake"),
        (lambda s, c, v: long(v, s * c), "5 × 5 pixels"),
        (lambda s, c, v: len(str(s * s * c * v)), "to the *power*"),
        (lambda s, c, v: long(v, s * s), "a pixel has 3 values"),
        (lambda s, c, v: long(v, s * s * c) - 1, "one too few"),
        (lambda s, c, v: v ** (s * s * c), "how many digits it has"),
        (lambda s, c, v: s * s * c * math.log10(v) + 1, "a whole number"),
        (lambda s, c, v: 7, "it has 23 digits"),
    ],
)
def test_digits(answer, says):
    verdict = check.digits(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.digits(lambda s, c, v: long(v, s * s * c)).passed
    assert check.digits(lambda s, c, v: ...).passed is None


def effective(kinds):
    alike = sum(count * (count - 1) for count in Counter(kinds).values())
    return len(kinds) * (len(kinds) - 1) / alike if alike else math.inf


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda kinds: len(set(kinds)), "more faces would always find more"),
        (
            lambda kinds: len(kinds) ** 2 / sum(c * c for c in Counter(kinds).values()),
            "no pair with itself",
        ),
        (lambda kinds: 1 / effective(kinds), "upside down"),
        (lambda kinds: 2 * effective(kinds), "from both sides, (a, b) and (b, a), but the pairs"),
        (lambda kinds: effective(kinds) / 2, "from both sides, (a, b) and (b, a), but all"),
        (lambda kinds: effective(kinds) // 1, "not by `//`"),
        (lambda kinds: torch.tensor(effective(kinds)), "`.item()`"),
        (lambda kinds: 1 / (1 / effective(kinds)), "no pair is alike"),
        (lambda kinds: effective(kinds) if len(set(kinds)) < len(kinds) else 4.0, "math.inf"),
        (lambda kinds: 100, "you say 100"),
        (str, "not an object of type str"),
    ],
)
def test_birthdays(answer, says):
    verdict = check.birthdays(answer)
    assert verdict.passed is False
    assert says in verdict.message
    assert check.birthdays(effective).passed
    assert check.birthdays(lambda kinds: ...).passed is None
