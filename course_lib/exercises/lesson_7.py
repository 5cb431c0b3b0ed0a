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
    # Half of one image and half of its mirror image: near to both, nearest to neither.
    known[7] = (known[4] + known[4].flip(-1)) / 2
    known[1] = known[8].flip(-1, -2)  # who mirrors the wrong way finds this one
    rows = torch.tensor([4, 0, 8, 2, 5, 4])
    images = known[rows] + 0.05 * torch.randn(6, 3, 8, 8)
    _is_row(call(nearest, images, known), rows, images, known, "an image beside itself, noised")
    turned = images.flip(-1)
    _is_row(call(nearest, turned, known), rows, turned, known, "an image and its mirror image")
    return "found as they are, and mirrored: a copy cannot hide by turning round"


def _is_row(answer: Tensor, right: Tensor, images: Tensor, known: Tensor, what: str) -> None:
    """Require the rows of the nearest known images; say which mistake it looks like."""
    wanted = (
        f"Return a tensor of {len(images)} whole numbers, one an image "
        "(`.min(1)` gives distances *and* rows; `.argmin(1)` the rows alone)"
    )
    require(isinstance(answer, Tensor), f"{wanted}, not {kind(answer)}.")
    require(
        answer.shape == right.shape and not answer.is_floating_point(),
        f"{wanted}; yours is {tuple(answer.shape)} of {answer.dtype}.",
    )
    require(
        int(answer.max()) < len(known),
        f"There are {len(known)} known images, and you name number {int(answer.max())}: with "
        "known and mirrored ones in a row, the mirror image of number i has number N + i.",
    )
    answer = answer.cpu()
    if torch.equal(answer, right):
        return
    plain = torch.cdist(images.flatten(1), known.flatten(1))
    turned = torch.cdist(images.flatten(1), known.flip(-1).flatten(1))
    upside_down = torch.cdist(images.flatten(1), known.flip(-2).flatten(1))
    for mistaken, why in (
        (plain.argmax(1), "those are the *farthest* ones."),
        (plain.argmin(1), "compare with `known.flip(-1)`, too, and take the nearer of both."),
        (turned.argmin(1), "compare with the known ones as they are, too, not only mirrored."),
        (
            (plain + turned).argmin(1),
            "you add the two distances, or take their mean. An image need be near to *one* of the "
            "two: take the smaller.",
        ),
        (
            torch.minimum(plain, upside_down).argmin(1),
            "your mirror images stand on their heads: left and right is the last dimension.",
        ),
    ):
        require(not torch.equal(answer, mistaken), f"{what}: {why}")
    require(
        False,
        f"{what}: of {len(right)} images you found {int((answer == right).sum())}. Compare all "
        "numbers of two pictures, and mirror left and right (`flip(-1)`), nothing else.",
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
            f"Return a number, not {kind(answer)}"
            + (" (`.item()` makes one of a tensor)." if isinstance(answer, Tensor) else "."),
        )
        if math.isclose(answer, right, rel_tol=1e-6):
            continue
        _why_not_so_many(answer, kinds, right, what)
    try:
        alone = call(effective, four)
    except ZeroDivisionError:
        require(False, "Four faces of four kinds: no pair is alike. Return `math.inf` there.")
    require(alone == math.inf, "Where no two faces are of one kind, return `math.inf`: too few.")
    return "pairs over pairs alike; and without a pair alike it cannot say"


def _why_not_so_many(answer: float, kinds: list, right: float, what: str) -> None:
    n = len(kinds)
    shares = [kinds.count(one) / n for one in set(kinds)]
    for mistaken, why in (
        (
            len(set(kinds)),
            "you counted the kinds that occur. Rare ones count as much as common ones there, and "
            "more faces would always find more of them.",
        ),
        (
            1 / sum(share**2 for share in shares),
            f"{answer:.2f}, near it. A face makes no pair with itself: count pairs of two "
            "*different* faces, c (c - 1) / 2 of a kind that occurs c times.",
        ),
        (1 / right, "upside down. That is the share of pairs alike; asked for is one over it."),
        (
            2 * right,
            "twice too much. You count every pair of faces from both sides, (a, b) and (b, a), but "
            "the pairs alike only once.",
        ),
        (
            right / 2,
            "half of it. You count the pairs alike from both sides, (a, b) and (b, a), but all "
            "pairs only once.",
        ),
        (right // 1, f"{right:.2f} is no whole number: divide by `/`, not by `//`."),
    ):
        require(not math.isclose(answer, mistaken), f"{what}: {why}")
    require(False, f"{what}: {right:.2f} (pairs over pairs alike), you say {answer:.2f}.")


@checker("7.3")
def digits(count: Callable) -> str:
    """`count(side, channels, levels)`: how many digits the number of possible images has."""
    # In the first all known mistakes differ from each other, and from the right answer.
    for side, channels, levels in ((5, 3, 2), (1, 1, 10), (64, 3, 256)):
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
    right = _digits(levels, values)
    if answer == right:
        return
    for mistaken, why in (
        (
            _digits(values, levels),
            "that is the article's mistake. Of how many values may each one be chosen, and how "
            "often does one choose?",
        ),
        (
            _digits(levels, side**2),
            f"a pixel has {channels} values, each chosen by itself.",
        ),
        (
            _digits(levels, side * channels),
            f"a picture with sides of {side} has {side} × {side} pixels.",
        ),
        (
            len(str(levels * values)),
            f"one chooses again and again, {levels} · {levels} · …: levels to the *power* of the "
            "number of values, not times it.",
        ),
        (right - 1, "one too few. 1000 = 10³ has four digits, not three."),
        (
            levels**values if values < 100 else -1,
            "that is the number itself; asked for is how many digits it has.",
        ),
    ):
        require(answer != mistaken, f"{what}: {why}")
    require(False, f"{what}: it has {right:,} digits, you say {answer:,}.")


def _digits(base: int, power: int) -> int:
    """How many digits base to the power has; by logarithms, since Python refuses to write it."""
    return math.floor(power * math.log10(base) + 1e-9) + 1
