"""How far two painters agree on what the same noise should become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib import faces, judge
from course_lib.errors import CourseError
from course_lib.novelty.nearest import Known, mean_ratio

ASKED = ("hair_color", "back_hair", "fringe", "skin", "background", "clothes", "glasses")


class Agreement(NamedTuple):
    """How alike the pictures of two painters are, of the same noise.

    correlation: of the pictures, less the mean face: 1 is the same, 0 nothing in common.

    attributes: the share of what the judge names (`ASKED`) that is the same in both. by_chance: the
    two numbers of pictures of *different* noise, which have only the style in common.
    """

    correlation: float
    attributes: float
    by_chance: tuple[float, float]


def correlations(one: Tensor, other: Tensor, mean: Tensor) -> Tensor:
    """(B,), of images (B, 3, S, S) less a mean image (3, S, S), over all their numbers."""
    if one.shape != other.shape:
        raise CourseError(f"images {tuple(one.shape)} and {tuple(other.shape)}: give as many")
    a, b = ((images - mean).flatten(1) for images in (one, other))
    return torch.nn.functional.cosine_similarity(a, b)


def same_attributes(
    one: Sequence[dict[str, str]], other: Sequence[dict[str, str]], names: Sequence[str] = ASKED
) -> float:
    """The share of the named attributes that both readings see alike."""
    alike = [a[name] == b[name] for a, b in zip(one, other, strict=True) for name in names]
    return sum(alike) / len(alike)


def agreement(one: Tensor, other: Tensor, mean: Tensor | None = None) -> Agreement:
    """Of images (B, 3, 64, 64) in [-1, 1] that two painters made of the same B noises.

    mean: the mean face, (3, 64, 64); that of the bundled faces unless it is given. CourseError for
    fewer than two images, or of different number.
    """
    if len(one) < 2:
        raise CourseError("give two images or more, so that there is a chance to compare with")
    mean = mean_face() if mean is None else mean
    seen = [judge.read(images.clamp(-1, 1)).names for images in (one, other)]
    turned = [*seen[1][1:], seen[1][0]]
    return Agreement(
        correlations(one, other, mean).mean().item(),
        same_attributes(*seen),
        (
            correlations(one, other.roll(-1, 0), mean).mean().item(),
            same_attributes(seen[0], turned),
        ),
    )


def mean_face() -> Tensor:
    """The mean of the bundled training faces, (3, 64, 64) in [-1, 1]."""
    return faces.load("train").tensor().mean(0)


def compare_halves(
    painted: Sequence[Tensor], halves: Sequence[faces.Faces], unseen: faces.Faces
) -> dict[str, float]:
    """What can be said of two painters of two halves of the faces.

    painted: images (B, 3, 64, 64) of each, of the same B noises. halves: what each has learnt from.
    unseen: real faces that neither has. The distances are of `Known` in pixels, in units of all.
    """
    agreed = agreement(*painted)
    unit = Known(unseen).unit
    known = [Known(half, mirrored=False, unit=unit) for half in halves]
    own = torch.cat([known[i].nearest(painted[i]).distance for i in (0, 1)])
    other = torch.cat([known[1 - i].nearest(painted[i]).distance for i in (0, 1)])
    return {
        "correlation": agreed.correlation,
        "of other noises": agreed.by_chance[0],
        "same attributes": agreed.attributes,
        "of other noises, attributes": agreed.by_chance[1],
        "nearest in own half": own.mean().item(),
        "in the other half": other.mean().item(),
        "own / other": mean_ratio(own, other),
        "unseen real, own half": known[0].nearest(unseen).distance.mean().item(),
    }
