"""How many different faces are there, and how many does a painter know?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from course_lib.captions import vocabulary
from course_lib.errors import CourseError

# A few attributes with many values: over all of them hardly two faces agree, whoever paints.
COUNTED = ("hair_color", "eye_color", "back_hair", "fringe", "mouth")


def possible(attributes: Sequence[str] | None = None) -> int:
    """How many faces the style can draw that differ in at least one of these attributes.

    attributes: all of them unless given. A colour that cannot be seen (of closed eyes, of a ribbon
    that is not there) makes no difference. Tilt, shift, size and strands are not counted.
    CourseError for an attribute that is unknown.
    """
    entries = vocabulary()["attributes"]
    names = list(entries) if attributes is None else list(attributes)
    if unknown := [name for name in names if name not in entries]:
        raise CourseError(f"unknown attribute {unknown[0]!r}; known: {', '.join(entries)}")
    factors = {name: len(entries[name]["values"]) for name in names}
    for name in names:
        for cause, hiding in (entries[name].get("hidden_when") or {}).items():
            if cause not in names:
                factors[name] += 1  # "hidden" is one more value
                continue
            shown = len(entries[cause]["values"]) - len(hiding)
            factors[cause] = shown * factors.pop(name) + len(hiding)
    return math.prod(factors.values())


def kind_of(face: Mapping[str, str], attributes: Sequence[str] = COUNTED) -> tuple[str, ...]:
    """The values of these attributes: two faces with the same are of one kind."""
    return tuple(face[name] for name in attributes)


def variety(seen: Sequence[Mapping[str, str]], attributes: Sequence[str] = COUNTED) -> float:
    """The effective number of kinds: among so many, all as frequent, two would agree as often.

    seen: of each picture attribute → value, as `judge.read(images).names`. n (n - 1) / 2 pairs over
    those that agree in all the attributes: the inverse of Simpson's index, as in the birthday test
    of Arora & Zhang 2017 (arXiv 1706.08224). Infinite where no two agree: then there are too few
    pictures, or too many attributes, to say. CourseError for fewer than two pictures.
    """
    n = len(seen)
    if n < 2:
        raise CourseError(f"{n} pictures: give two or more, better a thousand")
    kinds = Counter(kind_of(face, attributes) for face in seen)
    agree = sum(count * (count - 1) // 2 for count in kinds.values())
    return n * (n - 1) / 2 / agree if agree else math.inf
