"""Lesson 7: does it create, or copy?

Four ways to ask. `nearest`: is a painted face a known one? `halves` and `agreement`: do two
painters that share no picture paint the same face of the same noise? `counting`: how many are
there?
"""

from course_lib.novelty.agreement import (
    Agreement,
    agreement,
    compare_halves,
    correlations,
    mean_face,
    same_attributes,
)
from course_lib.novelty.counting import COUNTED, kind_of, possible, variety
from course_lib.novelty.halves import (
    SIZES,
    HalfRecipe,
    Pair,
    between,
    build,
    halves,
    latents_from,
    new_unet,
    noise_for,
    paint,
)
from course_lib.novelty.nearest import SPACES, Known, Nearest, copies, twins

__all__ = [
    "COUNTED",
    "SIZES",
    "SPACES",
    "Agreement",
    "HalfRecipe",
    "Known",
    "Nearest",
    "Pair",
    "agreement",
    "between",
    "build",
    "compare_halves",
    "copies",
    "correlations",
    "halves",
    "kind_of",
    "latents_from",
    "mean_face",
    "new_unet",
    "noise_for",
    "paint",
    "possible",
    "same_attributes",
    "twins",
    "variety",
]
