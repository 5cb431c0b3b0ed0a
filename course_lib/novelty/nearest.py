"""Which known face is most like this one, and is it a copy?

    known = novelty.Known(faces.load("train"))
    found = known.nearest(images)              # how far, and which
    limit = known.limit(unseen)                # nearer than that is a copy
    (found.distance < limit).float().mean()    # the near-copy share

Distances are taken in three spaces, since each is blind to something: the picture in 16×16 pixels,
fixed filters drawn by chance (`metrics.convolution`) and what the judge sees of strokes. None has a
natural scale, so real faces that nobody has learnt from give it: how near do *they* come to the
known ones, by chance alone? (Carlini et al. 2023, arXiv 2301.13188, calibrate against neighbours
among the known ones; Meehan et al. 2020, arXiv 2004.05675, against held-out data, as here.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import judge, metrics
from course_lib.errors import CourseError
from course_lib.faces import Faces
from course_lib.judge.network import check_images

Space = Callable[[Tensor], Tensor]  # images (B, 3, 64, 64) in [-1, 1] → features (B, F)
BATCH = 256
BY_CHANCE = 0.02  # of real faces that nobody learnt from, so many are called copies


def pixels(images: Tensor) -> Tensor:
    """Images (B, 3, S, S) → (B, 768): the picture in 16×16 pixels."""
    return F.adaptive_avg_pool2d(images, 16).flatten(1)


def strokes(images: Tensor) -> Tensor:
    """Images (B, 3, 64, 64) → (B, F): the judge's second stage, each quarter by itself."""
    eye = judge.load()
    return eye.features(images.to(eye.temperature.device), "strokes").cpu()


SPACES: dict[str, Space] = {
    "pixels": pixels, "convolution": metrics.convolution, "strokes": strokes,
}  # fmt: skip


class Nearest(NamedTuple):
    """Of each of B images the most similar known face.

    distance: (B,), the root of the mean square over the features, each in its own unit.
    row: (B,), which of the known faces. mirrored: (B,), whether its mirror image is meant.
    """

    distance: Tensor
    row: Tensor
    mirrored: Tensor


def twins(known: Faces, found: Nearest) -> Tensor:
    """The known faces that were found, mirrored where that is meant: (B, 3, S, S) in [-1, 1]."""
    images = known.tensor(found.row.tolist())
    return torch.where(found.mirrored.view(-1, 1, 1, 1), images.flip(-1), images)


class Known:
    """Faces that somebody has learnt from, to be looked up by likeness.

    known: Faces, or images (N, 3, 64, 64) in [-1, 1]. space: of `SPACES`, or a function of one's
    own. mirrored: whether the mirror images were learnt from, too, as by most painters of the
    course. unit: (F,), what each feature's differences are divided by; the standard deviation over
    the known faces unless it is given.
    """

    def __init__(
        self,
        known: Faces | Tensor,
        space: str | Space = "pixels",
        *,
        mirrored: bool = True,
        unit: Tensor | None = None,
    ):
        if isinstance(space, str) and space not in SPACES:
            raise CourseError(f"there is no space {space!r}; choose one of {', '.join(SPACES)}")
        self.space = SPACES[space] if isinstance(space, str) else space
        self.number = len(known)
        self.unit = torch.ones(())
        plain = self.features(known)
        if unit is None:
            unit = plain.std(0) if self.number > 1 else torch.ones(plain.shape[1])
        self.unit = unit.clamp_min(1e-6)
        plain = plain / self.unit
        both = [plain, self.features(known, mirrored=True)] if mirrored else [plain]
        self.known = torch.cat(both)

    @torch.no_grad()
    def features(self, images: Faces | Tensor, mirrored: bool = False) -> Tensor:
        """(B, F) of images or of their mirror images, in units."""
        found = []
        for start in range(0, len(images), BATCH):  # as floats, many would fill the memory
            part = images[start : start + BATCH]
            part = part.tensor() if isinstance(part, Faces) else part.detach().cpu().float()
            check_images(part)
            part = part.clamp(-1, 1)
            found.append(self.space(part.flip(-1) if mirrored else part))
        return torch.cat(found) / self.unit

    def nearest(self, images: Faces | Tensor) -> Nearest:
        """The nearest known face of each image."""
        features = self.features(images)
        found = [
            (torch.cdist(part, self.known) / features.shape[1] ** 0.5).min(1)
            for part in features.split(BATCH)
        ]
        distance = torch.cat([one.values for one in found])
        place = torch.cat([one.indices for one in found])
        return Nearest(distance, place % self.number, place >= self.number)

    def limit(self, unseen: Faces | Tensor, by_chance: float = BY_CHANCE) -> float:
        """The distance under which a picture is called a copy.

        unseen: real faces that nobody learnt from; the share `by_chance` of them is nearer to a
        known face than the limit. Measure others than these with it.
        """
        if not 0 < by_chance < 1:
            raise CourseError(f"by_chance is {by_chance}; choose a share between 0 and 1")
        return self.nearest(unseen).distance.quantile(by_chance).item()


def copies(known: Known, images: Faces | Tensor, limit: float) -> judge.Score:
    """How many of the images are nearer to a known face than the limit, with its interval."""
    near = known.nearest(images).distance < limit
    return judge.Score(int(near.sum()), len(near))


def mean_ratio(own: Tensor, other: Tensor) -> float:
    """The geometric mean of distances (B,) over other distances (B,)."""
    return (own / other).clamp_min(1e-6).log().mean().exp().item()
