"""Checkers of lesson 7: the nearest known face, the birthday test, how many pictures there are."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.exercises.frame import call, checker, kind, require


@checker("7.1")
def nearest_face(nearest: Callable) -> str:
    """`nearest(images, known)`: of each image the row of the most similar known one, or mirrored.

    images: (B, 3, S, S); known: (N, 3, S, S); the answer: (B,) whole numbers.
    """
    known = torch.rand(9, 3, 8, 8) * 2 - 1
    rows = torch.tensor([4, 0, 8, 2, 5, 4])
    images = known[rows] + 0.05 * torch.randn(6, 3, 8, 8)
    _is_row(call(nearest, images, known), rows, images, known, "an image beside itself, noised")
    turned = images.flip(-1)
    _is_row(call(nearest, turned, known), rows, turned, known, "an image and its mirror image")
    return "found as they are, and mirrored: a copy cannot hide by turning round"


def _is_row(answer: Tensor, right: Tensor, images: Tensor, known: Tensor, what: str) -> None:
    """Require the rows of the nearest known images; say which mistake it looks like."""
    wanted = f"Return a tensor of {len(images)} whole numbers, one an image"
    require(isinstance(answer, Tensor), f"{wanted}, not {kind(answer)}.")
    require(
        answer.shape == right.shape and not answer.is_floating_point(),
        f"{wanted}; yours is {tuple(answer.shape)} of {answer.dtype}. "
        "`.min(1)` gives distances *and* rows; `.argmin(1)` the rows alone.",
    )
    require(
        int(answer.max()) < len(known),
        f"There are {len(known)} known images, and you name number {int(answer.max())}: with "
        "known and mirrored ones in a row, the mirror image of number i has number N + i.",
    )
    if torch.equal(answer.cpu(), right):
        return
    plain = torch.cdist(images.flatten(1), known.flatten(1))
    require(
        not torch.equal(answer.cpu(), plain.argmax(1)),
        f"{what}: those are the *farthest* ones.",
    )
    require(
        not torch.equal(answer.cpu(), plain.argmin(1)),
        f"{what}: compare with `known.flip(-1)`, too, and take the nearer of both.",
    )
    require(
        False,
        f"{what}: of {len(right)} images you found {int((answer.cpu() == right).sum())}. Compare "
        "all numbers of two pictures, and mirror left and right (`flip(-1)`), nothing else.",
    )


@checker("7.2")
def birthdays(effective: Callable) -> str:
    """`effective(kinds)`: pairs of faces over pairs of one kind, the effective number of kinds."""
    four = [(hair, eyes) for hair in ("red", "blue") for eyes in ("green", "grey")]
    for kinds, right, what in (
        ([*four[:1] * 8, *four], 66 / 36, "twelve faces, nine of one kind"),
        (four[:2] * 2, 6 / 2, "four faces of two kinds, a b a b"),
        (four * 3, 66 / 12, "twelve faces of four kinds"),
    ):
        answer = call(effective, list(kinds))
        require(
            isinstance(answer, int | float) and not isinstance(answer, bool),
            f"Return a number, not {kind(answer)}.",
        )
        if math.isclose(answer, right, rel_tol=1e-6):
            continue
        _why_not_so_many(answer, kinds, right, what)
    alone = call(effective, four)
    require(alone == math.inf, "Where no two faces are of one kind, return `math.inf`: too few.")
    return "pairs over pairs alike; and without a pair alike it cannot say"


def _why_not_so_many(answer: float, kinds: list, right: float, what: str) -> None:
    n = len(kinds)
    shares = [kinds.count(one) / n for one in set(kinds)]
    require(
        not math.isclose(answer, len(set(kinds))),
        f"{what}: you counted the kinds that occur. Rare ones count as much as common ones there, "
        "and more faces would always find more of them.",
    )
    require(
        not math.isclose(answer, 1 / sum(share**2 for share in shares)),
        f"{what}: {answer:.2f}, near it. A face makes no pair with itself: count pairs of two "
        "*different* faces, c (c - 1) / 2 of a kind that occurs c times.",
    )
    require(
        not math.isclose(answer, 1 / right),
        f"{what}: upside down. That is the share of pairs alike; asked for is one over it.",
    )
    require(False, f"{what}: {right:.2f} (pairs over pairs alike), you say {answer:.2f}.")


@checker("7.3")
def digits(count: Callable) -> str:
    """`count(side, channels, levels)`: how many digits the number of possible images has."""
    for side, channels, levels in ((1, 1, 10), (2, 3, 2), (64, 3, 256)):
        answer = call(count, side, channels, levels)
        require(
            isinstance(answer, int) and not isinstance(answer, bool),
            f"Return a whole number, not {kind(answer)}.",
        )
        _is_count(answer, side, channels, levels)
    return "29,593 digits for 64 × 64 × 3 values of 256 levels; the article's number has 1,047"


def _is_count(answer: int, side: int, channels: int, levels: int) -> None:
    """Require the digits of levels to the power of the number of values."""
    what = f"{side} × {side} pixels, {channels} channels, {levels} levels"
    values = side**2 * channels
    if answer == _digits(levels, values):
        return
    require(
        values == 1 or answer != _digits(values, levels),
        f"{what}: that is the article's mistake. Of how many values may each one be chosen, and "
        "how often does one choose?",
    )
    require(
        channels == 1 or answer != _digits(levels, side**2),
        f"{what}: a pixel has {channels} values, each chosen by itself.",
    )
    require(
        answer != _digits(levels, values) - 1,
        f"{what}: one too few. 1000 = 10³ has four digits, not three.",
    )
    require(
        answer != levels**values,
        f"{what}: that is the number itself; asked for is how many digits it has.",
    )
    require(False, f"{what}: it has {_digits(levels, values):,} digits, you say {answer:,}.")


def _digits(base: int, power: int) -> int:
    """How many digits base to the power has; by logarithms, since Python refuses to write it."""
    return math.floor(power * math.log10(base) + 1e-9) + 1
