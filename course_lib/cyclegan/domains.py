"""Pictures of two domains: unpaired, as a CycleGAN gets them, and in exact pairs, for the ruler."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from torch import Tensor

from course_lib import faces
from course_lib.errors import CourseError
from course_lib.training import derive

Domains = tuple[str, str]  # hair colours; several that make one domain are joined by "+"

AQUA_PURPLE, BLACK_BLONDE = ("aqua", "purple"), ("black", "blonde")
COLOURS_BLACK = ("red+green+blue", "black")
PAIRED_SEED, TEST_SEED = 8003, 8600  # of drawings; the bundled ones are of seed 2023
HAIR = "hair_color"


class Unpaired:
    """Pictures of two domains, with nothing that says which belongs to which; a `training.Data`.

    Each epoch shuffles both anew, so a picture meets another partner every time. Faces of any
    source, as long as they have one size, a multiple of 4; CourseError where they have not, or
    where there are none.
    """

    def __init__(self, first: faces.Faces, second: faces.Faces, seed: int = 0):
        sizes = [some.images.shape[1:] for some in (first, second)]
        if sizes[0] != sizes[1]:
            raise CourseError(
                f"the first domain's pictures are {sizes[0][0]}×{sizes[0][1]}, the second's "
                f"{sizes[1][0]}×{sizes[1][1]}: load both with the same size"
            )
        if sizes[0][0] % 4 or sizes[0][1] % 4:
            raise CourseError(
                f"the pictures are {sizes[0][0]}×{sizes[0][1]}; the generators need sides that are "
                "multiples of 4: load them with size=64"
            )
        if not (len(first) and len(second)):
            raise CourseError("one of the two domains has no picture: give more faces, or others")
        self.first, self.second, self.seed = first, second, seed
        self.rows = [np.arange(len(some)) for some in (first, second)]

    def __len__(self) -> int:
        return min(len(self.first), len(self.second))

    def fingerprint(self) -> str:
        return f"{self.first.fingerprint()} {self.second.fingerprint()}"

    def in_epoch(self, epoch: int) -> Unpaired:
        other = copy(self)
        chance = np.random.default_rng(derive(self.seed, "partners", epoch))
        other.rows = [chance.permutation(rows) for rows in self.rows]
        return other

    def tensor(self, indices: Any) -> tuple[Tensor, Tensor]:
        """B pictures of each domain, two times (B, 3, S, S) in [-1, 1]."""
        indices = np.asarray(indices)
        both = zip((self.first, self.second), self.rows, strict=True)
        first, second = (some.tensor(rows[indices]) for some, rows in both)
        return first, second


class Paired(Unpaired):
    """Two domains of which picture i of one is picture i of the other, but for what differs."""

    def in_epoch(self, epoch: int) -> Paired:
        return self


def of_domains(data: faces.Faces, domains: Domains, seed: int = 0) -> Unpaired:
    """The faces of the course's own style with the one hair colour, and those with the other.

    FacesError for faces of which nobody has said what is drawn; CourseError if none has the colour.
    """
    first, second = (data.filter(**wanted(domains, colour)) for colour in domains)
    for colour, some in zip(domains, (first, second), strict=True):
        if not len(some):
            raise CourseError(
                f"no face with {colour.replace('+', ' or ')} hair among these {len(data):,}: "
                "take more of them"
            )
    return Unpaired(first, second, seed)


def exact_pairs(n: int, domains: Domains, seed: int = TEST_SEED) -> Paired:
    """n faces, drawn twice, once with each hair colour: the brows have it too, all else is equal.

    A CycleGAN never learns from them. n < 128 are drawn on the spot, more are kept in the cache.
    """
    first, second = (
        faces.render(n, seed, attributes=wanted(domains, colour)) for colour in domains
    )
    return Paired(first, second)


def wanted(domains: Domains, colour: str) -> dict[str, list[str]]:
    """What to hold fixed so that hair alone can have the domains' colours.

    Aqua and purple eyes have nearly the colours of such hair, so faces with them are left out. To
    black and blonde hair nothing is done: dark grounds, yellow clothes and all skins stay.
    """
    hair = colour.split("+")
    if domains != AQUA_PURPLE:
        return {HAIR: hair}
    eyes = [eye for eye in faces.attribute_values()["eye_color"] if eye not in domains]
    return {HAIR: hair, "eye_color": eyes}
