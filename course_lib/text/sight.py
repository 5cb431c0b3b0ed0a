"""The image side: faces as vectors beside those of their captions, and both sides together."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib import judge, pretrained, settings
from course_lib.text.encoder import TextEncoder


class Looks(NamedTuple):
    """What the image side makes of B faces: vectors (B, W) beside thoughts, and beside tokens."""

    vector: Tensor
    tokens: Tensor


class Sight(nn.Module):
    """What the judge sees in faces, as vectors; the judge itself does not change.

    features: how many numbers the judge sums a face up in. middle, spread: of these numbers over
    the faces that it learnt from, set once by `measure`.
    """

    def __init__(self, features: int, width: int, hidden: int = 256):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, hidden), nn.ReLU())
        self.heads = nn.Linear(hidden, 2 * width)
        self.sharpness = nn.Parameter(torch.tensor(math.log(10.0)))  # CLIP's learnt temperature
        self.register_buffer("middle", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))

    def measure(self, features: Tensor) -> None:
        """Take the middle and the spread of features (N, F)."""
        self.middle.copy_(features.mean(0))
        self.spread.copy_(features.std(0, correction=0) + 1e-3)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, F) → two vectors (B, W) each, and by what likenesses are multiplied."""
        vectors, tokens = self.heads(self.body((features - self.middle) / self.spread)).chunk(2, 1)
        return vectors, tokens, self.sharpness.exp().clamp(max=100)

    @torch.no_grad()
    def look(self, images: Tensor, batch_size: int = 256) -> Looks:
        """Faces (B, 3, 64, 64) in [-1, 1] → their vectors."""
        device = self.middle.device
        network = judge.load()
        parts = [self(network.summarise(part.to(device))) for part in images.split(batch_size)]
        return Looks(
            torch.cat([one for one, _, _ in parts]), torch.cat([two for _, two, _ in parts])
        )


class Clip(nn.Module):
    """A CLIP of our own (Radford et al. 2021, arXiv 2103.00020): captions and faces as vectors."""

    def __init__(
        self,
        words: Sequence[str] | None = None,
        width: int = 128,
        layers: int = 3,
        heads: int = 4,
        features: int = 256,
    ):
        super().__init__()
        self.encoder = TextEncoder(words, width, layers, heads)
        self.sight = Sight(features, width)


def load() -> TextEncoder:
    """The trained encoder, on `settings.device()`, ready to use; the file is read once."""
    return load_clip().encoder


def load_clip() -> Clip:
    """The trained encoder with the image side that it was trained against."""
    return _load(str(settings.device()))


@functools.lru_cache(maxsize=2)
def _load(device: str) -> Clip:
    return pretrained.load("text", Clip).requires_grad_(False)
