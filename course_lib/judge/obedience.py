"""Did a painter do what it was told? The judge looks at the pictures and compares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from course_lib.captions import HIDDEN, NOT_DRAWN
from course_lib.judge.network import Judge, JudgeError
from course_lib.judge.reading import read
from course_lib.judge.trust import Score


def is_so(value: str, seen: str) -> bool:
    """Whether what was asked of an attribute is what is seen; "yes" asks for any kind of it."""
    return seen == value or (value == "yes" and seen not in (NOT_DRAWN, HIDDEN))


def obedience(
    images: Tensor, asked: Sequence[Mapping[str, str]], judge: Judge | None = None
) -> dict[str, Score]:
    """How often each attribute is as it was asked for, by the judge.

    images: (B, 3, 64, 64) in [-1, 1]. asked: of each image attribute → value, as the facts of a
    `captions.Caption`. An eye colour counts only if both eyes have it: the judge is also shown the
    face made of its left half and the mirror image of that, and the one of its right half.
    "everything" counts the images in which all of it is so. JudgeError when numbers differ.
    """
    if len(images) != len(asked):
        raise JudgeError(f"{len(images)} images and {len(asked)} sets of facts: give as many")
    images = images.clamp(-1, 1)
    seen = read(images, judge=judge).names
    eyes = eye_colours(images, judge)
    right: dict[str, list[bool]] = {"everything": []}
    for i, facts in enumerate(asked):
        so = {name: is_so(value, seen[i][name]) for name, value in facts.items()}
        if so.get("eye_color"):
            so["eye_color"] = eyes[i] <= {facts["eye_color"]}
        for name, value in so.items():
            right.setdefault(name, []).append(value)
        right["everything"].append(all(so.values()))
    return {name: Score(sum(values), len(values)) for name, values in right.items()}


def eye_colours(images: Tensor, judge: Judge | None = None) -> list[set[str]]:
    """The colours of each face's eyes (B, 3, 64, 64): one if they match, none if both are hidden.

    An eye that a lock hides, or that winks, has no colour of its own.
    """
    halves = [read(half.clamp(-1, 1), judge=judge).names for half in _halves(images)]
    return [{one["eye_color"] for one in both} - {HIDDEN} for both in zip(*halves, strict=True)]


def mean_accuracy(scores: Mapping[str, Score]) -> float:
    """The mean over the attributes, rare ones counting as much as frequent ones."""
    shares = [score.accuracy for name, score in scores.items() if name != "everything"]
    return sum(shares) / len(shares) if shares else math.nan


def _halves(images: Tensor) -> tuple[Tensor, Tensor]:
    """The faces whose both halves are the left one, and those of the right one, (B, 3, S, S)."""
    left, right = images.chunk(2, dim=3)
    return torch.cat([left, left.flip(3)], 3), torch.cat([right.flip(3), right], 3)
