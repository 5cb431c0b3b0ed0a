"""How right a translation is, which a CycleGAN cannot know: on exact pairs that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from course_lib import judge
from course_lib.cyclegan.domains import HAIR, Domains, Paired
from course_lib.cyclegan.learning import translate
from course_lib.cyclegan.players import Translators

LEVELS = 127.5  # of 255, in one unit of [-1, 1]
SEEN = 8  # levels by which a pixel differs if it differs: less is rounding


class Errors(NamedTuple):
    """Mean absolute errors in levels of 255, where the exact pair differs and where it does not."""

    inside: float
    outside: float


def differs(inputs: Tensor, targets: Tensor) -> Tensor:
    """Where a pair differs, bool (B, 1, S, S), from its pictures (B, 3, S, S) in [-1, 1]."""
    return ((inputs - targets).abs().amax(1, keepdim=True) * LEVELS) > SEEN


def errors(outputs: Tensor, inputs: Tensor, targets: Tensor) -> Errors:
    """How far outputs are from the targets, and how far their rest is from the inputs.

    All (B, 3, S, S) in [-1, 1]. Every pixel counts alike, so a face with much hair counts more.
    """
    inside = differs(inputs, targets)
    off = (outputs.clamp(-1, 1) - targets).abs().mean(1, keepdim=True) * LEVELS
    return Errors(off[inside].mean().item(), off[~inside].mean().item())


def at_the_edge(outputs: Tensor, inputs: Tensor, targets: Tensor) -> float:
    """The share of the error outside that lies right beside where the pair differs, one pixel off.

    All (B, 3, S, S) in [-1, 1]. 0 if there is no error.
    """
    inside = differs(inputs, targets)
    edge = F.max_pool2d(inside.float(), 3, stride=1, padding=1).bool() & ~inside
    off = (outputs.clamp(-1, 1) - targets).abs().mean(1, keepdim=True)
    return (off[edge].sum() / off[~inside].sum().clamp(min=1e-9)).item()


def way(copying: float, found: float, bound: float) -> float:
    """The part of the way from copying to the bound that an error has come: 0 none, 1 all of it."""
    return (copying - found) / (copying - bound)


def as_asked(images: Tensor, colour: str) -> float:
    """The share of pictures (B, 3, 64, 64) whose hair has that colour, by the judge.

    Of several colours, joined by "+", any will do.
    """
    seen = judge.read(images.clamp(-1, 1)).names
    return sum(names[HAIR] in colour.split("+") for names in seen) / len(seen)


def kept(images: Tensor, targets: Tensor) -> float:
    """The share of all attributes but hair that the judge reads alike from images and targets."""
    each = kept_each(images, targets)
    return sum(each.values()) / len(each)


def kept_each(images: Tensor, targets: Tensor) -> dict[str, float]:
    """Attribute → the share of pictures (B, 3, 64, 64) in which it is read as in the targets."""
    found, right = (judge.read(some.clamp(-1, 1)).names for some in (images, targets))
    return {
        name: sum(a[name] == b[name] for a, b in zip(found, right, strict=True)) / len(right)
        for name in right[0]
        if name != HAIR
    }


def measure(translators: Translators | None, pairs: Paired, domains: Domains) -> dict[str, float]:
    """All that a table says of both generators, the mean of both ways; None: of copying.

    "hair" and "kept" are shares by the judge, "inside" and "outside" are `errors`, and
    "edge" is the share of the latter `at_the_edge`.
    """
    both = [pairs.first.tensor(), pairs.second.tensor()]
    found = []
    for way_ in (0, 1):
        inputs, targets = both if way_ == 0 else both[::-1]
        outputs = inputs
        if translators:
            generator = translators.there if way_ == 0 else translators.back
            outputs = translate(generator, inputs)
        found.append(_measured(outputs, inputs, targets, domains[1 - way_]))
    return {name: (found[0][name] + found[1][name]) / 2 for name in found[0]}


def _measured(outputs: Tensor, inputs: Tensor, targets: Tensor, colour: str) -> Mapping[str, float]:
    return {
        "hair": as_asked(outputs, colour),
        "kept": kept(outputs, targets),
        **errors(outputs, inputs, targets)._asdict(),
        "edge": at_the_edge(outputs, inputs, targets),
    }
