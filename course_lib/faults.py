"""The ladder of faults: real faces, spoilt in ways we know, to test a ruler on.

`spoil(faces.load("train"), "blur", 2)` are 600 faces, blurred by 2 pixels; `LADDER` has all ways.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.faces import Faces


@dataclass(frozen=True)
class Fault:
    """One way to spoil faces, stronger and stronger.

    words: what is done, with {} for the strength. strengths: three rungs, rising.
    choose: (faces, n, strength, draw) → which rows to take.
    change: (images, mean face (3, S, S), strength, draw) → images.
    """

    words: str
    strengths: tuple[float, float, float]
    choose: Callable[[Faces, int, float, np.random.Generator], np.ndarray]
    change: Callable[[Tensor, Tensor, float, np.random.Generator], Tensor]


def spoil(faces: Faces, fault: str, strength: float, n: int = 600, seed: int = 0) -> Tensor:
    """n of the faces, spoilt in one of `LADDER`'s ways: images (n, 3, S, S).

    The same seed takes the same faces for all faults that do not choose among them. "missing"
    needs faces with attributes.
    """
    if fault not in LADDER:
        raise CourseError(f"unknown fault {fault!r}; known faults: {', '.join(LADDER)}")
    if len(faces) < n:
        raise CourseError(f"{n} of {len(faces)} faces cannot be chosen; n is smaller or equal")
    draw = np.random.Generator(np.random.PCG64(seed))
    rows = LADDER[fault].choose(faces, n, strength, draw)
    images = faces.tensor(rows).contiguous()
    return LADDER[fault].change(images, _mean_face(faces), strength, draw)


@functools.lru_cache(maxsize=1)
def _mean_face(faces: Faces) -> Tensor:
    return torch.from_numpy(faces.images.mean(axis=0)).permute(2, 0, 1).float() / 127.5 - 1


def _any(faces: Faces, n: int, _: float, draw: np.random.Generator) -> np.ndarray:
    return draw.permutation(len(faces))[:n]


def _few(faces: Faces, n: int, copies: float, draw: np.random.Generator) -> np.ndarray:
    """Only n / copies different ones."""
    different = max(1, math.ceil(n / copies))
    return draw.permutation(len(faces))[:n][np.arange(n) % different]


def _without_colours(faces: Faces, n: int, share: float, draw: np.random.Generator) -> np.ndarray:
    """None with the first share of the hair colours, in the order of the alphabet."""
    if faces.attributes is None:
        raise CourseError(f"{faces.name}: whose attributes are unknown cannot be chosen by them")
    hair = np.array([face["hair_color"] for face in faces.attributes])
    known = np.unique(hair)
    left = np.flatnonzero(np.isin(hair, known[round(share * len(known)) :]))
    if len(left) < n:
        raise CourseError(f"only {len(left)} faces have the other hair colours; n is at most that")
    return draw.permutation(left)[:n]


def _as_it_is(images: Tensor, *_: object) -> Tensor:
    return images


def _noise(images: Tensor, _: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    noise = torch.from_numpy(draw.standard_normal(images.shape, dtype=np.float32))
    return (images + strength * noise).clamp(-1, 1)


def _blur(images: Tensor, _: Tensor, sigma: float, __: np.random.Generator) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur  # here: it takes seconds to import

    side = 2 * math.ceil(3 * sigma) + 1  # three sigma on each side hold all of a Gaussian
    return gaussian_blur(images, [side, side], [sigma, sigma])


def _towards_mean(images: Tensor, mean: Tensor, share: float, _: np.random.Generator) -> Tensor:
    return images.lerp(mean.expand_as(images), share)


def _patches(images: Tensor, side: int) -> Tensor:
    """(B, 3, S, S) → (B, side², 3, S/side, S/side), each patch by itself."""
    b, c, s, _ = images.shape
    cut = images.reshape(b, c, side, s // side, side, s // side)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(b, side**2, c, s // side, s // side)


def _together(patches: Tensor) -> Tensor:
    """`_patches` backwards."""
    b, number, c, s, _ = patches.shape
    side = math.isqrt(number)
    grid = patches.reshape(b, side, side, c, s, s)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(b, c, side * s, side * s)


def _shuffle(images: Tensor, _: Tensor, share: float, draw: np.random.Generator) -> Tensor:
    """A share of each picture's 16 patches changes places."""
    patches = _patches(images, 4)
    for picture in patches:
        places = draw.permutation(16)[: round(16 * share)]
        picture[places] = picture[draw.permutation(places)]
    return _together(patches)


def _mix(images: Tensor, _: Tensor, quarters: float, draw: np.random.Generator) -> Tensor:
    """Some quarters of each picture come from other pictures."""
    patches = _patches(images, 2)
    for quarter in range(int(quarters)):
        patches[:, quarter] = patches[draw.permutation(len(images)), quarter]
    return _together(patches)


def _swap(images: Tensor, _: Tensor, share: float, draw: np.random.Generator) -> Tensor:
    """Red and blue swapped in a share of the pictures."""
    images = images.clone()
    rows = draw.permutation(len(images))[: round(share * len(images))]
    images[rows] = images[rows].flip(1)
    return images


LADDER: Mapping[str, Fault] = {
    "noise": Fault("noise of {}", (0.1, 0.2, 0.4), _any, _noise),
    "blur": Fault("blurred by {} pixels", (0.5, 1, 2), _any, _blur),
    "mean": Fault("{} of the way to the mean face", (0.1, 0.4, 1), _any, _towards_mean),
    "duplicates": Fault("each face {} times", (4, 16, 64), _few, _as_it_is),
    "missing": Fault(
        "{} of the hair colours missing", (0.25, 0.5, 0.75), _without_colours, _as_it_is
    ),
    "shuffled": Fault("{} of the 16 patches shuffled", (0.25, 0.5, 1), _any, _shuffle),
    "mixed": Fault("{} quarters from other faces", (1, 2, 3), _any, _mix),
    "swapped": Fault("red and blue swapped in {}", (0.25, 0.5, 1), _any, _swap),
}
